package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Config says how the embedded cluster is to be. It is written to Data/cluster.json
// for towpath-kube, whose own package config documents each key; what is empty here
// keeps towpath-kube's default.
type Config struct {
	Program string // path of towpath-kube
	Data    string // absolute folder for the cluster's state alone; short, because sockets live in it
	Log     string // file that what towpath-kube says on stderr is appended to

	Settings Settings
}

// Settings is the part of towpath-kube's configuration that Towpath sets.
type Settings struct {
	Data            string   `json:"data"`
	NodeName        string   `json:"node_name,omitempty"`
	Bridge          string   `json:"bridge,omitempty"`
	NodeIP          string   `json:"node_ip,omitempty"`
	PodCIDR         string   `json:"pod_cidr,omitempty"`
	ServiceCIDR     string   `json:"service_cidr,omitempty"`
	FrontDoorAddr   string   `json:"front_door_addr,omitempty"`
	RegistryMirrors []Mirror `json:"registry_mirrors,omitempty"`
	OIDC            *OIDC    `json:"oidc,omitempty"`
}

// Mirror tells the node where images of a registry host really are.
type Mirror struct {
	Host          string `json:"host"`
	URL           string `json:"url"`
	Authorization string `json:"authorization,omitempty"`
}

// OIDC tells the API server which issuer's job tokens to accept.
type OIDC struct {
	Issuer       string `json:"issuer"`
	DiscoveryURL string `json:"discovery_url"`
	CAFile       string `json:"ca_file"`
	Audience     string `json:"audience"`
}

// Embedded is the cluster that towpath-kube runs on this host.
type Embedded struct {
	cfg    Config
	tokens Tokens
	clock  clock.Clock
	log    *slog.Logger
	board  *board
	client atomic.Pointer[rest.Config]
}

var _ Cluster = (*Embedded)(nil)

// NewEmbedded returns an embedded cluster that is not running yet. tokens issues the
// identities that As hands out.
func NewEmbedded(cfg Config, tokens Tokens, c clock.Clock, log *slog.Logger) *Embedded {
	door := cfg.Settings.FrontDoorAddr
	if door != "" {
		door = "http://" + door
	}
	return &Embedded{cfg: cfg, tokens: tokens, clock: c, log: log, board: newBoard(Status{
		Kind: KindEmbedded, State: Starting, FrontDoor: door, Since: c.Now(), Kubeconfig: filepath.Join(cfg.Data, "admin.kubeconfig"),
	})}
}

// Kubeconfig returns the path of the administrator's kubeconfig.
func (e *Embedded) Kubeconfig() string { return filepath.Join(e.cfg.Data, "admin.kubeconfig") }

// Run starts towpath-kube and starts it again whenever it dies, until ctx ends.
func (e *Embedded) Run(ctx context.Context) error {
	path, err := e.write()
	if err != nil {
		return err
	}
	pause := time.Second
	for {
		start := e.clock.Now()
		err := e.once(ctx, path, start)
		if ctx.Err() != nil {
			e.board.update(func(s *Status) { s.State, s.Why, s.Since = Stopped, "", e.clock.Now() })
			return nil
		}
		if e.clock.Now().Sub(start) > time.Minute {
			pause = time.Second
		}
		e.board.update(func(s *Status) {
			s.State, s.Since = Failed, e.clock.Now()
			if s.Why == "" && err != nil {
				s.Why = err.Error()
			}
		})
		e.log.Error("cluster supervisor ended", "error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Minute)
	}
}

func (e *Embedded) write() (string, error) {
	if err := os.MkdirAll(e.cfg.Data, 0o700); err != nil {
		return "", fmt.Errorf("making the cluster's folder: %w", err)
	}
	set := e.cfg.Settings
	set.Data = e.cfg.Data
	b, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(e.cfg.Data, "cluster.json")
	// It holds the node's credential for image pulls.
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return "", fmt.Errorf("writing the cluster's configuration: %w", err)
	}
	return path, nil
}

// stopGrace is how long towpath-kube may take to stop its pods and children.
const stopGrace = 60 * time.Second

// awaitPredecessor waits until the supervisor of a server that was killed has ended: it
// stops in order when its server dies, and holds the cluster's lock until then.
func (e *Embedded) awaitPredecessor(ctx context.Context) error {
	told := false
	for deadline := time.Now().Add(stopGrace); ; {
		f, err := os.OpenFile(filepath.Join(e.cfg.Data, "lock"), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("opening the cluster's lock: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		if err := f.Close(); err != nil {
			return fmt.Errorf("closing the cluster's lock: %w", err)
		}
		if err == nil || time.Now().After(deadline) {
			return nil // Past the deadline towpath-kube itself says who holds it.
		}
		if !told {
			told = true
			e.board.update(func(s *Status) { s.Why = "the cluster of the last server is still stopping" })
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (e *Embedded) once(ctx context.Context, config string, start time.Time) error {
	cmd := exec.CommandContext(ctx, e.cfg.Program, "up", "--config", config)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.cfg.Data, "LANG=C.UTF-8"}
	// The supervisor must see our end even when we are killed; in a group of its own,
	// the terminal's Ctrl-C reaches us only, and we stop it in order.
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	logFile, err := os.OpenFile(e.cfg.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the cluster's log: %w", err)
	}
	defer logFile.Close()
	cmd.Stderr = logFile
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// What the last supervisor left is of no use until this one says that it is ready.
	e.client.Store(nil)
	e.board.update(func(s *Status) { s.State, s.Why, s.Since, s.Components = Starting, "", start, nil })
	if err := e.awaitPredecessor(ctx); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fault.Wrap(fault.Unavailable, err, "The embedded Kubernetes (%s) is not installed.", e.cfg.Program).
				WithNext("build it with `make kube`, or use a cluster that you have: `towpath up --kubeconfig FILE`")
		}
		return fmt.Errorf("starting towpath-kube: %w", err)
	}
	e.follow(out, start)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("towpath-kube: %w (see %s)", err, logFile.Name())
	}
	return nil
}

