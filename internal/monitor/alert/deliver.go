package alert

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert/route"
	"towpath.dev/towpath/internal/store"
)

// States of a notification.
const (
	Sent     = "sent"
	Failed   = "failed"
	Retrying = "retrying"
)

// givenUp is how long after its last attempt a notification is no longer being retried.
const givenUp = 10 * time.Minute

// routing returns the router, nil while Run does not run.
func (s *Service) routing() *route.Router {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.router
}

// startRouter makes the router and tells it everything that is stored.
func (s *Service) startRouter(ctx context.Context) error {
	text, err := keptState(ctx, s.DB, stateLog)
	if err != nil {
		return fmt.Errorf("reading the notification log: %w", err)
	}
	log, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("decoding the notification log: %w", err)
	}
	r, err := route.New(route.Options{URL: s.opts.URL, Guard: s.guard, Record: s.record, Open: s.openItem, Log: log, Logger: s.Logger})
	if err != nil {
		return err
	}
	if err := s.tell(ctx, r); err != nil {
		r.Close()
		return err
	}
	s.mu.Lock()
	s.router = r
	s.mu.Unlock()
	return nil
}

func (s *Service) tell(ctx context.Context, r *route.Router) error {
	silences, err := bodies[storedSilence](ctx, s.DB, `SELECT body FROM alert_silence WHERE until > ?`, ms(s.Clock.Now()))
	if err != nil {
		return err
	}
	for _, x := range silences {
		if err := r.Silence(x.route()); err != nil {
			return err
		}
	}
	// Alerts come before routes: then nothing is grouped twice.
	alerts, err := bodies[Alert](ctx, s.DB, `SELECT body FROM alert WHERE resolved = 0 OR resolved > ?`, ms(s.Clock.Now().Add(-recent)))
	if err != nil {
		return err
	}
	if err := r.Put(ctx, s.outgoing(alerts)...); err != nil {
		return err
	}
	c, err := s.configuration(ctx, s.DB)
	if err != nil {
		return err
	}
	return r.Apply(c)
}

// send hands alerts to the router. It is called after the commit that made them.
func (s *Service) send(alerts ...Alert) {
	r := s.routing()
	if r == nil {
		return // They are stored; the next start tells the router.
	}
	s.complain("routing alerts", r.Put(context.Background(), s.outgoing(alerts)...))
}

// routed are the labels by which an alert is routed.
func routed(a Alert) map[string]string {
	out := maps.Clone(a.Labels)
	if out == nil {
		out = map[string]string{}
	}
	out["alertname"], out["severity"], out["project"], out["environment"] = a.Name, a.Severity, a.Project, a.Environment
	return out
}

func (s *Service) outgoing(alerts []Alert) []route.Alert {
	out := make([]route.Alert, len(alerts))
	for i, a := range alerts {
		out[i] = route.Alert{Labels: routed(a), Starts: a.Fired, Ends: a.Resolved, URL: s.page(a), Annotations: map[string]string{
			"summary": a.Summary, "description": a.Description, "next_step": a.NextStep, "release": a.Release, route.AnnotationID: a.ID,
		}}
	}
	return out
}

// page is where people see an alert.
func (s *Service) page(a Alert) string {
	if s.opts.URL == "" {
		return ""
	}
	base := strings.TrimSuffix(s.opts.URL, "/")
	if a.Project == "" {
		return base // What is the platform's has no page of its own.
	}
	return base + "/projects/" + url.PathEscape(a.Project) + "/monitor/alerts/" + a.ID
}

// configuration reads receivers, with their secrets, and routes.
func (s *Service) configuration(ctx context.Context, h store.Handle) (route.Config, error) {
	var c route.Config
	stored, err := s.receivers(ctx, h, ``)
	if err != nil {
		return c, err
	}
	for _, r := range stored {
		open, err := s.unsealed(r)
		if err != nil {
			return c, err
		}
		c.Receivers = append(c.Receivers, outlet(open))
	}
	routes, err := bodies[Routes](ctx, h, `SELECT body FROM alert_route ORDER BY project`)
	if err != nil {
		return c, err
	}
	if !slices.ContainsFunc(routes, func(r Routes) bool { return r.Project == "" }) {
		routes = append([]Routes{{Inhibitions: standing()}}, routes...)
	}
	for _, r := range routes {
		c.Trees = append(c.Trees, tree(r))
	}
	return c, nil
}

// standing are the inhibitions while nobody has set any: what follows from a node that is
// away, or from a worse alert of the same container, is not news.
func standing() []Inhibition {
	return []Inhibition{
		{Source: []Matcher{{"alertname", "=", "KubeNodeUnreachable"}}, Target: []Matcher{{"alertname", "=", "KubeNodeNotReady"}}, Equal: []string{"project", "cluster", "node"}},
		{Source: []Matcher{{"alertname", "=", "KubePodCrashLooping"}}, Target: []Matcher{{"alertname", "=~", "KubePodContainerRestart|KubeContainerWaiting"}},
			Equal: []string{"project", "namespace", "pod", "container"}},
	}
}

