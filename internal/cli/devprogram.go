package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/cli/devbox"
	"towpath.dev/towpath/internal/dev"
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
