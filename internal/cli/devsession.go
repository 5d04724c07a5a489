package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/cli/devbox"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
)

// session is `towpath dev` while it holds a session.
type session struct {
	env    *env
	flags  devFlags
	client *client.Client
	opened dev.Opened
	locals map[int]int // port of the service → port of the program
	link   *devbox.Link
	lives  func(ctx context.Context, port int) (net.Conn, error) // the program, set before the link is kept
	began  time.Time
	again  chan struct{} // receives when the tunnel was joined anew

	mu sync.Mutex // Guards the output of notes.
}

// develop starts a session and holds it until the context ends or the session does.
func (e *env) develop(ctx context.Context, service string, f devFlags) error {
	project, environment, err := f.place()
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	s := &session{env: e, flags: f, client: c, began: time.Now(), again: make(chan struct{}, 1)}
	path := "/projects/" + url.PathEscape(project) + "/envs/" + url.PathEscape(environment) + "/sessions"
	err = c.Do(ctx, http.MethodPost, path, api.SessionStart{Service: service, Mode: f.mode(), TTL: int(f.ttl.Seconds()), Fallback: f.fallback}, &s.opened)
	if err != nil {
		return err
	}
	defer s.stop()
	if s.locals, err = f.locals(s.opened.Ports); err != nil {
		return err
	}
	s.link = devbox.NewLink(s.open, s.opened.Token, s)
	return s.hold(ctx)
}

// open opens a connection to the session's pod, by the server.
func (s *session) open(ctx context.Context) (net.Conn, error) {
	return s.client.Upgrade(ctx, sessionPath(s.opened.ID, "/tunnel"), api.TunnelProtocol)
}

// Dial connects a request from the cluster to the program.
func (s *session) Dial(ctx context.Context, port int) (net.Conn, error) {
	local, ok := s.locals[port]
	if !ok {
		return nil, fmt.Errorf("the session has no port %d", port)
	}
	return s.lives(ctx, local)
}

// stop ends the session. The command's own context is over by now.
func (s *session) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.client.Do(ctx, http.MethodPost, sessionPath(s.opened.ID, "/stop"), nil, nil); err != nil {
		s.note("ending", "The session could not be stopped; it ends by itself within a minute.", nil)
	}
}

// hold runs the program, the tunnel and the lease side by side; the first that ends, ends
// all.
func (s *session) hold(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	program, end, err := s.program()
	if err != nil {
		return err
	}
	defer end()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { cancel(s.link.Keep(ctx, s.joined)) })
	wg.Go(func() { cancel(s.renew(ctx)) })
	if _, err := s.link.Tunnel(ctx); err != nil {
		return whyOver(ctx, err)
	}
	s.greet()
	wg.Go(func() { cancel(program(ctx)) })
	<-ctx.Done()
	return whyOver(ctx, ctx.Err())
}

// whyOver is nil when the person ended the command, else what ended the session.
func whyOver(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return err
	case errors.Is(cause, context.Canceled):
		return nil
	}
	return cause
}

func (s *session) joined(up bool) {
	if up {
		s.note("joined", "", nil)
		select {
		case s.again <- struct{}{}:
		default: // It is known already.
		}
		return
	}
	s.note("broken", "The connection to the server broke; joining again.", nil)
}

// renew keeps the lease, here and in the session's pod, until ctx ends or the session is
// over.
func (s *session) renew(ctx context.Context) error {
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(dev.RenewEvery):
		}
		// A machine that slept finds out here; the wall clock tells what the monotonic one does not.
		slept := time.Now().Round(0).Sub(last.Round(0))
		var v dev.Session
		err := s.client.Do(ctx, http.MethodPost, sessionPath(s.opened.ID, "/renew"), nil, &v)
		switch {
		case err == nil:
			last = time.Now()
			if t, err := s.link.Tunnel(within(ctx, time.Second)); err == nil {
				_, _ = t.Renew(ctx, v.Expires) // The pod's own lease is the last resort; the next renewal tries again.
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Internal) || fault.Is(err, fault.Throttled):
			s.note("unheard", "The lease could not be renewed: "+err.Error(), nil)
		case fault.Is(err, fault.Conflict) && slept > dev.Lease:
			return fault.Wrap(fault.Conflict, err, "The session ended while this machine was not heard of for %s: a lease that is not renewed lasts %s.", span(slept), span(dev.Lease)).
				WithNext("start it again: towpath dev %s …", s.opened.Service)
		default:
			return err
		}
	}
}

// within bounds a context; it ends by itself.
func within(ctx context.Context, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(ctx, d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// devNote is a line of `towpath dev -o json`.
type devNote struct {
	Event   string      `json:"event"`
	Text    string      `json:"text,omitempty"`
	Seconds float64     `json:"seconds,omitempty"`
	Session *devOutcome `json:"session,omitempty"` // of "ready"
}

// devOutcome is what a program needs to reach the session.
type devOutcome struct {
	dev.Session
	Preview string   `json:"preview,omitempty"`
	Baggage string   `json:"baggage"`
	URLs    []string `json:"urls,omitempty"`
	LeftOut []string `json:"left_out,omitempty"`
}

// note tells of something: a line of JSON with -o json, else a line for people when it has
// words.
func (s *session) note(event, text string, add func(*devNote)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.env.output == "json" {
		n := devNote{Event: event, Text: text}
		if add != nil {
			add(&n)
		}
		_ = json.NewEncoder(s.env.out).Encode(n) // Nobody reads any more when this fails.
		return
	}
	if text != "" {
		fmt.Fprintln(s.env.err, text)
	}
}

// greet says how to reach the session.
func (s *session) greet() {
	o := s.opened
	var b strings.Builder
	fmt.Fprintf(&b, "Session %s on %s of %s/%s until %s (%s)\n", o.ID, o.Service, o.Project, o.Environment, o.Until.Local().Format(time.TimeOnly), span(time.Since(s.began)))
	if o.Preview != "" {
		fmt.Fprintf(&b, "  open    %s\n", o.Preview)
		if line := curlOf(o.Preview); line != "" {
			fmt.Fprintf(&b, "  curl    %s\n", line)
		}
	}
	fmt.Fprintf(&b, "  inside  curl -H 'baggage: route-as=%s' http://%s.%s.svc:%d/\n", o.Key, o.Service, o.Namespace, firstPort(o.Ports))
	for _, l := range o.LeftOut {
		fmt.Fprintf(&b, "  environment value left out: %s\n", l)
	}
	s.note("ready", strings.TrimRight(b.String(), "\n"), func(n *devNote) {
		n.Text, n.Seconds = "", time.Since(s.began).Seconds()
		n.Session = &devOutcome{Session: o.Session, Preview: o.Preview, Baggage: "route-as=" + o.Key, URLs: o.URLs, LeftOut: o.LeftOut}
	})
}

// curlOf is a curl line that enters by a preview's address: with its token as a cookie, so
// that no redirect is to be followed.
func curlOf(preview string) string {
	u, err := url.Parse(preview)
	if err != nil {
		return ""
	}
	for name, v := range u.Query() {
		token := v[0]
		u.RawQuery = ""
		return fmt.Sprintf("curl -b '%s=%s' %s", name, token, u)
	}
	return ""
}

func firstPort(ports []dev.Port) int {
	if len(ports) == 0 {
		return 0
	}
	return ports[0].Port
}

// workingDir is where the program is built and runs.
func workingDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "The working folder cannot be found.")
	}
	return dir, nil
}
