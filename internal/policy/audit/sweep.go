package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
)

// sweepResult is what a sweep found.
type sweepResult struct {
	differences int
	err         error
}

// Patience of a sweep with what changes while it looks.
const (
	lookAgain = 200 * time.Millisecond
	maxLooks  = 15
)

// errMoved ends a sweep: another set came into force.
var errMoved = errors.New("another policy set came into force meanwhile")

// SweepNow lists everything again, repairs what differs from what is stored and returns the
// number of differences, which is also published by Progress. It waits until the audit has
// caught up with the set in force.
func (s *Service) SweepNow(ctx context.Context) (differences int, err error) {
	for {
		if s.live.Load() == nil {
			return 0, fault.New(fault.Unavailable, "The cluster is not there, so it cannot be audited.").WithNext("look at `towpath status`")
		}
		changed := s.Changed()
		if s.Progress().Synced {
			answer := make(chan sweepResult, 1)
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case s.sweeps <- answer:
			}
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case r := <-answer:
				if !errors.Is(r.err, errMoved) {
					return r.differences, r.err
				}
			}
			continue
		}
		select {
		case <-ctx.Done():
			return 0, fault.Wrap(fault.Unavailable, ctx.Err(), "The audit has not caught up with the cluster yet.").WithNext("try again later")
		case <-changed:
		}
	}
}

// begin starts a sweep. The feeds are those of now: the session's own are not for others.
func (s *session) begin(ctx context.Context, all *sync.WaitGroup, answer chan<- sweepResult) {
	feeds := maps.Clone(s.feeds)
	all.Go(func() {
		r := sweepResult{}
		if s.synced(s.set.Load()) {
			r.differences, r.err = s.sweep(ctx, feeds)
		} else {
			r.err = errMoved
		}
		if r.err != nil && ctx.Err() == nil && !errors.Is(r.err, errMoved) {
			s.Logger.Warn("the sweep did not end", "error", r.err)
		}
		if answer != nil {
			answer <- r
		}
	})
}

// doubt is an object that seemed to differ: its verdicts may be on their way.
type doubt struct {
	feed      *feed
	uid       types.UID
	namespace string
	name      string
}

// sweep compares everything that lives with what is stored.
func (s *session) sweep(ctx context.Context, feeds map[schema.GroupKind]*feed) (int, error) {
	set := s.set.Load()
	var doubts []doubt
	for gk, f := range feeds {
		there := map[types.UID]bool{}
		var some []*unstructured.Unstructured
		compare := func() error {
			found, err := s.doubtful(ctx, set, f, some)
			doubts, some = append(doubts, found...), some[:0]
			return err
		}
		_, err := f.pages(ctx, metav1.NamespaceAll, func(u *unstructured.Unstructured) error {
			there[u.GetUID()] = true
			if some = append(some, u); len(some) < atOnce {
				return nil
			}
			return compare()
		})
		if err == nil {
			err = compare()
		}
		if err != nil {
			return 0, err
		}
		known, err := s.objects(ctx, `o.api_group = ? AND o.kind = ?`, gk.Group, gk.Kind)
		if err != nil {
			return 0, err
		}
		for _, o := range known {
			if !there[o.uid] {
				doubts = append(doubts, doubt{f, o.uid, o.namespace, o.name})
			}
		}
	}
	doubts, err := s.settle(ctx, set, doubts)
	if err != nil {
		return 0, err
	}
	if err := s.repair(ctx, doubts); err != nil {
		return 0, err
	}
	if err := s.clean(ctx, set); err != nil {
		return 0, err
	}
	s.publish(func(p *Progress) {
		p.Sweeps++
		p.Swept, p.Differences = s.Clock.Now(), len(doubts)
		p.Total += int64(len(doubts))
	})
	return len(doubts), nil
}

// doubtful returns those of some objects of a kind that differ from what is stored of them.
func (s *session) doubtful(ctx context.Context, set *engine.Set, f *feed, some []*unstructured.Unstructured) ([]doubt, error) {
	if s.set.Load() != set {
		return nil, errMoved
	}
	uids := make([]types.UID, len(some))
	for i, u := range some {
		uids[i] = u.GetUID()
	}
	known, err := s.formerOf(ctx, uids)
	if err != nil {
		return nil, err
	}
	var out []doubt
	for _, u := range some {
		was, had := known[u.GetUID()]
		same, err := s.same(ctx, set, f.kind, u, was, had)
		if err != nil {
			return nil, err
		}
		if !same {
			out = append(out, doubt{f, u.GetUID(), u.GetNamespace(), u.GetName()})
		}
	}
	return out, nil
}

