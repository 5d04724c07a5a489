package alert

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert/route"
	"towpath.dev/towpath/internal/store"
)

// maxSilences is how many silences of a project there may be that are not over.
const maxSilences = 500

// storedSilence is a silence with when it was last changed.
type storedSilence struct {
	Silence
	Changed time.Time `json:"changed"`
}

func (x storedSilence) route() route.Silence {
	return route.Silence{ID: x.ID, Project: x.Project, Matchers: matching(x.Matchers), Starts: x.Starts, Until: x.Until, Changed: x.Changed, By: x.By, Why: x.Why}
}

func (x storedSilence) at(now time.Time) Silence {
	out := x.Silence
	switch {
	case !now.Before(out.Until):
		out.State = "expired"
	case now.Before(out.Starts):
		out.State = "pending"
	default:
		out.State = "active"
	}
	return out
}

// Silences lists the silences of a project, the youngest first, also those that expired
// within Options.Keep. It needs read of the project; "" needs an administrator.
func (s *Service) Silences(ctx context.Context, a identity.Actor, project string) ([]Silence, error) {
	if err := s.maySee(ctx, a, project); err != nil {
		return nil, err
	}
	stored, err := bodies[storedSilence](ctx, s.DB, `SELECT body FROM alert_silence WHERE project = ?`, project)
	if err != nil {
		return nil, err
	}
	out := make([]Silence, len(stored))
	for i, x := range stored {
		out[i] = x.at(s.Clock.Now())
	}
	slices.SortFunc(out, func(a, b Silence) int { return cmp.Compare(b.ID, a.ID) })
	return out, nil
}

// Silence makes a silence. It needs write in its project; "" needs an administrator.
func (s *Service) Silence(ctx context.Context, a identity.Actor, in Silence) (Silence, error) {
	if err := s.may(ctx, a, in.Project, identity.Write); err != nil {
		return Silence{}, err
	}
	now := s.Clock.Now()
	if in.Starts.IsZero() || in.Starts.Before(now) {
		in.Starts = now
	}
	switch {
	case len(in.Matchers) == 0 || len(in.Matchers) > maxMatchers:
		return Silence{}, fault.New(fault.Invalid, "A silence has from 1 to %d matchers.", maxMatchers).WithNext("name at least alertname")
	case !in.Until.After(in.Starts):
		return Silence{}, fault.New(fault.Invalid, "The silence ends before it starts.")
	case in.Until.Sub(now) > 366*24*time.Hour:
		return Silence{}, fault.New(fault.Invalid, "A silence lasts at most a year.")
	case in.Why == "" || len(in.Why) > maxText:
		return Silence{}, fault.New(fault.Invalid, "A silence needs a reason.").WithNext("say why, for whoever finds it")
	}
	if err := route.Check(matching(in.Matchers)); err != nil {
		return Silence{}, err
	}
	in.ID, in.By, in.State = s.Clock.NewID(), a.String(), ""
	in.Starts, in.Until = in.Starts.UTC(), in.Until.UTC()
	x := storedSilence{in, now}
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM alert_silence WHERE project = ? AND until > ?`, in.Project, ms(now)).Scan(&n); err != nil {
			return fmt.Errorf("counting silences: %w", err)
		}
		if n >= maxSilences {
			return fault.New(fault.TooLarge, "A project has at most %d silences at a time.", maxSilences)
		}
		return s.putSilence(ctx, tx, x, "created", a.String())
	})
	return x.at(now), err
}

func (s *Service) putSilence(ctx context.Context, tx *store.Tx, x storedSilence, what, actor string) error {
	body, err := encode(x)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO alert_silence (id, project, until, body) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET until = excluded.until, body = excluded.body`, x.ID, x.Project, ms(x.Until), body)
	if err != nil {
		return fmt.Errorf("storing silence %s: %w", x.ID, err)
	}
	tx.AfterCommit(func() {
		if r := s.routing(); r != nil {
			s.complain("silencing", r.Silence(x.route()))
		}
	})
	p := event.SilenceChanged{V: 1, Silence: x.ID, What: what, Until: x.Until, Why: x.Why}
	for _, m := range x.Matchers {
		p.Matchers = append(p.Matchers, fmt.Sprintf("%s%s%q", m.Label, m.Operator, m.Value))
	}
	return s.Log.Append(ctx, tx, event.Fact{Type: event.TypeSilenceChanged, Subject: event.Of(event.KindProject, x.Project), Project: x.Project, Actor: actor, Payload: p})
}

// Expire ends a silence now. It needs what Silence needs.
func (s *Service) Expire(ctx context.Context, a identity.Actor, id string) error {
	if !a.Known() {
		return s.Auth.RequireAdmin(ctx, a)
	}
	missing := noneSuch("silence", id)
	x, err := one[storedSilence](ctx, s.DB, missing, `SELECT body FROM alert_silence WHERE id = ?`, id)
	if err != nil {
		return err
	}
	if err := s.may(ctx, a, x.Project, identity.Write); err != nil {
		if fault.Is(err, fault.NotFound) {
			return missing
		}
		return err
	}
	now := s.Clock.Now()
	if !now.Before(x.Until) {
		return nil
	}
	// Of two versions of a silence the younger counts, also when the clock stood or went back.
	x.Until, x.Changed = now, later(now, x.Changed.Add(time.Millisecond))
	x.Starts = earlier(x.Starts, now)
	return s.DB.Tx(ctx, func(tx *store.Tx) error { return s.putSilence(ctx, tx, x, "expired", a.String()) })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
