package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert/route"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
)

// Limits of receivers and routes.
const (
	maxReceivers = 50
	maxRoutes    = 100
	maxMatchers  = 20
)

var receiverName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// secrets are what of a receiver is sealed.
type secrets struct {
	URL      string `json:"url,omitempty"`
	Token    string `json:"token,omitempty"`
	Password string `json:"password,omitempty"`
}

// sealed is a receiver as it is stored.
type sealed struct {
	Receiver
	secret string
}

func purpose(project, name string) string { return "alert receiver " + project + "/" + name }

func (s *Service) receivers(ctx context.Context, h store.Handle, where string, args ...any) ([]sealed, error) {
	rows, err := h.Query(ctx, `SELECT body, secret FROM alert_receiver `+where+` ORDER BY project, name`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading receivers: %w", err)
	}
	defer rows.Close()
	var out []sealed
	for rows.Next() {
		var r sealed
		var body string
		if err := rows.Scan(&body, &r.secret); err != nil {
			return nil, fmt.Errorf("reading receivers: %w", err)
		}
		if err := json.Unmarshal([]byte(body), &r.Receiver); err != nil {
			return nil, fmt.Errorf("decoding a receiver: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// unsealed returns a stored receiver with its secrets.
func (s *Service) unsealed(r sealed) (Receiver, error) {
	out := r.Receiver
	if r.secret == "" {
		return out, nil
	}
	plain, err := s.Vault.Unseal(purpose(r.Project, r.Name), r.secret)
	if err != nil {
		return Receiver{}, err
	}
	var x secrets
	if err := json.Unmarshal(plain, &x); err != nil {
		return Receiver{}, fmt.Errorf("decoding the secrets of receiver %s: %w", r.Name, err)
	}
	out.URL, out.Token, out.Password = x.URL, x.Token, x.Password
	return out, nil
}

// shown returns a receiver as answers have it.
func shown(r Receiver) Receiver {
	r.HasSecret = r.URL != "" || r.Token != "" || r.Password != ""
	if u, err := url.Parse(r.URL); err == nil && u.Host != "" {
		r.URL = u.Scheme + "://" + u.Host + "/…"
	} else {
		r.URL = ""
	}
	r.Token, r.Password = "", ""
	return r
}

// Receivers lists the receivers of a project without their secrets. It needs admin in the
// project; "" needs an administrator of the installation.
func (s *Service) Receivers(ctx context.Context, a identity.Actor, project string) ([]ReceiverState, error) {
	if err := s.may(ctx, a, project, identity.Admin); err != nil {
		return nil, err
	}
	stored, err := s.receivers(ctx, s.DB, `WHERE project = ?`, project)
	if err != nil {
		return nil, err
	}
	out := make([]ReceiverState, len(stored))
	for i, r := range stored {
		out[i].Receiver = r.Receiver // The stored one has its address without what is secret.
		last, err := bodies[Notification](ctx, s.DB, `SELECT body FROM alert_notification WHERE project = ? AND receiver = ? ORDER BY last DESC LIMIT 1`, project, r.Name)
		if err != nil {
			return nil, err
		}
		if len(last) > 0 {
			out[i].Last = &s.settled(last)[0]
		}
	}
	return out, nil
}

// receiver reads one with its secrets.
func (s *Service) receiver(ctx context.Context, project, name string) (Receiver, error) {
	list, err := s.receivers(ctx, s.DB, `WHERE project = ? AND name = ?`, project, name)
	if err != nil {
		return Receiver{}, err
	}
	if len(list) == 0 {
		return Receiver{}, noneSuch("receiver", name)
	}
	return s.unsealed(list[0])
}

// PutReceiver makes a receiver or changes the one of its project and name. Secrets that are
// empty stay as they were, as long as kind and host are the same. It needs what Receivers
// needs, and of a receiver of a project the host must be allowed.
func (s *Service) PutReceiver(ctx context.Context, a identity.Actor, r Receiver) (Receiver, error) {
	if err := s.may(ctx, a, r.Project, identity.Admin); err != nil {
		return Receiver{}, err
	}
	if !receiverName.MatchString(r.Name) {
		return Receiver{}, fault.New(fault.Invalid, "%q cannot be the name of a receiver.", table.Clip(r.Name, maxName)).WithNext("use small letters, digits and -")
	}
	s.configure.Lock()
	defer s.configure.Unlock()
	before, err := s.receiver(ctx, r.Project, r.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Receiver{}, err
	}
	r = kept(r, before)
	if err := outlet(r).Check(); err != nil {
		return Receiver{}, err
	}
	if err := s.allowed(r); err != nil {
		return Receiver{}, err
	}
	r.Changed, r.By = s.Clock.Now(), a.String()
	plain, err := json.Marshal(secrets{r.URL, r.Token, r.Password})
	if err != nil {
		return Receiver{}, err
	}
	secret, err := s.Vault.Seal(purpose(r.Project, r.Name), plain)
	if err != nil {
		return Receiver{}, err
	}
	out := shown(r)
	body, err := encode(out)
	if err != nil {
		return Receiver{}, err
	}
	return out, s.reconfigure(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO alert_receiver (project, name, body, secret) VALUES (?, ?, ?, ?)
			ON CONFLICT (project, name) DO UPDATE SET body = excluded.body, secret = excluded.secret`, r.Project, r.Name, body, secret)
		if err != nil {
			return fmt.Errorf("storing receiver %s: %w", r.Name, err)
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM alert_receiver WHERE project = ?`, r.Project).Scan(&n); err != nil {
			return err
		}
		if n > maxReceivers {
			return fault.New(fault.TooLarge, "A project has at most %d receivers.", maxReceivers)
		}
		return nil
	})
}

// kept fills in the secrets that somebody left empty. They are not sent to another host than
// the one that they were given for.
func kept(r, before Receiver) Receiver {
	if before.Kind != r.Kind {
		return r
	}
	if r.URL == "" || r.URL == shown(before).URL {
		r.URL = before.URL
	}
	if outlet(r).Address() != outlet(before).Address() {
		return r
	}
	if r.Token == "" {
		r.Token = before.Token
	}
	if r.Password == "" && r.User == before.User {
		r.Password = before.Password
	}
	return r
}

// allowed asks whether a receiver of a project may go where it wants to. What a name
// resolves to is judged again each time that it is connected to.
func (s *Service) allowed(r Receiver) error {
	if r.Project == "" || r.Kind == Item || s.guard.Named(outlet(r).Address()) {
		return nil
	}
	if r.Kind != Mail && s.opts.ProjectHooks {
		return nil
	}
	return fault.New(fault.Denied, "Receivers of projects may not go to %s.", outlet(r).Address()).
		WithNext("ask an operator to allow the host with --notify-allow, or an administrator for a receiver of the installation")
}

// reconfigure changes receivers or routes in a transaction that only commits when what is
// stored then is sound, and puts it in force. The caller holds configure.
func (s *Service) reconfigure(ctx context.Context, change func(tx *store.Tx) error) error {
	var c route.Config
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		var err error
		if c, err = s.configuration(ctx, tx); err != nil {
			return err
		}
		return c.Check()
	})
	if err != nil {
		return err
	}
	if r := s.routing(); r != nil {
		return r.Apply(c)
	}
	return nil
}

