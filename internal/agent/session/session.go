package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"towpath.dev/towpath/internal/dev/tunnel"
)

// Config says what a session pod stands for.
type Config struct {
	ID        string // of the session
	Host      string // address that the ports listen on, "" for all
	Ports     []int  // of the service
	Control   string // address of the tunnel, ":9903"
	Token     string // that a developer's end shows
	Namespace string
	Allow     []string      // what may be dialled besides the namespace's services, see Guard
	SyncDir   string        // folder for binaries; "" forwards to the developer's machine
	Lease     time.Duration // from the start to the first renewal
	MaxAge    time.Duration // after which no renewal helps
	Getenv    func(string) string
	Environ   []string // of the supervised program; the token is taken out
	Resolver  string   // file like /etc/resolv.conf
	Now       func() time.Time
	Log       *slog.Logger
}

// forwardTime bounds how long a developer's machine may take to take a connection.
const forwardTime = 10 * time.Second

// Session is a session pod at work. Make it with New and call Run once.
type Session struct {
	cfg   Config
	guard *guard
	dns   resolver
	lease *lease
	away  *away
	super *supervisor // nil without a folder for binaries

	control   net.Listener
	listeners map[int]net.Listener

	mu      sync.Mutex
	current *tunnel.Server // nil while no developer's machine is connected
}

// New checks the configuration and opens the listeners.
func New(cfg Config) (*Session, error) {
	if cfg.Token == "" || cfg.ID == "" || cfg.Namespace == "" || len(cfg.Ports) == 0 || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("a session pod needs its id, a token, its namespace and the ports of its service")
	}
	dns, err := readResolver(cfg.Resolver, cfg.Namespace)
	if err != nil {
		return nil, err
	}
	guard, err := newGuard(cfg.Namespace, dns.domain, cfg.Allow, cfg.Getenv("KUBERNETES_SERVICE_HOST"))
	if err != nil {
		return nil, err
	}
	guard.learnEnvironment(cfg.Environ)
	s := &Session{
		cfg: cfg, guard: guard, dns: dns, lease: newLease(cfg.Now, cfg.Lease, cfg.MaxAge), away: newAway(), listeners: map[int]net.Listener{},
	}
	if s.control, err = net.Listen("tcp", cfg.Control); err != nil {
		return nil, fmt.Errorf("listening for the tunnel: %w", err)
	}
	if cfg.SyncDir != "" {
		s.super, err = newSupervisor(cfg)
		if err != nil {
			s.close()
		}
		return s, err
	}
	for _, port := range cfg.Ports {
		ln, err := net.Listen("tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(port)))
		if err != nil {
			s.close()
			return nil, fmt.Errorf("listening for the service: %w", err)
		}
		s.listeners[port] = ln
	}
	return s, nil
}

// Control returns the address that developers' ends connect to.
func (s *Session) Control() net.Addr { return s.control.Addr() }

// Run serves until ctx ends or the lease is over; neither is an error.
func (s *Session) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(s.away.run)
	wg.Go(func() {
		defer cancel()
		if s.lease.wait(ctx) {
			s.cfg.Log.Info("the session's lease is over", "session", s.cfg.ID)
		}
	})
	wg.Go(func() { s.accept(ctx, s.control, s.tunnel) })
	for port, ln := range s.listeners {
		wg.Go(func() { s.accept(ctx, ln, func(ctx context.Context, conn net.Conn) { s.forward(ctx, port, conn) }) })
	}
	if s.super != nil {
		wg.Go(func() { s.super.run(ctx) })
	}
	s.cfg.Log.Info("a session pod is up", "session", s.cfg.ID, "ports", s.cfg.Ports, "control", s.control.Addr().String(), "sync", s.super != nil)
	<-ctx.Done()
	s.close()
	s.take(nil)
	s.away.close()
	wg.Wait()
	return nil
}

func (s *Session) close() {
	_ = s.control.Close()
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
}

// accept serves the connections of a listener until ctx ends.
func (s *Session) accept(ctx context.Context, ln net.Listener, serve func(context.Context, net.Conn)) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Too many open files, and the like: some will be closed.
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		go serve(ctx, conn)
	}
}

// tunnel serves a connection of a developer's end, which takes the place of the one before:
// a machine that was asleep comes back before its old connection is found dead.
func (s *Session) tunnel(ctx context.Context, conn net.Conn) {
	t, err := tunnel.Accept(ctx, conn, s.cfg.Token, pod{s})
	if err != nil {
		s.cfg.Log.Warn("a developer's end was not let in", "from", conn.RemoteAddr().String(), "err", err)
		return
	}
	s.cfg.Log.Info("a developer's end is connected", "from", conn.RemoteAddr().String())
	s.take(t)
	<-t.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == t {
		s.current = nil
		s.cfg.Log.Info("the developer's end is gone")
	}
}

// take makes t the current tunnel and ends the one before.
func (s *Session) take(t *tunnel.Server) {
	s.mu.Lock()
	before := s.current
	s.current = t
	s.mu.Unlock()
	if before != nil {
		_ = before.Close()
	}
}

// forward brings a connection of the service to the developer's machine.
func (s *Session) forward(ctx context.Context, port int, conn net.Conn) {
	s.mu.Lock()
	t := s.current
	s.mu.Unlock()
	if t == nil {
		s.away.answer(conn, "the developer's machine is not connected: start towpath dev there again")
		return
	}
	wait, cancel := context.WithTimeout(ctx, forwardTime)
	flow, err := t.Forward(wait, port, conn.RemoteAddr().String())
	cancel()
	if err != nil {
		s.away.answer(conn, unanswered(err))
		return
	}
	tunnel.Pipe(conn, flow)
}

// unanswered says why the developer's machine did not take a connection: in its own words
// when it had some.
func unanswered(err error) string {
	var said *tunnel.Error
	if errors.As(err, &said) {
		return said.Error()
	}
	return "the developer's machine does not answer: the way to it is broken, and towpath dev joins it again by itself"
}
