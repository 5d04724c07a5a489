package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/web/page"
)

// callMap draws who calls whom.
func (h *handler) callMap(w http.ResponseWriter, r request) error {
	s, err := h.monitorShell(w, r, "Map", page.Crumb{Text: "map"})
	if err != nil {
		return err
	}
	s.Scripts = []string{"map.js"}
	_, seconds := asked(r)
	now := h.Clock.Now()
	v := page.MapView{Range: seconds, From: now.Add(-time.Duration(seconds) * time.Second), To: now, Environment: r.query("environment")}
	list, err := h.Deploy.Environments(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	for _, e := range list {
		v.Environments = append(v.Environments, e.Name)
	}
	v.Map, err = h.Insight.Map(r.Context(), r.actor, insight.Scope{Project: r.project(), Environment: v.Environment, From: v.From, To: v.To})
	if err != nil {
		return err
	}
	return h.render(w, r, page.MapPage(s, v))
}

// groupFilters are the pills above error groups.
var groupFilters = []struct{ key, text, state, none string }{
	{"", "Open", insight.Open, "No error is open."},
	{insight.Resolved, "Resolved", insight.Resolved, "No error was resolved."},
	{insight.Ignored, "Ignored", insight.Ignored, "No error is ignored."},
	{"all", "All", "", "No error was seen yet."},
}

// maxGroups is how many error groups a page lists.
const maxGroups = 500

// groups lists error groups.
func (h *handler) groups(w http.ResponseWriter, r request) error {
	s, err := h.monitorShell(w, r, "Errors", page.Crumb{Text: "errors"})
	if err != nil {
		return err
	}
	v := page.ErrorsView{Find: r.query("q"), Show: r.query("show"), None: "No such errors are kept."}
	all, err := h.Insight.Groups(r.Context(), r.actor, r.project(), insight.GroupFilter{Limit: maxGroups})
	if err != nil {
		return err
	}
	words := strings.ToLower(v.Find)
	for _, f := range groupFilters {
		pill := page.Filter{Text: f.text, Href: s.At("/monitor/errors") + page.Query("show", f.key, "q", v.Find), On: f.key == v.Show}
		for _, g := range all {
			if (f.state != "" && g.State != f.state) || !matches(words, g.Type, g.Message, g.Role, g.FirstRelease) {
				continue
			}
			pill.Count++
			if pill.On {
				v.Groups = append(v.Groups, g)
			}
		}
		if pill.On {
			v.None = f.none
		}
		v.Filters = append(v.Filters, pill)
	}
	return h.render(w, r, page.ErrorsPage(s, v))
}

// The bars of a group: its occurrences in each hour of two days.
const (
	groupBars = 48
	groupBar  = time.Hour
)

// group shows one error group.
func (h *handler) group(w http.ResponseWriter, r request) error {
	g, err := h.Insight.Group(r.Context(), r.actor, r.project(), r.PathValue("group"))
	if err != nil {
		return err
	}
	name := orElse(g.Type, "error")
	s, err := h.monitorShell(w, r, name, page.Crumb{Text: "errors", Href: page.Shell{Project: r.project()}.At("/monitor/errors")}, page.Crumb{Text: name})
	if err != nil {
		return err
	}
	v := page.ErrorView{Group: g, MayWrite: h.holds(r, identity.Write)}
	// The group is kept beside the rows: without an answer of the engine the page shows the group alone.
	if err := h.occurrences(r, &v); err != nil && !fault.Is(err, fault.Unavailable) {
		return err
	}
	return h.render(w, r, page.ErrorPageOf(s, v))
}

// occurrences reads the newest rows of a group, and how many there were by the hour.
func (h *handler) occurrences(r request, v *page.ErrorView) error {
	scope := monitor.Scope{Project: r.project()}
	a, err := h.Monitor.Query(r.Context(), r.actor, monitor.Question{Scope: scope, Text: v.Query + "\n| take 20\n| project TimeGenerated, OperationId, Message, Method, Release, Details"})
	if err != nil {
		return err
	}
	for _, row := range a.Rows {
		c := cells{a, row}
		o := page.Occurrence{Trace: c.text("OperationId"), Message: c.text("Message"), Method: c.text("Method"), Release: c.text("Release"), Stack: stackOf(c.value("Details"))}
		o.Time = c.time("TimeGenerated")
		v.Occurrences = append(v.Occurrences, o)
	}
	first := h.Clock.Now().Truncate(groupBar).Add(-(groupBars - 1) * groupBar)
	a, err = h.Monitor.Query(r.Context(), r.actor, monitor.Question{
		Scope: scope, From: first,
		Text: "AppExceptions\n| where ProblemId == " + monitor.Quote(v.Fingerprint) + "\n| summarize Times = sum(ItemCount) by Hour = bin(TimeGenerated, 1h)",
	})
	if err != nil || len(a.Rows) == 0 {
		return err
	}
	v.Bars = make([]page.Bar, groupBars)
	for i := range v.Bars {
		v.Bars[i].From = first.Add(time.Duration(i) * groupBar)
	}
	for _, row := range a.Rows {
		c := cells{a, row}
		if i := int(c.time("Hour").Sub(first) / groupBar); i >= 0 && i < groupBars {
			v.Bars[i].Count += c.whole("Times")
		}
	}
	return nil
}

// maxStack is how much of a stack a page shows, in bytes.
const maxStack = 16 << 10

// stackOf is the stack in the details of an exception, as it was sent or put together
// from its frames.
func stackOf(details any) string {
	raw, ok := details.(json.RawMessage)
	if !ok {
		return ""
	}
	var list []struct {
		Raw    string `json:"rawStack"`
		Parsed []struct {
			Method   string `json:"method"`
			Assembly string `json:"assembly"`
			File     string `json:"fileName"`
			Line     int    `json:"line"`
		} `json:"parsedStack"`
	}
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return ""
	}
	if s := list[0].Raw; s != "" {
		return s[:min(len(s), maxStack)]
	}
	var b strings.Builder
	for _, f := range list[0].Parsed {
		if b.Len() > maxStack {
			break
		}
		b.WriteString(f.Method + "\n    " + orElse(f.File, f.Assembly))
		if f.Line > 0 {
			b.WriteString(":" + page.Count(f.Line))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// setGroup resolves, ignores or opens an error group.
func (h *handler) setGroup(w http.ResponseWriter, r request) error {
	g, err := h.Insight.SetState(r.Context(), r.actor, r.project(), r.PathValue("group"), r.PostForm.Get("state"))
	if err != nil {
		return err
	}
	said := map[string]string{
		insight.Open: "The error is open again.", insight.Resolved: "The error is resolved; it opens again when it is seen after now.",
		insight.Ignored: "The error is ignored, whatever is seen.",
	}[g.State]
	return done(w, r, page.Shell{Project: r.project()}.At("/monitor/errors/"+page.Esc(g.Fingerprint)), said)
}

// found collects what telemetry says of a release. A part of the platform that is away is
// no reason to show nothing of a release.
func (h *handler) found(r request, v *page.ReleaseView) error {
	id := v.ID()
	var err error
	if v.Alerts, err = h.Alerts.OfRelease(r.Context(), r.actor, v.Project, v.Environment, v.Number); err != nil && !fault.Is(err, fault.Unavailable) {
		return err
	}
	switch c, err := h.Deploy.Canary(r.Context(), r.actor, id); {
	case err == nil:
		env, err := h.Deploy.Environment(r.Context(), r.actor, v.Project, v.Environment)
		if err != nil {
			return err
		}
		v.Canary, v.MayDecide = &c, h.holds(r, env.Decides())
	case !fault.Is(err, fault.NotFound):
		return err
	}
	switch c, err := h.Insight.Comparison(r.Context(), r.actor, v.Project, id); {
	case err == nil:
		v.Comparison = &c
	case !fault.Is(err, fault.NotFound):
		return err
	}
	if v.Groups, err = h.Insight.Groups(r.Context(), r.actor, v.Project, insight.GroupFilter{FirstRelease: id}); err != nil {
		return err
	}
	events, err := h.Log.Read(r.Context(), event.Query{Project: v.Project, Subject: event.Of(event.KindRelease, id), Type: event.TypeReleaseObserved})
	for _, e := range events {
		var o event.ReleaseObserved
		if json.Unmarshal(e.Payload, &o) == nil {
			v.Observed = append(v.Observed, o)
		}
	}
	return err
}
