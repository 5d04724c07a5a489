package web

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/web/page"
)

// maxResults is how many hits the palette shows.
const maxResults = 40

var (
	commitStart = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	traceID     = regexp.MustCompile(`^[0-9a-f]{32}$`)
	runWord     = regexp.MustCompile(`^(?:run\s*)?#?([0-9]{1,12})$`)
)

// search answers the palette: rooms and their pages, actions, and what has a name or a
// number that fits: items, alerts, runs, sprints, environments, releases, sessions,
// policies, repositories, images, projects.
func (h *handler) search(w http.ResponseWriter, r request) error {
	f := &finder{h: h, r: r, project: r.query("project"), text: strings.ToLower(strings.TrimSpace(r.query("q")))}
	for _, step := range []func() error{f.direct, f.rooms, f.actions, f.items, f.monitor, f.pulls, f.runs, f.sprints, f.environments, f.releases, f.sessions, f.policies, f.repos, f.images, f.projects, f.rest} {
		// The project in the address may be gone or not the visitor's: then there is
		// nothing of it to find.
		if err := step(); err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Denied) {
			return err
		}
	}
	return h.render(w, r, page.Found(f.list[:min(len(f.list), maxResults)]))
}

// finder collects hits.
type finder struct {
	h       *handler
	r       request
	project string
	text    string
	list    []page.Result
}

func (f *finder) at(path string) string { return "/projects/" + page.Esc(f.project) + path }

func (f *finder) add(group, icon, text, note, href string) {
	f.list = append(f.list, page.Result{Group: group, Icon: icon, Text: text, Note: note, Href: href})
}

// direct is what the text itself names.
func (f *finder) direct() error {
	if f.project == "" {
		return nil
	}
	text := strings.TrimSpace(strings.TrimPrefix(f.text, "trace"))
	if m := runWord.FindStringSubmatch(text); m != nil && !strings.HasPrefix(text, "#") {
		f.add("Go to", "runs", "Run "+m[1], "run", f.at("/runs/"+m[1]))
	}
	if traceID.MatchString(text) {
		f.add("Go to", "status", "Trace "+text, "waterfall", f.at("/monitor/traces/"+text))
	}
	if commitStart.MatchString(text) {
		f.add("Go to", "trace", "Evidence of commit "+text, "trace", f.at("/trace/commit/"+text))
	}
	if kind, id, ok := strings.Cut(text, "/"); ok && id != "" && strings.Contains(" commit pull image run decision release pod alert item session ", " "+kind+" ") {
		f.add("Go to", "trace", "Evidence of "+text, "trace", f.at("/trace/"+kind+"/"+page.EscPath(id)))
	}
	return nil
}

func (f *finder) rooms() error {
	if f.project == "" {
		return nil
	}
	for _, room := range page.Rooms() {
		if matches(f.text, room.Text) {
			f.add("Rooms", room.Icon, room.Text, "g "+room.Goto, f.at(room.Path))
		}
	}
	for _, p := range page.BoardTabs() {
		if f.text != "" && p.Path != "/board" && matches(f.text, p.Text, "board", p.Words) {
			f.add("Rooms", "board", p.Text, "board", f.at(p.Path))
		}
	}
	if f.text != "" && matches(f.text, "Dev sessions", "intercept") {
		f.add("Rooms", "code", "Dev sessions", "environments", f.at("/sessions"))
	}
	if matches(f.text, "settings members") {
		f.add("Rooms", "settings", "Settings", "g s", f.at("/settings"))
	}
	return nil
}

// monitor finds the pages of the room Monitor, alerts, error groups, and words in logs.
func (f *finder) monitor() error {
	if f.project == "" || f.text == "" {
		return nil
	}
	for _, p := range []struct{ text, words, path string }{
		{"Logs", "monitor kql query search", "/logs"}, {"Metrics", "monitor promql charts", "/metrics"}, {"Traces", "monitor requests operations spans", "/traces"},
		{"Map", "monitor services calls", "/map"}, {"Errors", "monitor exceptions", "/errors"}, {"Alerts", "monitor firing", "/alerts"}, {"Alert rules", "monitor", "/rules"},
	} {
		if matches(f.text, p.text, p.words) {
			f.add("Monitor", "status", p.text, "", f.at("/monitor"+p.path))
		}
	}
	if words, ok := strings.CutPrefix(f.text, "logs "); ok && strings.TrimSpace(words) != "" {
		words = strings.TrimSpace(words)
		f.add("Monitor", "search", "Logs with “"+words+"”", "last hour", f.at("/monitor/logs"+page.Query("range", "3600", "q", "ContainerLogV2\n| where LogMessage has "+monitor.Quote(words))))
	}
	firing, err := f.h.Alerts.Alerts(f.r.Context(), f.r.actor, alert.Filter{Project: f.project, Limit: 50})
	if err != nil {
		return err
	}
	shown := 0
	for _, a := range firing {
		if shown < 6 && matches(strings.TrimSpace(strings.TrimPrefix(f.text, "alert")), a.Name, a.Summary, a.Pod) {
			f.add("Alerts", "status", a.Name, a.State, f.at("/monitor/alerts/"+page.Esc(a.ID)))
			shown++
		}
	}
	groups, err := f.h.Insight.Groups(f.r.Context(), f.r.actor, f.project, insight.GroupFilter{Limit: 100})
	if err != nil {
		return err
	}
	shown = 0
	for _, g := range groups {
		if shown < 6 && matches(f.text, g.Type, g.Message, "error") {
			f.add("Errors", "status", orElse(g.Type, "error")+"  "+g.Message, g.State, f.at("/monitor/errors/"+page.Esc(g.Fingerprint)))
			shown++
		}
	}
	return nil
}

