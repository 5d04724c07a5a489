package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/cli/devbox"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/dev/tunnel"
	"towpath.dev/towpath/internal/fault"
)

// program prepares what answers for the session. It returns what runs while the session is
// held, and what ends it afterwards.
func (s *session) program() (run func(context.Context) error, end func(), err error) {
	switch s.flags.mode() {
	case dev.Attach:
		s.lives = devbox.DialLoopback
		return func(ctx context.Context) error {
			s.note("attached", "Requests with the key reach "+s.flags.attach+".", nil)
			<-ctx.Done()
			return ctx.Err()
		}, func() {}, nil
	case dev.Sync:
		s.lives = func(context.Context, int) (net.Conn, error) {
			return nil, fmt.Errorf("the program of this session runs in its pod")
		}
		return s.synchronise, func() {}, nil
	}
	return s.local()
}

// local prepares the box and the runner of --run.
func (s *session) local() (func(context.Context) error, func(), error) {
	dir, err := workingDir()
	if err != nil {
		return nil, nil, err
	}
	scratch, err := os.MkdirTemp("", "towpath-dev-")
	if err != nil {
		return nil, nil, fault.Wrap(fault.Invalid, err, "There is no place for the program that is built.").WithNext("set TMPDIR to a folder that you may write to")
	}
	out := s.output()
	box, why, err := s.box(out)
	if err != nil {
		return nil, nil, fmt.Errorf("making a place for the program: %w", err)
	}
	if why != "" {
		s.note("isolation", why, nil)
	}
	workload := make([]string, 0, len(s.opened.Env))
	for _, v := range s.opened.Env {
		workload = append(workload, v.Name+"="+v.Value)
	}
	r := &devbox.Runner{
		Plan: devbox.NewPlan(s.flags.run, scratch), Box: box, Dir: dir, Env: overlay(os.Environ(), box.Env(workload)), Port: s.mainPort(),
		Build: devbox.Output{Out: out.Err, Err: out.Err}, Tell: s.tell,
	}
	s.lives = r.Dial
	end := func() {
		if err := box.Close(); err != nil {
			s.note("ending", "The program's place could not be cleared away: "+err.Error(), nil)
		}
		_ = os.RemoveAll(scratch) // What stays is in the temporary folder.
	}
	return func(ctx context.Context) error { return r.Run(ctx, devbox.NewTree(ctx, dir)) }, end, nil
}

// output is where programs write: not among the lines of JSON.
func (s *session) output() devbox.Output {
	if s.env.output == "json" {
		return devbox.Output{Out: s.env.err, Err: s.env.err}
	}
	return devbox.Output{Out: s.env.out, Err: s.env.err}
}

// box makes the place for the program, and says why it is not the isolated one.
func (s *session) box(out devbox.Output) (devbox.Box, string, error) {
	place := devbox.Place{Namespace: s.opened.Namespace, Domain: s.opened.Domain}
	for _, n := range s.opened.Services {
		v := devbox.Service{Name: n.Name, Address: n.Address}
		for _, p := range n.Ports {
			v.Ports = append(v.Ports, devbox.ServicePort{Name: p.Name, Port: p.Port})
		}
		place.Services = append(place.Services, v)
	}
	why := ""
	if s.flags.isolation != "env" {
		box, err := devbox.NewIsolated(place, s.link, out)
		if err == nil {
			return box, "", nil
		}
		if s.flags.isolation == "namespace" {
			return nil, "", fault.Wrap(fault.Unavailable, err, "This machine gives no namespace of its own to the program: %v.", err).
				WithNext("use --isolation env, or --sync")
		}
		why = fmt.Sprintf("The program runs as a plain process, and reaches services by addresses in its environment, because %v.", err)
	}
	box, err := devbox.NewPlain(place, s.link, out)
	return box, why, err
}

// mainPort is the program's port for the service's first one.
func (s *session) mainPort() int {
	if len(s.opened.Ports) == 0 {
		return 0
	}
	return s.locals[s.opened.Ports[0].Port]
}

