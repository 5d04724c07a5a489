package audit

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"towpath.dev/towpath/internal/policy/engine"
)

// cause says why an object is judged.
type cause int

const (
	changed  cause = iota // it changed, or was not known
	rejudged              // something else did: the set, an exemption, an image
)

// task is an object to judge, one that is gone, or a mark in the stream.
type task struct {
	kind     schema.GroupKind
	object   *unstructured.Unstructured
	gone     types.UID
	cause    cause
	received time.Time // when a change was announced; zero for others
	mark     func()    // called when everything before it is stored
}

// session is the audit of a cluster while it is there. Objects go from the feeds to
// workers, chosen by uid so that an object's changes stay in order, and from these to the
// one writer.
type session struct {
	*Service
	to      access
	index   *index
	set     atomic.Pointer[engine.Set]
	work    []chan task
	results chan result
	lost    chan error
	feeds   map[schema.GroupKind]*feed

	noting sync.Mutex
	caught map[schema.GroupKind]string // by kind that is followed: digest of the set under which all of it was judged
}

// queueSize bounds what waits for a worker.
const queueSize = 64

func newSession(s *Service, to access) *session {
	out := &session{
		Service: s, to: to, index: newIndex(), results: make(chan result, queueSize), lost: make(chan error, 1),
		feeds: map[schema.GroupKind]*feed{}, caught: map[schema.GroupKind]string{},
	}
	for range max(2, runtime.GOMAXPROCS(0)) {
		out.work = append(out.work, make(chan task, queueSize))
	}
	return out
}

// run audits until ctx ends or the cluster is lost.
func (s *session) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	// A set without a digest is none yet.
	replaced := s.Policies.Changed()
	for s.Policies.Current().Digest() == "" {
		select {
		case <-ctx.Done():
			return nil
		case <-replaced:
			replaced = s.Policies.Changed()
		}
	}
	s.set.Store(s.Policies.Current())
	for _, w := range s.work {
		all.Go(func() { s.judgeAll(ctx, w) })
	}
	w, err := newWriter(ctx, s)
	if err != nil {
		return err
	}
	all.Go(func() { w.run(ctx) })
	// Before the feeds begin: an empty cluster is judged at once.
	s.publish(func(p *Progress) { p.Synced, p.Set = false, s.set.Load().Digest() })
	s.live.Store(s)
	defer s.live.Store(nil)
	if err := s.reconcile(ctx, &all, changed); err != nil {
		return err
	}
	s.publish(func(p *Progress) { p.Error = "" })
	sweep := time.NewTicker(s.opts.Sweep)
	defer sweep.Stop()
	rediscover := time.NewTicker(time.Minute)
	defer rediscover.Stop()
	for {
		expiry := time.NewTimer(s.untilExpiry())
		select {
		case <-ctx.Done():
			expiry.Stop()
			return nil
		case err := <-s.lost:
			expiry.Stop()
			return err
		case <-replaced:
			replaced = s.Policies.Changed()
			err = s.replace(ctx, &all)
		case a := <-s.again:
			err = s.judgeAgain(ctx, a)
		case <-expiry.C:
			err = s.expired(ctx)
		case <-rediscover.C:
			err = s.reconcile(ctx, &all, rejudged)
		case <-sweep.C:
			s.begin(ctx, &all, nil)
		case answer := <-s.sweeps:
			s.begin(ctx, &all, answer)
		}
		expiry.Stop()
		if err != nil && ctx.Err() == nil {
			if unreachable(err) {
				return err
			}
			s.Logger.Error("judging objects again; the sweep will find what is missing", "error", err)
		}
	}
}

// fail ends the session: the cluster is away.
func (s *session) fail(err error) {
	select {
	case s.lost <- err:
	default:
	}
}

// unreachable reports whether the API server cannot be reached, or does not let us in any
// more.
func unreachable(err error) bool {
	var n net.Error
	return errors.As(err, &n) && !n.Timeout() || apierrors.IsUnauthorized(err)
}

