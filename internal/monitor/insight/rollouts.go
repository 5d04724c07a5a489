package insight

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// CompareDue compares every rollout whose time has come: as soon as the sample suffices,
// at the latest Options.After its start; one that is unclear then once more when its sample
// suffices, or Options.Last after its start.
func (s *Service) CompareDue(ctx context.Context) error {
	now := s.Clock.Now()
	rollouts, err := s.Releases.Rollouts(ctx, now.Add(-s.o.Last-s.o.After))
	if err != nil {
		return fmt.Errorf("reading rollouts: %w", err)
	}
	for i, r := range rollouts {
		age := now.Sub(r.Live)
		if r.Baseline == "" || r.Live.IsZero() || age < s.o.Settle {
			continue
		}
		old, err := s.stored(ctx, r.Release)
		switch {
		case err == nil && old.Final:
			continue
		case err != nil && !fault.Is(err, fault.NotFound):
			return err
		}
		// A release that was replaced is compared by what it did until then.
		end := now
		for _, next := range rollouts[i+1:] {
			if next.Project == r.Project && next.Environment == r.Environment && !next.Live.IsZero() {
				end = next.Live
				break
			}
		}
		if err := s.compareOne(ctx, r, end, old); err != nil {
			return fmt.Errorf("comparing %s: %w", r.Release, err)
		}
	}
	return nil
}

// compareOne looks at a rollout, and stores what it finds when it is time to say it.
func (s *Service) compareOne(ctx context.Context, r Rollout, end time.Time, old Comparison) error {
	now := Scope{Project: r.Project, Environment: r.Environment, From: r.Live.Add(s.o.Settle), To: end}
	before := Scope{Project: r.Project, Environment: r.Environment, From: r.Started.Add(-s.o.History), To: r.Started}
	if !now.From.Before(now.To) {
		return nil
	}
	a, err := s.samples(ctx, now, r.Release)
	if err != nil {
		return err
	}
	b, err := s.samples(ctx, before, r.Baseline)
	if err != nil {
		return err
	}
	age, replaced := s.Clock.Now().Sub(r.Live), end.Before(s.Clock.Now())
	sufficient := enough(a, b, int64(s.o.Sample))
	last := age >= s.o.Last || replaced
	if !sufficient && !last && (age < s.o.After || old.Release != "") {
		return nil // It is looked at again.
	}
	c := Comparison{
		Release: r.Release, Project: r.Project, Environment: r.Environment, Baseline: r.Baseline, Compared: s.Clock.Now(), Operations: compare(a, b),
		Queries: []string{sampleText(now, r.Release), sampleText(before, r.Baseline)},
	}
	c.Verdict, c.Why = verdictOf(c.Operations)
	c.Final = sufficient || last || c.Verdict != Unclear
	c.Operations = c.Operations[:min(len(c.Operations), maxListed)]
	if c.Errors, err = s.groups(ctx, r.Project, GroupFilter{FirstRelease: r.Release, Limit: maxListed}); err != nil {
		return err
	}
	if c.Patterns, err = s.novel(ctx, now, before, r.Release, r.Baseline); err != nil {
		return err
	}
	return s.keep(ctx, r, c, old)
}

// keep stores a comparison with its event.
func (s *Service) keep(ctx context.Context, r Rollout, c, old Comparison) error {
	document, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing a comparison: %w", err)
	}
	final := 0
	if c.Final {
		final = 1
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO insight_comparison (release, project, environment, baseline, started, verdict, final, compared, document) VALUES (?,?,?,?,?,?,?,?,?)
			ON CONFLICT (release) DO UPDATE SET verdict = excluded.verdict, final = excluded.final, compared = excluded.compared, document = excluded.document`,
			c.Release, c.Project, c.Environment, c.Baseline, r.Started.UnixMilli(), c.Verdict, final, c.Compared.UnixMilli(), string(document))
		if err != nil {
			return fmt.Errorf("storing a comparison: %w", err)
		}
		if old.Release != "" && old.Verdict == c.Verdict {
			return nil // It was said.
		}
		var changed []event.Operation
		for _, o := range c.Operations {
			if o.Verdict == Worse || o.Verdict == Better {
				changed = append(changed, o)
			}
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeReleaseCompared, Subject: event.Of(event.KindRelease, c.Release), Project: c.Project, Actor: system(),
			Payload: event.ReleaseCompared{
				V: 1, Release: c.Release, Environment: c.Environment, Baseline: c.Baseline, Verdict: c.Verdict, Why: c.Why, Operations: changed,
			},
		})
	})
}

// stored returns the comparison of a release.
func (s *Service) stored(ctx context.Context, release string) (Comparison, error) {
	var document string
	err := s.DB.QueryRow(ctx, `SELECT document FROM insight_comparison WHERE release = ?`, release).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return Comparison{}, fault.New(fault.NotFound, "Release %s was not compared yet.", release).WithNext("wait until it has answered enough requests")
	}
	if err != nil {
		return Comparison{}, fmt.Errorf("reading a comparison: %w", err)
	}
	var c Comparison
	if err := json.Unmarshal([]byte(document), &c); err != nil {
		return Comparison{}, fmt.Errorf("reading a comparison: %w", err)
	}
	return c, nil
}

// Comparison returns what a release of a project does beside the one before it.
func (s *Service) Comparison(ctx context.Context, a identity.Actor, project, release string) (Comparison, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Comparison{}, err
	}
	c, err := s.stored(ctx, release)
	if err == nil && c.Project != project {
		return Comparison{}, fault.New(fault.NotFound, "Release %s is none of project %s.", release, project)
	}
	return c, err
}

// Mark is a release on an axis of time, with what was found of it.
type Mark struct {
	Rollout
	Verdict string `json:"verdict,omitempty"` // "" while it is not compared
	Why     string `json:"why,omitempty"`
}

// Marks returns the releases of a project in a range of time, oldest first; environment ""
// is any.
func (s *Service) Marks(ctx context.Context, a identity.Actor, in Scope) ([]Mark, error) {
	in.All = false
	if err := s.check(ctx, a, &in); err != nil {
		return nil, err
	}
	rollouts, err := s.Releases.Between(ctx, in.Project, in.Environment, in.From, in.To)
	if err != nil {
		return nil, err
	}
	out := make([]Mark, len(rollouts))
	for i, r := range rollouts {
		out[i] = Mark{Rollout: r}
		c, err := s.stored(ctx, r.Release)
		switch {
		case err == nil:
			out[i].Verdict, out[i].Why = c.Verdict, c.Why
		case !fault.Is(err, fault.NotFound):
			return nil, err
		}
	}
	return out, nil
}
