package insight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/work"
)

// join returns the open item of the same cause, 0 for none: that of a canary that was tried
// when an error was seen first, else that of the earliest signal of the release that
// correlates. A signal that has had an item goes back to it.
func (s *Service) join(ctx context.Context, r row, now time.Time) (int64, error) {
	if r.Item != 0 || r.Release == "" {
		return 0, nil
	}
	others, err := list(ctx, s.DB, `project = ? AND environment = ? AND state = ? AND item <> 0 AND source <> ? AND last_seen >= ? ORDER BY opened, sig_key LIMIT 500`,
		r.Project, r.Environment, Open, SourceStorm, ms(now.Add(-s.options.Window)))
	if err != nil {
		return 0, err
	}
	for _, related := range []func(context.Context, row, row) (bool, error){s.duringTrial, sameRelease} {
		for _, o := range others {
			same, err := related(ctx, r, o)
			if err == nil && same {
				same, err = s.sameWorkload(ctx, r, o)
			}
			if err == nil && same {
				same, err = s.isOpen(ctx, o.Item)
			}
			if err != nil {
				return 0, err
			}
			if same {
				return o.Item, nil
			}
		}
	}
	return 0, nil
}

// sameRelease reports whether two signals concern one release. An alert names the release
// that serves, which beside a canary is the stable one.
func sameRelease(_ context.Context, a, b row) (bool, error) {
	if a.Release == b.Release {
		return true, nil
	}
	return a.Source == SourceAlert && b.Source == SourceCanary && a.Release == b.Stable ||
		b.Source == SourceAlert && a.Source == SourceCanary && b.Release == a.Stable, nil
}

// duringTrial reports whether one of two signals is an error that was seen first while the
// canary of the other was tried.
func (s *Service) duringTrial(ctx context.Context, a, b row) (bool, error) {
	if a.Source == SourceCanary {
		a, b = b, a
	}
	if a.Source != SourceError || b.Source != SourceCanary {
		return false, nil
	}
	var n int
	err := s.DB.QueryRow(ctx, `SELECT COUNT(*) FROM insight_trial WHERE release_id = ? AND started <= ? AND (finished = 0 OR finished >= ?)`,
		b.Release, ms(a.First), ms(a.First.Add(-s.options.Debounce))).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking for the trial of %s: %w", b.Release, err)
	}
	return n > 0, nil
}

// sameWorkload reports whether two signals overlap in what they concern.
func (s *Service) sameWorkload(ctx context.Context, a, b row) (bool, error) {
	if overlap(a.Workloads, b.Workloads) {
		return true, nil
	}
	if s.Telemetry == nil {
		return false, nil
	}
	for _, pair := range [][2]row{{a, b}, {b, a}} {
		for _, w := range pair[0].Workloads {
			callers, err := s.Telemetry.Callers(ctx, a.Project, a.Environment, w)
			if err != nil {
				// Two items are better than none.
				s.Logger.Warn("asking who calls a service", "service", w, "error", err)
				return false, nil
			}
			if len(callers) > 0 && overlap(callers, pair[1].Workloads) {
				return true, nil
			}
		}
	}
	return false, nil
}

// overlap reports whether two lists name one workload; a list without names speaks of all.
func overlap(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return oneWorkload(x, y) })
	})
}

// oneWorkload reports whether two names are of one workload: charts put the release's name
// before the service's.
func oneWorkload(a, b string) bool {
	return a == b || strings.HasSuffix(a, "-"+b) || strings.HasSuffix(b, "-"+a)
}

// isOpen reports whether an item can be joined.
func (s *Service) isOpen(ctx context.Context, item int64) (bool, error) {
	it, err := s.Items.Get(ctx, Actor(), item)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return it.Category != work.Completed && it.Category != work.Removed, err
}

// umbrella returns the item that stands for a storm of one source, 0 when there is none.
// A source that opens more items than Options.Storm within Options.StormSpan opens one
// more, and everything after it joins that one.
func (s *Service) umbrella(ctx context.Context, r row, now time.Time) (int64, error) {
	if r.Group != "" {
		open, err := list(ctx, s.DB, `project = ? AND source = ? AND state = ? AND item <> 0 AND rule = ? LIMIT 1`, r.Project, r.Source, Open, r.Rule)
		if err != nil || len(open) > 0 {
			return 0, err // It goes to the item of its group.
		}
	}
	var items int
	err := s.DB.QueryRow(ctx, `SELECT COUNT(DISTINCT item) FROM insight_signal WHERE project = ? AND source = ? AND opened >= ? AND item <> 0`,
		r.Project, r.Source, ms(now.Add(-s.options.StormSpan))).Scan(&items)
	if err != nil {
		return 0, fmt.Errorf("counting items: %w", err)
	}
	if items < s.options.Storm {
		return 0, nil
	}
	storm := row{Signal: Signal{
		Project: r.Project, Key: key(SourceStorm, r.Source, r.Source), Source: SourceStorm, Rule: r.Source, Resource: r.Source, Severity: r.Severity, State: Open,
		First: now, Last: now, Count: 1, Record: Record{
			Title: fmt.Sprintf("Storm: more than %d new items of %s within %s", s.options.Storm, r.Source, s.options.StormSpan), Type: "bug",
			Evidence: []Evidence{{Text: "What comes of this source from now on joins this item.", At: now}}, Exposure: r.Exposure,
		},
	}, opened: now}
	if old, ok, err := find(ctx, s.DB, storm.Project, storm.Key); err != nil || ok && old.State == Open {
		return old.Item, err
	}
	raised, err := s.Items.Raise(ctx, Actor(), s.signal(storm, Cause{}, 0))
	if err != nil || raised.What == work.RaisedSuppressed {
		return 0, err
	}
	storm.Item = raised.Item.Number
	return storm.Item, s.write(ctx, storm)
}

// calm clears the umbrella of a storm when nothing is left below it.
func (s *Service) calm(ctx context.Context, item int64, now time.Time) error {
	left, err := list(ctx, s.DB, `item = ? AND state IN (?, ?) ORDER BY sig_key LIMIT 2`, item, Open, Candidate)
	if err != nil || len(left) != 1 || left[0].Source != SourceStorm {
		return err
	}
	storm := left[0]
	if _, err := s.Items.Clear(ctx, Actor(), storm.Project, storm.Key, "The storm is over: everything below it is well.", nil); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return s.change(ctx, storm, func(r *row) bool { r.State, r.Resolved = Resolved, now; return true })
}
