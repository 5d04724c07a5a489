package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
)

// Parts are what a Service needs, all of them.
type Parts struct {
	DB        *store.DB
	Log       *event.Log
	Auth      Authoriser
	Clock     clock.Clock
	Places    Places
	Catalogue Catalogue
	Logger    *slog.Logger
}

// Options say what is particular to an installation.
type Options struct {
	// Registries are the hosts of the registries that the assignment supply-chain allows:
	// "localhost:7080".
	Registries []string
}

// Service is policy. It is safe for concurrent use.
type Service struct {
	Parts
	opts    Options
	library azure.Library // what comes with the platform

	change sync.Mutex // One change of documents at a time; whoever holds it waits for transactions.

	moved atomic.Bool   // Places have changed since the last Reload.
	look  chan struct{} // Wakes Run, which looks at moved.

	mu      sync.RWMutex // Guards what follows.
	set     *engine.Set
	images  map[string]rule.Image // by digest
	changed chan struct{}         // Closed and replaced when a set comes into force.
}

// New returns a Service whose set refuses to judge until Seed was called.
func New(p Parts, o Options) (*Service, error) {
	library, err := builtIn(p.Catalogue)
	if err != nil {
		return nil, err
	}
	closed := engine.Closed(fault.New(fault.Unavailable, "The policies are not loaded yet.").WithNext("try again in a moment"))
	return &Service{Parts: p, opts: o, library: library, set: closed, images: map[string]rule.Image{}, changed: make(chan struct{}), look: make(chan struct{}, 1)}, nil
}

// PlacesChanged has Run call Reload soon. It does not wait, so that it may be called in a
// transaction, for which Reload might wait: on SQLite there is one at a time.
func (s *Service) PlacesChanged() {
	s.moved.Store(true)
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// Current returns the set in force, never nil.
func (s *Service) Current() *engine.Set {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.set
}

// Changed returns a channel that closes when another set comes into force.
func (s *Service) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// Reload compiles what is stored with the places as they are now. When it does not compile
// the old set stays in force. It must not be called in a transaction; see PlacesChanged.
func (s *Service) Reload(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	docs, err := s.documents(ctx, s.DB)
	if err != nil {
		return err
	}
	set, err := s.compile(ctx, docs)
	if err != nil {
		return err
	}
	return s.swap(ctx, set)
}

// swap puts a set in force, with every image that is known.
func (s *Service) swap(ctx context.Context, set *engine.Set) error {
	s.mu.RLock()
	images := maps.Clone(s.images)
	s.mu.RUnlock()
	for _, i := range images {
		if err := set.PutImage(ctx, i); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What became known meanwhile went to the old set.
	var errs []error
	for d, i := range s.images {
		if before, ok := images[d]; !ok || !sameImage(before, i) {
			errs = append(errs, set.PutImage(ctx, i))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if set.Digest() != s.set.Digest() {
		s.Logger.Info("policy set in force", "set", set.Digest(), "rules", len(set.Rules()), "exemptions", len(set.Exemptions()))
	}
	s.set = set
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// PutImage tells policy what is known of an image; it holds for every set from now on.
func (s *Service) PutImage(ctx context.Context, i rule.Image) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.set.PutImage(ctx, i); err != nil {
		return err
	}
	s.images[i.Digest] = i
	return nil
}

// compile makes the set of documents, without the exemptions that have expired.
func (s *Service) compile(ctx context.Context, docs documents) (*engine.Set, error) {
	var rules []rule.Rule
	l := docs.library(s.library)
	for _, a := range docs.of(azure.KindAssignment) {
		r, err := l.Resolve(a.parsed.assignment)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r...)
	}
	places, err := s.Places.Places(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the places: %w", err)
	}
	set, err := s.Current().Next(ctx, rules, docs.inForce(s.Clock.Now()), places, s.Clock.Now)
	if err != nil {
		return nil, fault.New(fault.Invalid, "The policies do not compile, the ones before stay in force: %s.", err)
	}
	return set, nil
}