// DeleteReceiver removes a receiver that no route names. It needs what Receivers needs.
func (s *Service) DeleteReceiver(ctx context.Context, a identity.Actor, project, name string) error {
	if err := s.may(ctx, a, project, identity.Admin); err != nil {
		return err
	}
	s.configure.Lock()
	defer s.configure.Unlock()
	if _, err := s.receiver(ctx, project, name); err != nil {
		return err
	}
	err := s.reconfigure(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM alert_receiver WHERE project = ? AND name = ?`, project, name)
		return err
	})
	if fault.Is(err, fault.Invalid) {
		return fault.New(fault.Conflict, "A route names the receiver %s.", name).WithNext("change the routes first")
	}
	return err
}

// Test sends a notification of an invented alert to a receiver, once, and returns what
// became of it: a failure is in its Error. It needs what Receivers needs.
func (s *Service) Test(ctx context.Context, a identity.Actor, project, name string) (Notification, error) {
	if err := s.may(ctx, a, project, identity.Admin); err != nil {
		return Notification{}, err
	}
	to, err := s.receiver(ctx, project, name)
	if err != nil {
		return Notification{}, err
	}
	r := s.routing()
	if r == nil {
		return Notification{}, fault.New(fault.Unavailable, "Alerting is not running.").WithNext("try again in a moment")
	}
	got, err := r.Test(ctx, outlet(to), route.Alert{
		Labels:      map[string]string{"alertname": "TowpathTest", "severity": Info, "project": project},
		Annotations: map[string]string{"summary": "This is a test of receiver " + name + ".", "description": "Nothing is wrong.", "next_step": "Nothing is to be done."},
		Starts:      s.Clock.Now(), URL: s.opts.URL,
	})
	n := Notification{
		ID: got.Key, Project: project, Receiver: name, Kind: to.Kind, State: Sent, Reason: got.Reason, Attempts: 1, First: got.At, Last: got.At, Firing: 1,
		Alerts: []string{}, Item: got.Item,
	}
	if err != nil {
		n.State, n.Error = Failed, err.Error()
	}
	if n.ID == "" {
		n.ID = s.Clock.NewID()
	}
	stored := s.DB.Tx(ctx, func(tx *store.Tx) error { return putNotification(ctx, tx, n) })
	return n, stored
}

// Routes returns the routes of a project. It needs what Receivers needs.
func (s *Service) Routes(ctx context.Context, a identity.Actor, project string) (Routes, error) {
	if err := s.may(ctx, a, project, identity.Admin); err != nil {
		return Routes{}, err
	}
	r, err := one[Routes](ctx, s.DB, noneSuch("routes of", project), `SELECT body FROM alert_route WHERE project = ?`, project)
	if fault.Is(err, fault.NotFound) {
		r, err = Routes{Project: project, Routes: []Route{}}, nil
		if project == "" {
			r.Inhibitions = standing()
		}
	}
	return r, err
}

// PutRoutes replaces the routes of a project. It needs what Receivers needs.
func (s *Service) PutRoutes(ctx context.Context, a identity.Actor, r Routes) (Routes, error) {
	if err := s.may(ctx, a, r.Project, identity.Admin); err != nil {
		return Routes{}, err
	}
	if err := sound(r); err != nil {
		return Routes{}, err
	}
	s.configure.Lock()
	defer s.configure.Unlock()
	r.Changed, r.By = s.Clock.Now(), a.String()
	body, err := encode(r)
	if err != nil {
		return Routes{}, err
	}
	return r, s.reconfigure(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO alert_route (project, body) VALUES (?, ?) ON CONFLICT (project) DO UPDATE SET body = excluded.body`, r.Project, body)
		return err
	})
}