// same reports whether the verdicts that are stored of an object, if any are, are those that
// it gets now.
func (s *session) same(ctx context.Context, set *engine.Set, gk schema.GroupKind, u *unstructured.Unstructured, known former, had bool) (bool, error) {
	at := set.PlaceOf(s.opts.Cluster, u.GetNamespace())
	verdicts, err := s.verdicts(ctx, set, u.Object, gk, at)
	if err != nil {
		return false, err
	}
	if !had {
		return len(verdicts) == 0, nil
	}
	was, old := known.bearing, known.rows
	if len(old) != len(verdicts) || was.project != at.Project || was.environment != at.Environment || was.images != strings.Join(digests(u.Object), " ") {
		return false, nil
	}
	for _, v := range verdicts {
		is, had := old[[2]string{v.Assignment, v.Reference}]
		want := said(v)
		if !had || is.policy != v.Policy || is.said != want {
			return false, nil
		}
	}
	return true, nil
}

// settle looks at what differed again, until its latest version is stored, and returns what
// differs still.
func (s *session) settle(ctx context.Context, set *engine.Set, doubts []doubt) ([]doubt, error) {
	for range maxLooks {
		if len(doubts) == 0 {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lookAgain):
		}
		if err := s.barrier(ctx); err != nil {
			return nil, err
		}
		if s.set.Load() != set {
			return nil, errMoved
		}
		var left []doubt
		for _, d := range doubts {
			same, err := s.settled(ctx, set, d)
			if err != nil {
				return nil, err
			}
			if !same {
				left = append(left, d)
			}
		}
		doubts = left
	}
	return doubts, nil
}

// settled looks at one object again.
func (s *session) settled(ctx context.Context, set *engine.Set, d doubt) (bool, error) {
	u, err := d.read(ctx)
	if err != nil {
		return false, err
	}
	known, err := s.formerOf(ctx, []types.UID{d.uid})
	if err != nil {
		return false, err
	}
	was, had := known[d.uid]
	if u == nil {
		return !had, nil
	}
	return s.same(ctx, set, d.feed.kind, u, was, had)
}

// read returns the object as it is now; nil when it is gone.
func (d doubt) read(ctx context.Context) (*unstructured.Unstructured, error) {
	u, err := d.feed.client().Namespace(d.namespace).Get(ctx, d.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && u.GetUID() != d.uid {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s/%s: %w", d.feed.kind.Kind, d.namespace, d.name, err)
	}
	return u, nil
}

// repair has what differs stored as it is.
func (s *session) repair(ctx context.Context, doubts []doubt) error {
	for _, d := range doubts {
		s.Logger.Warn("the audit missed a change; it is put right", "kind", d.feed.kind.Kind, "namespace", d.namespace, "name", d.name)
		u, err := d.read(ctx)
		if err != nil {
			return err
		}
		t := task{kind: d.feed.kind, object: u, cause: changed}
		if u == nil {
			t.gone = d.uid
			s.index.remove(d.uid)
		} else {
			s.index.add(&d.feed.kind, d.uid)
		}
		if err := s.pass(ctx, t); err != nil {
			return err
		}
	}
	if len(doubts) == 0 {
		return nil
	}
	return s.barrier(ctx)
}

// clean removes rules that are no longer in force and that no verdict names.
func (s *session) clean(ctx context.Context, set *engine.Set) error {
	keep := map[ruleID]bool{}
	for _, r := range set.Rules() {
		keep[ruleID{r.Assignment, r.Reference, r.Policy}] = true
	}
	rows, err := s.DB.Query(ctx, `SELECT id, assignment, rule, policy FROM audit_rule r WHERE NOT EXISTS (SELECT 1 FROM audit_verdict v WHERE v.rule = r.id)`)
	if err != nil {
		return fmt.Errorf("reading audited rules: %w", err)
	}
	var old []int64
	for rows.Next() {
		var id int64
		var r ruleID
		if err := rows.Scan(&id, &r.assignment, &r.rule, &r.policy); err != nil {
			return errors.Join(err, rows.Close())
		}
		if !keep[r] {
			old = append(old, id)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(old) == 0 {
		return err
	}
	done := make(chan struct{})
	// The writer knows rules by number: it is the one who forgets them.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case s.results <- result{task: task{mark: func() { close(done) }}, forget: old}:
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return nil
	}
}

// forgetRules removes rules unless a verdict names them by now.
func (w *writer) forgetRules(ctx context.Context, ids []int64) error {
	err := w.DB.Tx(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if _, err := tx.Exec(ctx, `DELETE FROM audit_rule WHERE id = ? AND NOT EXISTS (SELECT 1 FROM audit_verdict v WHERE v.rule = ?)`, id, id); err != nil {
				return fmt.Errorf("removing an audited rule: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for r, id := range w.rules {
		for _, old := range ids {
			if id == old {
				delete(w.rules, r) // It is made again when it is needed again.
			}
		}
	}
	return nil
}

// said is what is stored of what a verdict says.
func said(v rule.Verdict) saying {
	out := saying{outcome: v.Outcome, violations: len(v.Violations), exemption: v.Exemption}
	if len(v.Violations) > 0 {
		out.path, out.message = clip(v.Violations[0].Path), clip(v.Violations[0].Message)
	}
	if v.Outcome == rule.Error {
		out.message = clip(v.Why)
	}
	return out
}
