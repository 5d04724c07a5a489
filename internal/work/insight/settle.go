package insight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/work"
)

// perRound is how many signals are taken at once; there are as many rounds as are needed.
const perRound = 200

// again is how long a signal waits whose item could not be changed.
const again = 10 * time.Second

// Settle does what is due: it looks for vulnerabilities, opens items for signals that have
// waited, tells items of repeats, resolves what is well, and brings back what somebody
// dismissed until now. What fails is tried again later and does not hold up the rest.
func (s *Service) Settle(ctx context.Context) error {
	s.settle.Lock()
	defer s.settle.Unlock()
	if err := s.takeInventory(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		now := s.Clock.Now()
		due, err := list(ctx, s.DB, `due > 0 AND due <= ? ORDER BY due, sig_key LIMIT ?`, ms(now), perRound)
		if err != nil || len(due) == 0 {
			return err
		}
		// The most telling opens the item that the others join; one that has an item already
		// goes before all that have none.
		slices.SortStableFunc(due, func(a, b row) int {
			return cmp.Or(cmp.Compare(boolInt(a.Item == 0), boolInt(b.Item == 0)), cmp.Compare(rank(a.Source), rank(b.Source)), a.First.Compare(b.First))
		})
		for _, r := range due {
			if err := s.one(ctx, r, now); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				s.Logger.Warn("settling a signal", "signal", r.Key, "source", r.Source, "error", err)
				if err := s.change(ctx, r, func(r *row) bool { r.due = now.Add(again); return true }); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// one settles one signal. Whatever it does, its row is not due any more afterwards, or
// later.
func (s *Service) one(ctx context.Context, r row, now time.Time) error {
	// One before it in this round may have changed it.
	r, ok, err := find(ctx, s.DB, r.Project, r.Key)
	if err != nil || !ok || r.due.IsZero() || r.due.After(now) {
		return err
	}
	switch {
	case r.State == Candidate, r.State == Dismissed:
		return s.open(ctx, r, now)
	case r.State == Open && !r.Healthy.IsZero():
		return s.verify(ctx, r, now)
	case r.State == Open && r.repeats > 0:
		return s.flush(ctx, r)
	}
	return s.change(ctx, r, func(r *row) bool { r.due = time.Time{}; return true })
}

// flush tells an item of repeats.
func (s *Service) flush(ctx context.Context, r row) error {
	_, err := s.Items.Raise(ctx, Actor(), work.Signal{
		Project: r.Project, Source: r.Source, Rule: r.Rule, Resource: r.Resource, Group: r.Group, Title: r.Title, Severity: r.Severity, Type: r.Type,
		Seen: r.Last, Times: r.repeats, Exposure: r.Exposure, Onto: r.Item,
	})
	if err != nil {
		return err
	}
	return s.change(ctx, r, func(now *row) bool {
		now.repeats -= min(r.repeats, now.repeats)
		if now.Healthy.IsZero() {
			now.due = time.Time{}
		}
		return true
	})
}

// open gives a signal its item.
func (s *Service) open(ctx context.Context, r row, now time.Time) error {
	if wait, err := s.held(ctx, r, now); err != nil || wait {
		return err
	}
	onto, err := s.join(ctx, r, now)
	if err != nil {
		return err
	}
	if onto == 0 && r.Item == 0 {
		if onto, err = s.umbrella(ctx, r, now); err != nil {
			return err
		}
	}
	c := s.cause(ctx, r)
	raised, err := s.Items.Raise(ctx, Actor(), s.signal(r, c, onto))
	if err != nil {
		return err
	}
	n := raised.Item.Number
	if raised.What == work.RaisedRepeated && r.Item == n && r.Fixed != "" {
		// The item is open already, and can be mended from now on.
		if _, err := s.Items.Comment(ctx, Actor(), n, "Can be mended now: "+markdown(r.Title)); err != nil && !fault.Is(err, fault.TooLarge) {
			return err
		}
	}
	c.Item = n
	if err := s.keepCause(ctx, c, raised.What == work.RaisedRepeated || raised.What == work.RaisedJoined); err != nil {
		return err
	}
	return s.change(ctx, r, func(is *row) bool {
		is.repeats -= min(r.repeats, is.repeats)
		is.Item, is.due = n, time.Time{}
		switch {
		case raised.What == work.RaisedSuppressed:
			is.State = Dismissed
			if i := raised.Item.Insight; i != nil && i.Until.After(now) {
				is.due = i.Until
			}
			return true
		case is.State == Resolved:
			// It was closed, or over, while the item was being made: say so again.
			is.State, is.Healthy, is.due = Open, now, now
		}
		is.State = Open
		if raised.What != work.RaisedRepeated {
			is.opened = now
		}
		if !is.Healthy.IsZero() && is.due.IsZero() {
			is.due = now
			if is.Source == SourceCrash {
				is.due = is.Healthy.Add(s.options.CrashQuiet)
			}
		}
		return true
	})
}

// held reports whether a signal waits for the end of a trial, and puts it off: that of its
// release, or for an error any that ran when it was seen first. A service that did not change
// for many releases logs what the canary of another answers it.
func (s *Service) held(ctx context.Context, r row, now time.Time) (bool, error) {
	if r.Release == "" || r.Source == SourceCanary {
		return false, nil
	}
	var since time.Time
	if r.Source == SourceError {
		since = r.First
	}
	var n int
	err := s.DB.QueryRow(ctx, `SELECT COUNT(*) FROM insight_trial WHERE project = ? AND environment = ? AND finished = 0 AND started > ?
		AND (release_id = ? OR stable = ? OR started <= ?)`, r.Project, r.Environment, ms(now.Add(-s.options.Hold)), r.Release, r.Release, ms(since)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking for a trial of %s: %w", r.Release, err)
	}
	if n == 0 {
		return false, nil
	}
	return true, s.change(ctx, r, func(r *row) bool { r.due = now.Add(s.options.Every); return true })
}

// verify resolves a signal that has been well for long enough, when it is mended indeed.
func (s *Service) verify(ctx context.Context, r row, now time.Time) error {
	why, mended, err := s.mended(ctx, r)
	if fault.Is(err, fault.Unavailable) {
		return s.change(ctx, r, func(is *row) bool { is.due = now.Add(s.options.Every); return is.seq == r.seq })
	}
	if err != nil {
		return err
	}
	if !mended {
		return s.change(ctx, r, func(is *row) bool {
			if is.seq != r.seq {
				return false // It was seen meanwhile; what is due then stands.
			}
			if is.Source == SourceError {
				// It is absent since later than was thought.
				is.Healthy, is.due = now, now.Add(s.options.ErrorQuiet)
				return true
			}
			is.Healthy, is.due, is.Cure, is.Why = time.Time{}, time.Time{}, "", ""
			return true
		})
	}
	if r.repeats > 0 {
		if err := s.flush(ctx, r); err != nil {
			return err
		}
	}
	done, err := s.clear(ctx, r, why, now)
	if err != nil {
		return err
	}
	err = s.change(ctx, r, func(is *row) bool {
		if is.seq != r.seq && is.Healthy.IsZero() {
			// It came back while it was cleared: it is raised again.
			is.State, is.due = Candidate, now
			return true
		}
		is.State, is.Resolved, is.Why, is.due, is.repeats = Resolved, now, why, time.Time{}, 0
		return true
	})
	if err != nil || done || r.Source == SourceStorm {
		return err
	}
	return s.calm(ctx, r.Item, now)
}

// clear takes a signal off its item, with a comment that holds the evidence, and reports
// whether that closed the item.
func (s *Service) clear(ctx context.Context, r row, why string, now time.Time) (bool, error) {
	if _, err := s.Items.Comment(ctx, Actor(), r.Item, resolution(r, why, now)); err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.TooLarge) {
		return false, err
	}
	first, _, _ := strings.Cut(why, "\n")
	it, err := s.Items.Clear(ctx, Actor(), r.Project, r.Key, first, proof(r))
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return it.Category == work.Completed, err
}

// proof links what shows that a signal is well.
func proof(r row) []work.Link {
	var out []work.Link
	if r.Cure != "" {
		out = append(out, work.Link{Rel: event.RelConcerns, Kind: event.KindRelease, Subject: string(event.Of(event.KindRelease, r.Cure)), Title: "release " + r.Cure})
	}
	return out
}

// resolution is the comment with which a signal is cleared.
func resolution(r row, why string, now time.Time) string {
	text := "**Well again:** " + r.Title + "\n\n" + why + "\n"
	if r.Cure != "" {
		text += "\n- release " + r.Cure
		if q := cureQuery(r); q != "" {
			text += "\n\n```kusto\n" + q + "\n```\n"
		}
	}
	for _, e := range r.Evidence[:min(len(r.Evidence), 3)] {
		text += "\n" + evidenceLine(e)
	}
	return text + fmt.Sprintf("\n\nSeen %d times from %s to %s; cleared %s.", r.Count, moment(r.First), moment(r.Last), moment(now))
}

// cureQuery shows that the operation is well in the release that mended it.
func cureQuery(r row) string {
	if r.Source != SourceCanary && r.Source != SourceRegression {
		return ""
	}
	var o event.Operation
	if len(r.Operations) > 0 {
		o = r.Operations[0]
	}
	return operationQuery(r.Cure, o)
}