// sound checks the size of routes; what they say is checked where they are built.
func sound(r Routes) error {
	if len(r.Routes) > maxRoutes || len(r.Inhibitions) > maxRoutes {
		return fault.New(fault.TooLarge, "A project has at most %d routes and as many inhibitions.", maxRoutes)
	}
	var errs []error
	count := func(ms []Matcher) {
		if len(ms) > maxMatchers {
			errs = append(errs, fault.New(fault.TooLarge, "A route has at most %d matchers.", maxMatchers))
		}
	}
	for _, x := range r.Routes {
		count(x.Match)
		for _, d := range []Duration{x.GroupWait, x.GroupInterval, x.RepeatInterval} {
			if d < 0 || d.Go() > 31*24*time.Hour {
				errs = append(errs, fault.New(fault.Invalid, "%s is not a time for a route.", d).WithNext("use a time of at most 31 days"))
			}
		}
		if len(x.GroupBy) > maxMatchers {
			errs = append(errs, fault.New(fault.TooLarge, "A route groups by at most %d labels.", maxMatchers))
		}
	}
	for _, i := range r.Inhibitions {
		count(i.Source)
		count(i.Target)
		if len(i.Source) == 0 || len(i.Target) == 0 {
			errs = append(errs, fault.New(fault.Invalid, "An inhibition names what keeps back and what is kept back."))
		}
		for _, l := range i.Equal {
			if !labelName.MatchString(l) {
				errs = append(errs, fault.New(fault.Invalid, "%q is not the name of a label.", table.Clip(l, maxName)))
			}
		}
	}
	return errors.Join(errs...)
}