func (f *finder) runs() error {
	if f.project == "" {
		return nil
	}
	limit := 5
	if f.text != "" {
		limit = 100
	}
	list, err := f.h.Pipeline.Runs(f.r.Context(), f.r.actor, pipeline.Filter{Project: f.project, Limit: limit})
	if err != nil {
		return err
	}
	shown := 0
	for _, run := range list {
		n := strconv.FormatInt(run.Number, 10)
		if shown < 6 && matches(f.text, "run "+n, run.Title, run.Ref, run.Commit) {
			v := runOf(run)
			f.add("Runs", "runs", "Run "+n+"  "+run.Title, v.Word, f.at("/runs/"+n))
			shown++
		}
	}
	return nil
}

func (f *finder) pulls() error {
	if f.project == "" {
		return nil
	}
	want := pull.Filter{Limit: 6, Text: f.text}
	if f.text != "" {
		want.State = "all"
	}
	list, _, err := f.h.Pulls.List(f.r.Context(), f.r.actor, f.project, want)
	for _, p := range list {
		_, word := page.PullState(p)
		f.add("Pull requests", "pulls", "#"+strconv.FormatInt(p.Number, 10)+"  "+p.Title, word, page.PullHref(page.Shell{Project: f.project}, p.Repo, p.Number))
	}
	return err
}

// policies finds assignments, and by a text definitions and initiatives too.
func (f *finder) policies() error {
	if f.project == "" || f.text == "" {
		return nil
	}
	s := page.Shell{Project: f.project}
	list, err := f.h.Policy.Assignments(f.r.Context(), f.r.actor, f.project)
	for _, a := range list {
		if matches(f.text, a.Name, a.Title, "policy") {
			f.add("Policy", "policy", orElse(a.Title, a.Name), "assignment", s.Pol("/assignments/"+page.Esc(a.Name)))
		}
	}
	if err != nil {
		return err
	}
	initiatives, definitions, err := f.h.library(f.r)
	shown := 0
	for _, i := range initiatives {
		if matches(f.text, i.Name, i.Title) {
			f.add("Policy", "policy", i.Title, "initiative", s.Pol("/initiatives/"+page.Esc(i.Name)))
		}
	}
	for _, d := range definitions {
		if shown < 6 && matches(f.text, d.Name, d.Title) {
			f.add("Policy", "policy", d.Title, "definition", s.Pol("/definitions/"+page.Esc(d.Name)))
			shown++
		}
	}
	return err
}

// most is how many hits of one kind the palette shows.
const most = 6

func (f *finder) repos() error {
	if f.project == "" {
		return nil
	}
	list, err := f.h.Source.Repos(f.r.Context(), f.r.actor, f.project)
	for _, repo := range list {
		if matches(f.text, repo.Name, "code") {
			f.add("Code", "code", repo.Name, "repository", f.at("/code/"+page.Esc(repo.Name)))
		}
	}
	return err
}

func (f *finder) environments() error {
	if f.project == "" {
		return nil
	}
	list, err := f.h.Deploy.Environments(f.r.Context(), f.r.actor, f.project)
	for _, e := range list {
		if matches(f.text, e.Name, "environment") {
			_, word := page.ReleaseState(e.Latest)
			f.add("Environments", "environments", e.Name, word, f.at("/environments/"+page.Esc(e.Name)))
		}
	}
	return err
}

func (f *finder) images() error {
	if f.project == "" || f.text == "" {
		return nil
	}
	list, err := f.h.Registry.Images(f.r.Context(), f.r.actor, f.project)
	shown := 0
	for _, i := range list {
		if shown < 6 && matches(f.text, append([]string{i.Repository, i.Digest}, i.Tags...)...) {
			s := page.Shell{Project: f.project}
			f.add("Images", "images", i.Repository, page.Short(i.Digest), page.ImageHref(s, i.Repository, i.Digest))
			shown++
		}
	}
	return err
}

func (f *finder) projects() error {
	list, err := f.h.Identity.Visible(f.r.Context(), f.r.actor)
	for _, p := range list {
		if p.Name != f.project && matches(f.text, p.Name) {
			f.add("Projects", "projects", p.Name, "project", "/projects/"+p.Name)
		}
	}
	return err
}

func (f *finder) rest() error {
	for _, e := range []struct{ icon, text, words, href string }{
		{"projects", "All projects", "projects", "/projects"}, {"key", "My tokens", "tokens settings password", "/settings"},
		{"status", "Installation", "status cluster agents advisories", "/status"},
	} {
		if matches(f.text, e.text, e.words) {
			f.add("Everywhere", e.icon, e.text, "", e.href)
		}
	}
	return nil
}