func outlet(r Receiver) route.Receiver {
	return route.Receiver{
		Project: r.Project, Name: r.Name, Kind: r.Kind, SendResolved: r.SendResolved, URL: r.URL, Token: r.Token, Channel: r.Channel,
		To: r.To, From: r.From, Server: r.Server, User: r.User, Password: r.Password, RequireTLS: r.RequireTLS,
	}
}

func matching(ms []Matcher) []route.Matcher {
	out := make([]route.Matcher, len(ms))
	for i, m := range ms {
		out[i] = route.Matcher(m)
	}
	return out
}

func tree(r Routes) route.Tree {
	t := route.Tree{Project: r.Project}
	for _, x := range r.Routes {
		t.Routes = append(t.Routes, route.Route{
			Match: matching(x.Match), Receiver: x.Receiver, GroupBy: x.GroupBy, GroupWait: x.GroupWait.Go(), GroupInterval: x.GroupInterval.Go(),
			RepeatInterval: x.RepeatInterval.Go(), Continue: x.Continue,
		})
	}
	for _, i := range r.Inhibitions {
		t.Inhibitions = append(t.Inhibitions, route.Inhibition{Source: matching(i.Source), Target: matching(i.Target), Equal: i.Equal})
	}
	return t
}

// record stores an attempt to send a notification. Delivery goes on whatever becomes of it.
func (s *Service) record(a route.Attempt) {
	s.complain("recording a notification", s.recorded(context.Background(), a))
}

func (s *Service) recorded(ctx context.Context, a route.Attempt) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		var before string
		n := Notification{ID: a.Key, Project: a.Project, Receiver: a.Receiver, Kind: a.Kind, Reason: a.Reason, First: a.At}
		old, err := bodies[Notification](ctx, tx, `SELECT body FROM alert_notification WHERE id = ?`, a.Key)
		if err != nil {
			return err
		}
		if len(old) > 0 {
			n, before = old[0], old[0].Item
		}
		n.Attempts++
		n.Last, n.Error, n.State = a.At, a.Error, Sent
		n.Firing, n.Resolved, n.Alerts, n.Item = a.Firing, a.Resolved, a.Alerts, before
		if a.Item != "" {
			n.Item = a.Item
		}
		switch {
		case a.Error != "" && a.Retry:
			n.State = Retrying
		case a.Error != "":
			n.State = Failed
		}
		return putNotification(ctx, tx, n)
	})
}

func putNotification(ctx context.Context, tx *store.Tx, n Notification) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO alert_notification (id, project, receiver, last, body) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET last = excluded.last, body = excluded.body`, n.ID, n.Project, n.Receiver, ms(n.Last), string(body))
	if err != nil {
		return fmt.Errorf("storing notification %s: %w", n.ID, err)
	}
	for _, id := range n.Alerts {
		if _, err := tx.Exec(ctx, `INSERT INTO alert_notified (alert, notification) VALUES (?, ?) ON CONFLICT (alert, notification) DO NOTHING`, id, n.ID); err != nil {
			return fmt.Errorf("storing notification %s: %w", n.ID, err)
		}
	}
	return nil
}

// openItem asks the hook for a work item. Without a hook there is none, and the notification
// stands as sent with no item.
func (s *Service) openItem(ctx context.Context, r route.Request) (string, error) {
	if s.Items == nil {
		return "", nil
	}
	req := ItemRequest{Project: r.Project, Group: r.Group, Title: r.Title, Text: r.Text, Resolved: r.Resolved}
	for _, id := range r.Alerts {
		a, err := s.readAlert(ctx, s.DB, id)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return "", err
		}
		req.Alerts = append(req.Alerts, a)
	}
	return s.Items.Open(ctx, req)
}

// Notifications lists what was sent to the receivers of a project, newest first. It needs
// read of the project; "" needs an administrator of the installation.
func (s *Service) Notifications(ctx context.Context, a identity.Actor, project string, limit int) ([]Notification, error) {
	if err := s.maySee(ctx, a, project); err != nil {
		return nil, err
	}
	list, err := bodies[Notification](ctx, s.DB, `SELECT body FROM alert_notification WHERE project = ? ORDER BY last DESC LIMIT ?`, project, limited(limit))
	return s.settled(list), err
}

// settled gives notifications that nobody tries again any more the state that this is.
func (s *Service) settled(list []Notification) []Notification {
	for i, n := range list {
		if n.State == Retrying && s.Clock.Now().Sub(n.Last) > givenUp {
			list[i].State = Failed
		}
	}
	return list
}