// line is what towpath-kube prints on stdout, one JSON object a line.
type line struct {
	Phase     string  `json:"phase"`
	Component string  `json:"component"`
	Detail    string  `json:"detail"`
	Seconds   float64 `json:"seconds"`
}

func (e *Embedded) follow(r io.Reader, start time.Time) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), 1<<20)
	for sc.Scan() {
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			e.log.Warn("towpath-kube printed a line that is no JSON", "line", sc.Text())
			continue
		}
		e.apply(l, start)
	}
}

func (e *Embedded) apply(l line, start time.Time) {
	if l.Component == "cluster" && l.Phase == "ready" {
		if err := e.load(); err != nil {
			e.log.Error("cluster is ready but cannot be used", "error", err)
			e.board.update(func(s *Status) { s.State, s.Why = Failed, err.Error() })
			return
		}
	}
	server, v := "", ""
	if cfg := e.client.Load(); cfg != nil && l.Component == "cluster" {
		server = cfg.Host
		var err error
		if v, err = version(cfg); err != nil {
			e.log.Warn("asking the cluster's version", "error", err)
		}
	}
	e.board.update(func(s *Status) {
		if l.Component == "cluster" {
			s.State, s.Since = l.Phase, e.clock.Now()
			s.Why = ""
			if l.Phase == Ready {
				s.ReadyIn, s.Server, s.Version = e.clock.Now().Sub(start).Seconds(), server, v
			} else {
				s.Why = l.Detail
			}
			return
		}
		s.component(l)
		switch {
		case s.State == Ready && (l.Phase == "restarted" || l.Phase == "failed"):
			s.State, s.Why = Degraded, l.Component+": "+l.Detail
		case s.State == Degraded && s.healthy():
			s.State, s.Why = Ready, ""
		case s.State != Ready && l.Phase == "failed":
			s.Why = l.Component + ": " + l.Detail
		}
	})
}

func (s *Status) component(l line) {
	for i := range s.Components {
		c := &s.Components[i]
		if c.Name == l.Component {
			if l.Phase == "restarted" {
				c.Restarts++
			}
			c.State, c.Detail, c.Seconds = l.Phase, l.Detail, l.Seconds
			return
		}
	}
	s.Components = append(s.Components, Component{Name: l.Component, State: l.Phase, Detail: l.Detail, Seconds: l.Seconds})
}

func (s *Status) healthy() bool {
	for _, c := range s.Components {
		if c.State != "ready" {
			return false
		}
	}
	return true
}

func (e *Embedded) load() error {
	cfg, err := clientcmd.BuildConfigFromFlags("", e.Kubeconfig())
	if err != nil {
		return fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	cfg.UserAgent = "towpath"
	cfg.QPS, cfg.Burst = 100, 200
	e.client.Store(cfg)
	return nil
}

// Status returns how the cluster is, from what towpath-kube said last.
func (e *Embedded) Status() Status { return e.board.get() }

// Changed returns a channel that closes at the next change of Status.
func (e *Embedded) Changed() <-chan struct{} { return e.board.changed() }

// Await waits while the cluster is starting.
func (e *Embedded) Await(ctx context.Context) error { return e.board.await(ctx) }

// Admin returns the administrator's identity.
func (e *Embedded) Admin(context.Context) (*rest.Config, error) {
	cfg := e.client.Load()
	if cfg == nil {
		return nil, notReady(e.board.get())
	}
	return rest.CopyConfig(cfg), nil
}

// As returns a client configuration that bears the job's own JWT.
func (e *Embedded) As(ctx context.Context, j identity.JobClaims, groups []string, ttl time.Duration) (*rest.Config, error) {
	admin, err := e.Admin(ctx)
	if err != nil {
		return nil, err
	}
	token, err := e.tokens.IssueJob(ctx, j, Audience, groups, ttl)
	if err != nil {
		return nil, fmt.Errorf("issuing the job's identity for the cluster: %w", err)
	}
	cfg := rest.AnonymousClientConfig(admin)
	cfg.BearerToken, cfg.UserAgent, cfg.QPS, cfg.Burst = token, "towpath", admin.QPS, admin.Burst
	return cfg, nil
}