// replace puts another set in force and has those objects judged again that it concerns.
func (s *session) replace(ctx context.Context, all *sync.WaitGroup) error {
	old, set := s.set.Load(), s.Policies.Current()
	if old.Digest() == set.Digest() || set.Digest() == "" {
		return nil
	}
	s.set.Store(set)
	s.publish(func(p *Progress) { p.Set, p.Synced = set.Digest(), false })
	if err := s.reconcile(ctx, all, rejudged); err != nil {
		return err
	}
	c := differences(old, set)
	var rest []schema.GroupKind
	for gk, f := range s.feeds {
		if c.everything || c.concerns(gk) {
			f.again()
		} else {
			rest = append(rest, gk)
		}
	}
	// The exemptions' objects first: then the kinds that have nothing else to be judged for
	// are up to date.
	err := errors.Join(s.byExemption(ctx, c.assignments), s.byNamespace(ctx, c.namespaces))
	for _, gk := range rest {
		s.caughtUp(ctx, s.feeds[gk])
	}
	return err
}

func (f *feed) again() {
	select {
	case f.relist <- struct{}{}:
	default:
	}
}

// pass hands a task to the worker of its object.
func (s *session) pass(ctx context.Context, t task) error {
	uid := t.gone
	if t.object != nil {
		uid = t.object.GetUID()
	}
	h := fnv.New32a()
	h.Write([]byte(uid))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case s.work[int(h.Sum32())%len(s.work)] <- t:
		return nil
	}
}

// barrier waits until everything that was passed on before is stored.
func (s *session) barrier(ctx context.Context) error {
	var left atomic.Int32
	left.Store(int32(len(s.work)))
	done := make(chan struct{})
	for _, w := range s.work {
		t := task{mark: func() {
			if left.Add(-1) == 0 {
				close(done)
			}
		}}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w <- t:
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return nil
	}
}

// caughtUp notes, once everything that was passed on is stored, that a kind was judged as a
// whole under the set in force now.
func (s *session) caughtUp(ctx context.Context, f *feed) {
	set := s.set.Load()
	if len(f.relist) > 0 || s.barrier(ctx) != nil {
		return
	}
	s.note(f.kind, set.Digest())
	s.checkSynced(set)
}

// note remembers under which set a kind was judged as a whole; "" for none yet.
func (s *session) note(gk schema.GroupKind, digest string) {
	s.noting.Lock()
	defer s.noting.Unlock()
	s.caught[gk] = digest
}

// checkSynced publishes that every kind is judged, when it is so.
func (s *session) checkSynced(set *engine.Set) {
	if s.set.Load() != set || !s.synced(set) {
		return
	}
	s.publish(func(p *Progress) { p.Synced, p.Error = p.Set == set.Digest(), "" })
}

// synced reports whether every kind is judged under the set.
func (s *session) synced(set *engine.Set) bool {
	s.noting.Lock()
	defer s.noting.Unlock()
	for _, d := range s.caught {
		if d != set.Digest() {
			return false
		}
	}
	return true
}

// untilExpiry returns in how long the next exemption ends.
func (s *session) untilExpiry() time.Duration {
	now, out := s.Clock.Now(), time.Hour
	for _, e := range s.set.Load().Exemptions() {
		if left := e.Expires.Sub(now); !e.Expires.IsZero() && left > 0 && left < out {
			out = left
		}
	}
	return out + time.Millisecond
}

// expired judges the objects again that an exemption covered which is over.
func (s *session) expired(ctx context.Context) error {
	now := s.Clock.Now()
	over := map[string]bool{}
	for _, e := range s.set.Load().Exemptions() {
		if !e.Expires.IsZero() && !now.Before(e.Expires) {
			over[e.Assignment] = true
		}
	}
	return s.byExemption(ctx, over)
}

// one judges a live object again, as it is now.
func (s *session) one(ctx context.Context, o stored) error {
	f := s.feeds[o.kind]
	if f == nil {
		return nil
	}
	u, err := f.client().Namespace(o.namespace).Get(ctx, o.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && u.GetUID() != o.uid {
		return nil // The feed is told of it.
	}
	if err != nil {
		return fmt.Errorf("reading %s %s/%s: %w", o.kind.Kind, o.namespace, o.name, err)
	}
	return s.pass(ctx, task{kind: o.kind, object: u, cause: rejudged})
}
