package live_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"towpath.dev/towpath/internal/fault"
)

// patience bounds every wait; it only decides how long a broken product takes to fail.
const patience = 90 * time.Second

// shared is the cluster that all tests use.
var shared *kube

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("TOWPATH_BIN") == "" {
		if testing.Short() {
			os.Exit(0)
		}
		fmt.Fprintln(os.Stderr, "FAIL: set TOWPATH_BIN to the folder of the built programs, or run with -short")
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		return 1
	}
	k, err := newKube()
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err := k.remove(); err != nil {
			code = fail(fmt.Errorf("taking the cluster away: %w", err))
		}
	}()
	if err := k.up(); err != nil {
		return fail(err)
	}
	shared = k
	return m.Run()
}

// kube is an embedded cluster under test. It is a Cluster of packages enforce and audit.
type kube struct {
	program string
	base    string
	config  string

	mu      sync.Mutex
	admin   *rest.Config
	changed chan struct{}
	cmd     *exec.Cmd
	ended   chan error
}

func newKube() (*kube, error) {
	bin, err := filepath.Abs(os.Getenv("TOWPATH_BIN"))
	if err != nil {
		return nil, err
	}
	base, err := os.MkdirTemp("", "tp-live-")
	if err != nil {
		return nil, err
	}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := door.Addr().String()
	if err := door.Close(); err != nil {
		return nil, err
	}
	n := os.Getpid() % 250
	k := &kube{program: filepath.Join(bin, "towpath-kube"), base: base, config: filepath.Join(base, "cluster.json"), changed: make(chan struct{})}
	settings, err := json.Marshal(map[string]any{
		"data": filepath.Join(base, "kube"), "bridge": fmt.Sprintf("tpp%d", n), "node_ip": fmt.Sprintf("10.211.%d.1", n),
		"pod_cidr": fmt.Sprintf("10.212.%d.0/24", n), "service_cidr": fmt.Sprintf("10.213.%d.0/24", n), "front_door_addr": addr,
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(k.config, settings, 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.Command(k.program, "check", "--config", k.config).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("this host cannot run the embedded Kubernetes: %w\n%s", err, out)
	}
	return k, nil
}

func (k *kube) auditLog() string { return filepath.Join(k.base, "kube", "audit", "audit.log") }

// up starts the cluster and waits until it is ready.
func (k *kube) up() error {
	cmd := exec.Command(k.program, "up", "--config", k.config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	log, err := os.OpenFile(filepath.Join(k.base, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	k.cmd, k.ended = cmd, make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		once := sync.OnceFunc(func() { close(ready) })
		for sc := bufio.NewScanner(out); sc.Scan(); {
			var l struct{ Phase, Component string }
			if json.Unmarshal(sc.Bytes(), &l) == nil && l.Phase == "ready" && l.Component == "cluster" {
				once()
			}
		}
		k.ended <- cmd.Wait()
	}()
	select {
	case <-ready:
	case err := <-k.ended:
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("the cluster ended: %w\n%s", err, text)
	case <-time.After(patience):
		return errors.New("the cluster does not become ready")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(k.base, "kube", "admin.kubeconfig"))
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 2000, 4000
	k.set(cfg)
	return nil
}

func (k *kube) set(cfg *rest.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.admin = cfg
	close(k.changed)
	k.changed = make(chan struct{})
}

// down stops the cluster; its state is kept.
func (k *kube) down() error {
	if k.cmd == nil {
		return nil
	}
	k.set(nil)
	err := k.cmd.Process.Signal(syscall.SIGTERM)
	k.cmd = nil
	if err != nil {
		return err
	}
	select {
	case err := <-k.ended:
		return err
	case <-time.After(patience):
		return errors.New("the cluster does not stop")
	}
}

func (k *kube) remove() error {
	err := k.down()
	if out, rerr := exec.Command(k.program, "reset", "--config", k.config).CombinedOutput(); rerr != nil {
		err = errors.Join(err, fmt.Errorf("reset: %w: %s", rerr, out))
	}
	return errors.Join(err, os.RemoveAll(k.base))
}

func (k *kube) Await(ctx context.Context) error {
	for {
		k.mu.Lock()
		cfg, changed := k.admin, k.changed
		k.mu.Unlock()
		if cfg != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "The cluster is not there.")
		case <-changed:
		}
	}
}

func (k *kube) Admin(context.Context) (*rest.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.admin == nil {
		return nil, fault.New(fault.Unavailable, "The cluster is not there.")
	}
	return rest.CopyConfig(k.admin), nil
}

func (k *kube) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}
