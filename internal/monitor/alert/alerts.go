package alert

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// around is how long before it fired evaluations belong to an alert's page.
const around = time.Hour

// Alerts lists alerts, newest first. It needs read of the filter's project; without one an
// administrator.
func (s *Service) Alerts(ctx context.Context, a identity.Actor, f Filter) ([]Alert, error) {
	if err := s.maySee(ctx, a, f.Project); err != nil {
		return nil, err
	}
	where, args := f.where()
	limit := limited(f.Limit)
	list, err := bodies[Alert](ctx, s.DB, `SELECT body FROM alert WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	return s.held(ctx, list), err
}

func (f Filter) where() (string, []any) {
	where, args := "1 = 1", []any{}
	for _, c := range []struct{ cond, val string }{
		{"project = ?", f.Project}, {"environment = ?", f.Environment}, {"release = ?", f.Release}, {"rule = ?", f.Rule}, {"severity = ?", f.Severity}, {"id < ?", f.Before},
	} {
		if c.val != "" {
			where += " AND " + c.cond
			args = append(args, c.val)
		}
	}
	switch f.State {
	case Firing:
		where += " AND resolved = 0"
	case Resolved:
		where += " AND resolved > 0"
	}
	return where, args
}

// held adds to open alerts what keeps their notifications back.
func (s *Service) held(ctx context.Context, list []Alert) []Alert {
	r := s.routing()
	if r == nil {
		return list
	}
	for i, a := range list {
		if a.State == Firing {
			list[i].SilencedBy, list[i].Inhibited = r.Held(ctx, routed(a))
		}
	}
	return list
}

// alertFor reads an alert for somebody who needs a role in its project. An alert of a
// project that this actor may not read does not exist for them.
func (s *Service) alertFor(ctx context.Context, a identity.Actor, id string, role identity.Role) (Alert, error) {
	if !a.Known() {
		return Alert{}, s.Auth.RequireAdmin(ctx, a)
	}
	x, err := s.readAlert(ctx, s.DB, id)
	if err != nil {
		return Alert{}, err
	}
	if err := s.may(ctx, a, x.Project, role); err != nil {
		if fault.Is(err, fault.NotFound) || x.Project == "" {
			err = noAlert(id)
		}
		return Alert{}, err
	}
	return x, nil
}

// Alert returns one alert with its history. It needs read of the alert's project.
func (s *Service) Alert(ctx context.Context, a identity.Actor, id string) (Detail, error) {
	x, err := s.alertFor(ctx, a, id, identity.Read)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Alert: s.held(ctx, []Alert{x})[0]}
	all := s.Auth.RequireAdmin(ctx, a) == nil
	if d.History, err = changes(ctx, s.DB, id); err != nil {
		return Detail{}, err
	}
	if err := s.ruleOf(ctx, &d, all); err != nil {
		return Detail{}, err
	}
	if d.Notifications, err = s.notificationsOf(ctx, x, all); err != nil {
		return Detail{}, err
	}
	d.Before, err = bodies[Alert](ctx, s.DB, `SELECT body FROM alert WHERE fingerprint = ? AND id < ? AND project = ? ORDER BY id DESC LIMIT 20`, x.Fingerprint, id, x.Project)
	return d, err
}

// ruleOf adds the rule of an alert and its evaluations to the alert's page. Of a rule of the
// platform only what concerns the alert's project is shown to who is no administrator.
func (s *Service) ruleOf(ctx context.Context, d *Detail, all bool) error {
	x := d.Alert
	d.Evaluations = []Evaluation{}
	r, err := s.readRule(ctx, s.DB, x.Rule)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	firing, err := s.firing(ctx, x.Project, all)
	if err != nil {
		return err
	}
	st := s.stateOf(r, firing[r.ID], x.Project, all)
	d.Rule = &st
	end := x.Resolved
	if end.IsZero() {
		end = s.Clock.Now().Add(time.Minute)
	}
	d.Evaluations, err = bodies[Evaluation](ctx, s.DB, `SELECT body FROM alert_evaluation WHERE rule = ? AND at >= ? AND at <= ? ORDER BY at DESC LIMIT 200`,
		r.ID, ms(x.Fired.Add(-around)), ms(end))
	if err != nil || all || r.Project != "" {
		return err
	}
	for i, e := range d.Evaluations {
		d.Evaluations[i] = e.within(x.Project)
	}
	return nil
}

// within returns an evaluation with the values of a project only.
func (e Evaluation) within(project string) Evaluation {
	out := e
	out.Values, out.State = nil, Inactive
	for _, v := range e.Values {
		if v.Labels["project"] != project {
			continue
		}
		out.Values = append(out.Values, v)
		if v.State == Firing || out.State == Inactive {
			out.State = v.State
		}
	}
	out.Groups = len(out.Values)
	if e.Error != "" {
		out.State, out.Error = "error", "The evaluation failed; an administrator sees why."
	}
	return out
}

// notificationsOf reads what was sent about an alert. Of the installation's receivers who is
// no administrator learns that, not to where and about what else.
func (s *Service) notificationsOf(ctx context.Context, x Alert, all bool) ([]Notification, error) {
	list, err := bodies[Notification](ctx, s.DB, `SELECT n.body FROM alert_notification n JOIN alert_notified a ON a.notification = n.id WHERE a.alert = ? ORDER BY n.last DESC LIMIT 100`, x.ID)
	if err != nil {
		return nil, err
	}
	list = s.settled(list)
	for i, n := range list {
		if all || n.Project == x.Project {
			continue
		}
		list[i].Alerts, list[i].Firing, list[i].Resolved, list[i].Item = []string{x.ID}, 0, 0, ""
		if n.Error != "" {
			list[i].Error = "It could not be delivered; an administrator sees why."
		}
	}
	return list, nil
}

// Acknowledge notes that somebody looks after an alert. It needs write.
func (s *Service) Acknowledge(ctx context.Context, a identity.Actor, id, text string) error {
	if _, err := s.alertFor(ctx, a, id, identity.Write); err != nil {
		return err
	}
	if len(text) > maxText {
		return fault.New(fault.TooLarge, "A note has at most %d bytes.", maxText)
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		x, err := s.readAlert(ctx, tx, id)
		if err != nil {
			return err
		}
		x.Acknowledged, x.AcknowledgedBy, x.Note = s.Clock.Now(), a.String(), text
		done, err := updateAlert(ctx, tx, x)
		if err != nil {
			return err
		}
		if !done {
			return fault.New(fault.Conflict, "The alert has resolved already.")
		}
		return note(ctx, tx, id, Change{At: x.Acknowledged, What: "acknowledged", By: a.String(), Note: text})
	})
}

// Close resolves an alert by hand. If its condition holds at the next evaluation, it fires
// anew. It needs write.
func (s *Service) Close(ctx context.Context, a identity.Actor, id, why string) error {
	if _, err := s.alertFor(ctx, a, id, identity.Write); err != nil {
		return err
	}
	if why == "" || len(why) > maxText {
		return fault.New(fault.Invalid, "Closing an alert needs a reason of at most %d bytes.", maxText)
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		x, err := s.readAlert(ctx, tx, id)
		if err != nil {
			return err
		}
		facts, err := s.finish(ctx, tx, x, "closed", why, a.String())
		if err != nil {
			return err
		}
		if len(facts) == 0 {
			return fault.New(fault.Conflict, "The alert has resolved already.")
		}
		return s.Log.Append(ctx, tx, facts...)
	})
}

// OfRelease lists the alerts that concern a release, newest first, at most 100. It needs read.
func (s *Service) OfRelease(ctx context.Context, a identity.Actor, project, environment string, number int64) ([]Alert, error) {
	return s.Alerts(ctx, a, Filter{Project: project, Environment: environment, Release: project + "/" + environment + "/" + strconv.FormatInt(number, 10)})
}

// Open counts the open alerts of a project by environment; "" is what has none. It needs read.
func (s *Service) Open(ctx context.Context, a identity.Actor, project string) (map[string]Counts, error) {
	if err := s.maySee(ctx, a, project); err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, `SELECT environment, severity, COUNT(*) FROM alert WHERE project = ? AND resolved = 0 GROUP BY environment, severity`, project)
	if err != nil {
		return nil, fmt.Errorf("counting open alerts: %w", err)
	}
	defer rows.Close()
	out := map[string]Counts{}
	for rows.Next() {
		var env, severity string
		var n int
		if err := rows.Scan(&env, &severity, &n); err != nil {
			return nil, fmt.Errorf("counting open alerts: %w", err)
		}
		c := out[env]
		switch severity {
		case Critical:
			c.Critical += n
		case Error:
			c.Error += n
		case Warning:
			c.Warning += n
		default:
			c.Info += n
		}
		out[env] = c
	}
	return out, rows.Err()
}
