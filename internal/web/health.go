package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/kube"
	"towpath.dev/towpath/internal/web/page"
)

// alertsPerPage is how many alerts a page lists.
const alertsPerPage = 200

// health shows how the workloads of a project are.
func (h *handler) health(w http.ResponseWriter, r request) error {
	s, err := h.monitorShell(w, r, "Health")
	if err != nil {
		return err
	}
	scope := monitor.Scope{Project: r.project()}
	v := page.HealthView{}
	// Without a cluster, or before it is there, the page says so instead of failing.
	if v.Workloads, err = h.Monitor.Workloads(r.Context(), r.actor, scope); err != nil {
		if !fault.Is(err, fault.Unavailable) {
			return err
		}
		v.Note, _ = fault.Public(err)
	}
	if v.Top, err = h.Monitor.Top(r.Context(), r.actor, scope); err != nil && !fault.Is(err, fault.Unavailable) {
		return err
	}
	if v.Alerts, err = h.Alerts.Alerts(r.Context(), r.actor, alert.Filter{Project: r.project(), State: alert.Firing, Limit: alertsPerPage}); err != nil {
		return err
	}
	if v.Note == "" {
		v.Figures = healthFigures(s, v)
	}
	return h.render(w, r, page.HealthPage(s, v))
}

func healthFigures(s page.Shell, v page.HealthView) []page.Figure {
	bad, pods, ready, restarts := 0, 0, 0, 0
	for _, w := range v.Workloads {
		if w.State == kube.Shut || w.State == kube.Held {
			bad++
		}
		for _, p := range w.Pods {
			pods++
			restarts += p.Restarts
			if p.Ready {
				ready++
			}
		}
	}
	var cpu, memory float64
	for _, u := range v.Top.Pods {
		cpu, memory = cpu+u.CPU, memory+u.Memory
	}
	well := page.Figure{Name: "Workloads", Value: page.Count(len(v.Workloads) - bad), Note: "of " + page.Count(len(v.Workloads)) + " are well"}
	if bad > 0 {
		well.Tone = "bad"
	}
	firing := page.Figure{Name: "Alerts", Value: page.Count(len(v.Alerts)), Note: "firing", Href: s.At("/monitor/alerts")}
	if len(v.Alerts) > 0 {
		firing.Tone = "bad"
	}
	return []page.Figure{
		well, firing,
		{Name: "Pods", Value: page.Count(ready), Note: "of " + page.Count(pods) + " ready, " + page.Plural(restarts, "restart", "restarts")},
		{Name: "CPU", Value: strconv.FormatFloat(cpu*1000, 'f', 0, 64) + " m", Note: "cores in use"},
		{Name: "Memory", Value: strconv.FormatFloat(memory/(1<<20), 'f', 0, 64) + " MiB", Note: "working set"},
	}
}

// alertFilters are the pills above alerts.
var alertFilters = []struct{ key, text, state, none string }{
	{"", "Firing", alert.Firing, "Nothing fires."},
	{"resolved", "Resolved", alert.Resolved, "No alert has resolved yet."},
	{"all", "All", "", "No alert fired yet."},
}

// alerts lists alerts.
func (h *handler) alerts(w http.ResponseWriter, r request) error {
	s, err := h.monitorShell(w, r, "Alerts", page.Crumb{Text: "alerts"})
	if err != nil {
		return err
	}
	v := page.AlertsView{Environment: r.query("environment")}
	show := r.query("show")
	for _, f := range alertFilters {
		pill := page.Filter{Text: f.text, Href: s.At("/monitor/alerts") + page.Query("show", f.key, "environment", v.Environment), On: f.key == show, Count: -1}
		v.Filters = append(v.Filters, pill)
		if f.key == show {
			v.None = f.none
			if v.Alerts, err = h.Alerts.Alerts(r.Context(), r.actor, alert.Filter{Project: r.project(), Environment: v.Environment, State: f.state, Limit: alertsPerPage}); err != nil {
				return err
			}
		}
	}
	return h.render(w, r, page.AlertsPage(s, v))
}

// alertOf reads the alert of the address, which must be of the project.
func (h *handler) alertOf(r request) (alert.Detail, error) {
	d, err := h.Alerts.Alert(r.Context(), r.actor, r.PathValue("id"))
	if err == nil && d.Alert.Project != r.project() {
		err = fault.New(fault.NotFound, "There is no alert %s in %s.", r.PathValue("id"), r.project())
	}
	return d, err
}

// alert shows one alert.
func (h *handler) alert(w http.ResponseWriter, r request) error {
	d, err := h.alertOf(r)
	if err != nil {
		return err
	}
	s, err := h.monitorShell(w, r, d.Alert.Name, page.Crumb{Text: "alerts", Href: page.Shell{Project: r.project()}.At("/monitor/alerts")}, page.Crumb{Text: d.Alert.Name})
	if err != nil {
		return err
	}
	return h.render(w, r, page.AlertPage(s, page.AlertView{Detail: d, MayWrite: h.holds(r, identity.Write)}))
}

// acknowledge notes that the visitor looks after an alert.
func (h *handler) acknowledge(w http.ResponseWriter, r request) error {
	d, err := h.alertOf(r)
	if err != nil {
		return err
	}
	if err := h.Alerts.Acknowledge(r.Context(), r.actor, d.Alert.ID, r.PostForm.Get("note")); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/monitor/alerts/"+d.Alert.ID), "You look after "+d.Alert.Name+" now.")
}

// closeAlert resolves an alert by hand.
func (h *handler) closeAlert(w http.ResponseWriter, r request) error {
	d, err := h.alertOf(r)
	if err != nil {
		return err
	}
	if err := h.Alerts.Close(r.Context(), r.actor, d.Alert.ID, r.PostForm.Get("note")); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/monitor/alerts/"+d.Alert.ID), d.Alert.Name+" is resolved; it fires anew if its condition still holds.")
}

// silenceAlert keeps notifications of this alert back for a while: of its rule, for the
// same pod, service and environment.
func (h *handler) silenceAlert(w http.ResponseWriter, r request) error {
	d, err := h.alertOf(r)
	if err != nil {
		return err
	}
	hours, err := strconv.Atoi(r.PostForm.Get("hours"))
	if err != nil || hours < 1 || hours > 30*24 {
		return fault.New(fault.Invalid, "A silence lasts from an hour to thirty days.")
	}
	in := alert.Silence{
		Project: r.project(), Matchers: []alert.Matcher{{Label: "alertname", Operator: "=", Value: d.Alert.Name}},
		Until: h.Clock.Now().Add(time.Duration(hours) * time.Hour), Why: strings.TrimSpace(r.PostForm.Get("why")),
	}
	for _, label := range []string{"environment", "namespace", "pod", "AppRoleName"} {
		if v := d.Alert.Labels[label]; v != "" {
			in.Matchers = append(in.Matchers, alert.Matcher{Label: label, Operator: "=", Value: v})
		}
	}
	if _, err := h.Alerts.Silence(r.Context(), r.actor, in); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/monitor/alerts/"+d.Alert.ID), "Nobody is told of it until "+in.Until.UTC().Format("2006-01-02 15:04")+" UTC.")
}
