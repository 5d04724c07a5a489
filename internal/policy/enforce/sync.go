package enforce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
)

// Enforcement says what the cluster's API server enforces by itself.
type Enforcement struct {
	Policies int       `json:"policies"`         // ValidatingAdmissionPolicies in force
	Webhook  bool      `json:"webhook"`          // the webhook's configuration is in force
	Set      string    `json:"set"`              // digest of the set that was written last
	Applied  time.Time `json:"applied,omitzero"` // when
	Since    time.Time `json:"since,omitzero"`   // since when nothing had to be written
	Drift    int64     `json:"drift"`            // changes by others that were undone
	Skipped  []Skipped `json:"skipped"`          // rules that only the webhook enforces
	Error    string    `json:"error,omitempty"`  // why the set in force is not written yet
}

// Skipped is a rule that the API server cannot judge by itself.
type Skipped struct {
	Assignment string `json:"assignment"`
	Rule       string `json:"rule"`
	Why        string `json:"why"`
}

// Endpoint is where the API server finds the webhook.
type Endpoint struct {
	URL string // "https://127.0.0.1:41234" and Path of the webhook's secret; "" for no webhook
	CA  []byte // PEM, what its certificate is verified with
}

// SyncDeps are the parts that a Sync needs, all of them.
type SyncDeps struct {
	Cluster  Cluster
	Policies Policies
	Clock    clock.Clock
	Logger   *slog.Logger
	// Owner names the installation on a cluster that it may share with others, in lower-case
	// letters and digits; "" where it is alone.
	Owner string
}

// Sync keeps a cluster's policies as the set in force says. It is safe for concurrent use.
type Sync struct {
	SyncDeps
	name     string
	endpoint Endpoint
	board    board
	connect  func(*rest.Config) (access, error)
	// written remembers each object as the API server has it since we wrote it. Only Run
	// uses it.
	written map[key]content
}

// access is the part of an API server that is of use here.
type access struct {
	objects   dynamic.Interface
	discovery discovery.DiscoveryInterface
}

// Times of a Sync.
const (
	retryEvery  = 2 * time.Second        // after the cluster went away
	resyncEvery = time.Minute            // in case that a watch missed something, and for kinds that are new in the cluster
	settle      = 100 * time.Millisecond // changes that come together are repaired together
)

// NewSync returns a Sync for the cluster of that name ("embedded").
func NewSync(d SyncDeps, name string, e Endpoint) *Sync {
	return &Sync{SyncDeps: d, name: name, endpoint: e, board: newBoard(), connect: connect, written: map[key]content{}}
}

func connect(cfg *rest.Config) (access, error) {
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

// State returns how things are, without asking the cluster.
func (s *Sync) State() Enforcement { return s.board.get() }

// Changed returns a channel that closes at the next change of State.
func (s *Sync) Changed() <-chan struct{} { return s.board.changed() }

// Run writes the set in force, and each one that follows, until ctx ends. It waits for the
// cluster and comes back after it was away; it never returns an error because of it.
func (s *Sync) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := s.Cluster.Changed()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.failed(err)
		wait := retryEvery
		if fault.Is(err, fault.Unavailable) {
			wait = resyncEvery // It will not come by itself; its state tells when it is there.
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(wait):
		}
	}
	return nil
}

func (s *Sync) failed(err error) {
	if err == nil || s.board.get().Error == err.Error() {
		return
	}
	s.Logger.Warn("policies are not written to the cluster", "cluster", s.name, "error", err)
	s.board.update(func(e *Enforcement) { e.Error = err.Error() })
}

// session works with the cluster until it goes away.
func (s *Sync) session(ctx context.Context) error {
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
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	kick := make(chan struct{}, 1)
	for _, k := range kinds() {
		go s.watch(ctx, to.objects, k, kick)
	}
	for {
		changed := s.Policies.Changed()
		expiry, err := s.reconcile(ctx, to)
		next := resyncEvery
		if err != nil {
			s.failed(err)
			if gone(err) {
				return err
			}
			next = retryEvery
		}
		if expiry > 0 {
			next = min(next, expiry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(next):
		case <-kick:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(settle):
			}
			drain(kick)
		}
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// reconcile makes the cluster's objects those of the set in force. It returns in how long
// an exemption ends and they must be written anew, 0 for never.
func (s *Sync) reconcile(ctx context.Context, to access) (time.Duration, error) {
	set, now := s.Policies.Current(), s.Clock.Now()
	if set.Digest() == "" {
		return 0, nil // There is no set yet; what the cluster has stays.
	}
	p, err := s.plan(to.discovery, set, now)
	if err != nil {
		return 0, err
	}
	live, err := s.list(ctx, to.objects)
	if err != nil {
		return 0, err
	}
	var problems []error
	drift := int64(0)
	for _, w := range p.objects {
		repaired, err := s.put(ctx, to.objects, w, live[w.key])
		if err != nil {
			problems = append(problems, err)
		}
		if repaired {
			drift++
		}
	}
	removed, err := s.remove(ctx, to.objects, p.objects, live)
	drift += removed
	if err := errors.Join(append(problems, err)...); err != nil {
		s.board.update(func(e *Enforcement) { e.Drift, e.Since = e.Drift+drift, s.Clock.Now() })
		return 0, err
	}
	s.done(p, set.Digest(), drift)
	return p.expiry, nil
}

// done publishes what is in force, when it is news.
func (s *Sync) done(p plan, digest string, drift int64) {
	was := s.board.get()
	if drift > 0 {
		s.Logger.Warn("somebody changed the cluster's policies; the change is undone", "cluster", s.name, "objects", drift)
	}
	if was.Set == digest && was.Error == "" && drift == 0 && was.Policies == p.policies {
		return
	}
	s.board.update(func(e *Enforcement) {
		e.Policies, e.Webhook, e.Skipped, e.Error = p.policies, s.endpoint.URL != "", p.skipped, ""
		e.Drift += drift
		e.Since = s.Clock.Now()
		if e.Set != digest {
			e.Set, e.Applied = digest, e.Since
		}
	})
}
