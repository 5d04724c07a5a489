package audit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/store"
)

// Deps are the parts that a Service needs, all of them.
type Deps struct {
	DB         *store.DB
	Log        *event.Log
	Cluster    Cluster
	Policies   Policies
	Recorder   Recorder
	Appliers   Appliers
	Namespaces Namespaces
	OnRefusal  enforce.OnRefusal // told of each new decision about a live object
	Auth       Authoriser
	Clock      clock.Clock
	Logger     *slog.Logger
}

// Options say how to audit.
type Options struct {
	Cluster string        // name of the cluster: "embedded"
	Sweep   time.Duration // between two sweeps; 0 means DefaultSweep
}

// DefaultSweep is how often everything is listed again.
const DefaultSweep = 5 * time.Minute

// retryEvery is how long it takes to try again after the cluster went away.
const retryEvery = 2 * time.Second

// Service audits one cluster. It is safe for concurrent use.
type Service struct {
	Deps
	opts    Options
	connect func(*rest.Config) (access, error)
	lag     *lags
	again   chan again              // wishes to judge objects again
	live    atomic.Pointer[session] // nil while the cluster is away
	sweeps  chan chan<- sweepResult // wishes for a sweep
	mu      sync.Mutex
	state   Progress
	next    chan struct{}
}

// access is the part of an API server that is of use here.
type access struct {
	objects   dynamic.Interface
	discovery discovery.DiscoveryInterface
}

// again is a wish to judge objects again.
type again struct{ image, namespace string }

// New returns a Service.
func New(d Deps, o Options) *Service {
	if o.Sweep == 0 {
		o.Sweep = DefaultSweep
	}
	return &Service{
		Deps: d, opts: o, connect: connect, lag: &lags{}, again: make(chan again, 1024), sweeps: make(chan chan<- sweepResult),
		state: Progress{Kinds: []string{}}, next: make(chan struct{}),
	}
}

func connect(cfg *rest.Config) (access, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.ContentType, cfg.AcceptContentTypes = "application/json", "application/json"
	objects, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return access{}, fmt.Errorf("making a client: %w", err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return access{}, fmt.Errorf("making a discovery client: %w", err)
	}
	return access{objects: objects, discovery: d}, nil
}

// Run follows the cluster until ctx ends. It waits for the cluster and comes back after it
// was away.
func (s *Service) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := s.Cluster.Changed()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		wait := retryEvery
		if err != nil {
			s.Logger.Debug("the cluster is not audited", "cluster", s.opts.Cluster, "error", err)
			s.publish(func(p *Progress) { p.Synced, p.Error = false, err.Error() })
			if fault.Is(err, fault.Unavailable) {
				wait = time.Minute // It will not come by itself; its state tells when it is there.
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(wait):
		}
	}
	return nil
}

// session audits until the cluster goes away.
func (s *Service) session(ctx context.Context) error {
	if err := s.Cluster.Await(ctx); err != nil {
		return err
	}
	cfg, err := s.Cluster.Admin(ctx)
	if err != nil {
		return err
	}
	to, err := s.connect(cfg)
	if err != nil {
		return err
	}
	if _, err := to.discovery.ServerVersion(); err != nil {
		return fmt.Errorf("asking the cluster: %w", err)
	}
	return newSession(s, to).run(ctx)
}

// ImageChanged judges the objects again that use an image ("sha256:…"), because what is
// known of it changed.
func (s *Service) ImageChanged(digest string) { s.wish(again{image: digest}) }

// PlaceChanged judges a namespace's objects again, because it was given to an environment.
// Sets with other places do so by themselves.
func (s *Service) PlaceChanged(namespace string) { s.wish(again{namespace: namespace}) }

func (s *Service) wish(a again) {
	select {
	case s.again <- a:
	default: // Too many at once: the next sweep finds what changed.
		s.Logger.Warn("too many objects are to be judged again at once; the sweep will find them")
	}
}

// Progress says how the audit does.
type Progress struct {
	Kinds       []string  `json:"kinds"`   // that are followed: "Pod", "Deployment.apps"
	Objects     int       `json:"objects"` // that live
	Synced      bool      `json:"synced"`  // every kind was judged under the set in force
	Set         string    `json:"set"`
	Sweeps      int64     `json:"sweeps"`
	Swept       time.Time `json:"swept,omitzero"` // end of the last sweep
	Differences int       `json:"differences"`    // that the last sweep found
	Total       int64     `json:"total"`          // differences of all sweeps
	Lag         Lag       `json:"lag"`
	Error       string    `json:"error,omitempty"`
}

// Progress returns how the audit does.
func (s *Service) Progress() Progress {
	s.mu.Lock()
	p := s.state
	s.mu.Unlock()
	p.Lag = s.lag.get()
	if live := s.live.Load(); live != nil {
		p.Objects = live.index.len()
	}
	return p
}

// Differences returns what the last sweep found.
func (s *Service) Differences() int { return s.Progress().Differences }

// Changed returns a channel that closes when verdicts, or the Progress, change next.
func (s *Service) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

func (s *Service) publish(f func(*Progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.state)
	close(s.next)
	s.next = make(chan struct{})
}