// overlay puts values over an environment.
func overlay(base, over []string) []string {
	out := slices.Clone(base)
	for _, e := range over {
		name, _, _ := strings.Cut(e, "=")
		out = slices.DeleteFunc(out, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		out = append(out, e)
	}
	return out
}

// tell puts what the runner says into words.
func (s *session) tell(n devbox.Notice) {
	took := func(d *devNote) { d.Seconds = n.Took.Seconds() }
	switch n.What {
	case "live":
		if n.First {
			s.note("live", "your code is live ("+span(n.Took)+")", took)
			return
		}
		s.note("live", "new code is live ("+span(n.Took)+")", took)
	case "broken":
		s.note("build-failed", "the build failed, what ran before goes on: "+n.Text, nil)
	case "exited":
		s.note("exited", "the program is down, requests with the key are answered 502: "+n.Text, nil)
	case "building":
		s.note("building", "", func(d *devNote) { d.Text = n.Text })
	}
}

// maxBinary bounds what --sync sends.
const maxBinary = tunnel.MaxBinary

// synchronise builds the program, sends it into the session's pod, and does so again for
// each file that changes.
func (s *session) synchronise(ctx context.Context) error {
	dir, err := workingDir()
	if err != nil {
		return err
	}
	path := s.flags.binary
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	tree := devbox.NewTree(ctx, dir, path)
	var before []byte
	since := time.Now()
	for n := 1; ; n++ {
		if sent, err := s.send(ctx, dir, path, before, n, since); err != nil {
			s.note("build-failed", "what ran before goes on: "+err.Error(), nil)
		} else {
			before = sent
		}
		if _, err := tree.Next(ctx); err != nil {
			return err
		}
		since = time.Now()
	}
}

// send builds the program at path once and sends it, when it is another than before.
func (s *session) send(ctx context.Context, dir, path string, before []byte, n int, since time.Time) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", s.flags.sync)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, s.env.err, s.env.err
	// The pod is Linux whatever this machine is; what the command sets itself wins.
	cmd.Env = append([]string{"GOOS=linux", "CGO_ENABLED=0"}, os.Environ()...)
	if err := cmd.Run(); err != nil {
		return before, fmt.Errorf("building: %w", err)
	}
	binary, err := readBinary(path)
	if err != nil {
		return before, err
	}
	if slices.Equal(binary, before) {
		return before, nil
	}
	t, err := s.link.Tunnel(ctx)
	if err != nil {
		return before, err
	}
	sum := sha256.Sum256(binary)
	id := hex.EncodeToString(sum[:8])
	env := make([]string, 0, len(s.opened.Env))
	for _, v := range s.opened.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	if _, err := t.Sync(ctx, tunnel.Build{ID: id, Name: s.opened.Service, Env: env}, binary, before); err != nil {
		return before, fmt.Errorf("sending the program: %w", err)
	}
	if err := s.awaitBuild(ctx, t, id); err != nil {
		return binary, err
	}
	s.tell(devbox.Notice{What: "live", Took: time.Since(since), First: n == 1})
	return binary, nil
}

func readBinary(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading what was built: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBinary+1))
	if err == nil && len(b) > maxBinary {
		err = fmt.Errorf("it is larger than %d MiB", maxBinary>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was built: %w", err)
	}
	return b, nil
}

// awaitBuild waits until the pod runs a build and the build answers.
func (s *session) awaitBuild(ctx context.Context, t *tunnel.Client, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		status, err := t.Status(ctx)
		if err != nil {
			return err
		}
		if p := status.Program; p != nil && p.Build == id {
			switch p.State {
			case tunnel.Ready:
				return nil
			case tunnel.Exited:
				return fmt.Errorf("the program ended in the pod: %s; its words: towpath dev logs %s", p.Exit, s.opened.ID)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the program does not answer in the pod")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
