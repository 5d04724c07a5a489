package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

// Config says where a router listens and where its table comes from.
type Config struct {
	// Source brings the tables.
	Source Source
	// Admin is the address of the admin listener, ":9902".
	Admin string
	// Host is the address that routed ports listen on, "" for all.
	Host string
	// Grace is how long a router that was told to stop goes on to accept, so that whoever
	// sends it requests learns of it; a port that left the table stays as long.
	Grace time.Duration
	// Drain is how long requests that are under way may take after that.
	Drain time.Duration
	// Now tells the time, by which sessions expire.
	Now func() time.Time
	Log *slog.Logger
}

// Source brings tables.
type Source interface {
	// Watch calls apply with the table that there is, and again with each change, until
	// ctx ends. It does not give up: what goes wrong is logged and tried again. An error
	// means that the source can never bring a table.
	Watch(ctx context.Context, apply func(route.Table)) error
}

// bindAgain is the pause before a port that could not be bound is tried again.
const bindAgain = time.Second

// Router sends requests by a table. Make it with New and call Run once.
type Router struct {
	cfg       Config
	state     atomic.Pointer[state]
	out       *backends
	seen      *metrics
	access    *journal
	mirrors   chan struct{} // bounds the copies that are under way
	leaving   atomic.Bool
	underWay  sync.WaitGroup // requests, also those that took their connection over
	mu        sync.Mutex     // guards what follows
	listeners map[int]*listener
	failed    map[int]error // ports that could not be bound, and why
}

// New checks the configuration.
func New(cfg Config) (*Router, error) {
	if cfg.Source == nil || cfg.Admin == "" || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("the router needs a source of its table, an admin address, a clock and a log")
	}
	return &Router{
		cfg: cfg, out: newBackends(), seen: newMetrics(), access: newJournal(), mirrors: make(chan struct{}, maxMirrors),
		listeners: map[int]*listener{}, failed: map[int]error{},
	}, nil
}

// Run serves until ctx ends; then it says that it is not ready, goes on for the grace,
// stops to accept, and waits for the requests that are under way.
func (r *Router) Run(ctx context.Context) error {
	admin, err := net.Listen("tcp", r.cfg.Admin)
	if err != nil {
		return fmt.Errorf("listening for the router's admin address: %w", err)
	}
	adminServer := &http.Server{Handler: r.Admin(), ReadHeaderTimeout: headerTime, ErrorLog: discard()}
	var wg sync.WaitGroup
	wg.Go(func() { _ = adminServer.Serve(admin) })
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, 1)
	wg.Go(func() { failed <- r.cfg.Source.Watch(watch, r.apply) })
	wg.Go(func() { r.rebind(watch) })
	select {
	case <-ctx.Done():
		// The table is followed to the end: sessions and weights may change meanwhile.
		r.leave()
		err = nil
	case err = <-failed:
	}
	cancel()
	r.closeAll()
	_ = adminServer.Close()
	wg.Wait()
	r.out.close()
	return err
}

func (r *Router) apply(t route.Table) {
	if err := r.Apply(t); err != nil {
		r.cfg.Log.Error("a route table was refused; the last good one stays", "err", err)
	}
}

// Apply swaps the table and opens and closes listeners as it says. A table that breaks a
// rule is refused and the one before stays. A port that cannot be bound does not keep the
// others from changing: it is tried again, and the router is not ready meanwhile.
func (r *Router) Apply(t route.Table) error {
	st, err := prepare(t)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Store(st)
	r.bind(st)
	r.cfg.Log.Info("a route table was taken", "version", t.Version, "services", len(t.Services), "sessions", len(t.Sessions))
	return nil
}

// bind makes the listeners those of the state; the caller holds mu.
func (r *Router) bind(st *state) {
	clear(r.failed)
	for number, p := range st.ports {
		if l, ok := r.listeners[number]; ok {
			l.keep(p)
			continue
		}
		l, err := r.listen(number, p)
		if err != nil {
			r.failed[number] = err
			r.cfg.Log.Error("a port could not be bound; it is tried again", "port", number, "err", err)
			continue
		}
		r.listeners[number] = l
	}
	for number, l := range r.listeners {
		if _, ok := st.ports[number]; !ok {
			l.lingers(r.cfg.Grace, func() { r.remove(number, l) })
		}
	}
}

// remove closes a listener whose port is still not in the table after the grace.
func (r *Router) remove(number int, l *listener) {
	r.mu.Lock()
	st := r.state.Load()
	_, back := st.ports[number]
	if back || r.listeners[number] != l {
		r.mu.Unlock()
		return
	}
	delete(r.listeners, number)
	r.mu.Unlock()
	l.shut(r.cfg.Drain)
}

// rebind tries the ports again that could not be bound.
func (r *Router) rebind(ctx context.Context) {
	tick := time.NewTicker(bindAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		if len(r.failed) > 0 {
			r.bind(r.state.Load())
		}
		r.mu.Unlock()
	}
}

// Ready returns nil when a table is there and each of its ports is bound, else why not.
func (r *Router) Ready() error {
	if r.leaving.Load() {
		return errors.New("the router was told to stop")
	}
	if r.state.Load() == nil {
		return errors.New("no route table has come yet")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, err := range r.failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// leave ends the router's work in good order.
func (r *Router) leave() {
	r.leaving.Store(true)
	for _, l := range r.all() {
		l.server.SetKeepAlivesEnabled(false)
	}
	r.cfg.Log.Info("told to stop", "grace", r.cfg.Grace, "drain", r.cfg.Drain)
	// New connections still come for a while: kube-proxy learns only after the pod was told
	// to stop that it serves no more, and nothing says when it did. Nobody waits for less
	// than this, since whoever asked to stop has no way to take that back.
	time.Sleep(r.cfg.Grace)
	deadline, cancel := context.WithTimeout(context.Background(), r.cfg.Drain)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range r.all() {
		wg.Go(func() { _ = l.server.Shutdown(deadline) })
	}
	wg.Wait()
	done := make(chan struct{})
	go func() {
		r.underWay.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-deadline.Done():
		r.cfg.Log.Warn("requests were cut off: they took longer than the router may take to stop", "drain", r.cfg.Drain)
	}
}

func (r *Router) all() []*listener {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*listener, 0, len(r.listeners))
	for _, l := range r.listeners {
		list = append(list, l)
	}
	return list
}

func (r *Router) closeAll() {
	for _, l := range r.all() {
		_ = l.server.Close()
	}
}
