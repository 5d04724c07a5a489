package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/web/page"
)

// counted is over how many of the newest changes the numbers on the filters go.
const counted = 200

// perPage is how many changes a page of the Path shows.
const perPage = 50

// filters of the Path, in the order of their pills; the first shows everything.
var filters = []struct {
	key, text string
	narrow    func(f *evidence.Filter, me string)
}{
	{"", "All", func(*evidence.Filter, string) {}},
	{"mine", "Mine", func(f *evidence.Filter, me string) { f.PushedBy = me }},
	{"held", "Held", func(f *evidence.Filter, _ string) { f.State = evidence.Held }},
	{"shut", "Shut", func(f *evidence.Filter, _ string) { f.State = evidence.Shut }},
	{"production", "In production", func(f *evidence.Filter, _ string) { f.InProduction = true }},
}

func (h *handler) path(w http.ResponseWriter, r request) error {
	seq, _, err := h.Log.Head(r.Context())
	if err != nil {
		return err
	}
	v, err := h.pathView(r)
	if err != nil {
		return err
	}
	s := h.room(w, r, "path", "Path")
	s.Live = s.At("/events?after=" + strconv.FormatInt(seq, 10))
	return h.render(w, r, page.PathPage(s, v))
}

func (h *handler) pathView(r request) (page.Path, error) {
	show, text := r.query("show"), r.query("q")
	me := r.actor.String()
	at := "/projects/" + r.project()
	all, err := h.Evidence.Path(r.Context(), r.actor, r.project(), evidence.Filter{Text: text, Limit: counted})
	if err != nil {
		return page.Path{}, err
	}
	live, err := h.Compliance.Compliance(r.Context(), r.actor, audit.Filter{Project: r.project(), Outcome: audit.Violated, Limit: 1})
	if err != nil {
		return page.Path{}, err
	}
	v := page.Path{Query: text, Figures: append(figures(all.Summary, at, h.Clock.Now()), complianceFigure(live, at)), Remote: h.opts.PublicURL + "/" + r.project() + "/" + r.project() + ".git"}
	want := evidence.Filter{Text: text, Limit: perPage}
	for _, f := range filters {
		var one evidence.Filter
		f.narrow(&one, me)
		count := 0
		for _, row := range all.Rows {
			if fits(row, one) {
				count++
			}
		}
		on := f.key == show
		if on {
			f.narrow(&want, me)
		}
		v.Filters = append(v.Filters, page.Filter{Key: f.key, Text: f.text, Count: count, On: on, Href: at + page.Query("show", f.key, "q", text)})
	}
	want.Before, _ = strconv.ParseInt(r.query("before"), 10, 64)
	board, err := h.Evidence.Path(r.Context(), r.actor, r.project(), want)
	if err != nil {
		return v, err
	}
	shown := evidence.Locks()
	for _, name := range shown {
		v.Columns = append(v.Columns, title(name))
	}
	for _, row := range board.Rows {
		c, err := h.change(r, row, shown)
		if err != nil {
			return v, err
		}
		v.Changes = append(v.Changes, c)
	}
	if board.More > 0 {
		v.More = at + page.Query("show", show, "q", text, "before", strconv.FormatInt(board.More, 10))
	}
	return v, nil
}

// fits reports whether a row belongs to a filter of the pills.
func fits(row evidence.Row, f evidence.Filter) bool {
	switch {
	case f.PushedBy != "" && row.PushedBy != f.PushedBy, f.InProduction && !row.InProduction:
		return false
	}
	return f.State == "" || slices.ContainsFunc(row.Cells, func(c evidence.Cell) bool { return c.State == f.State })
}

func title(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

// change draws a row, with its chain when the address opens it.
func (h *handler) change(r request, row evidence.Row, shown []string) (page.Change, error) {
	c := page.Change{
		Commit: row.Commit, ID: row.ID, Title: row.Title, Repo: row.Repo, Branch: row.Branch, Author: row.Author, When: row.Pushed,
		InProduction: row.InProduction, Opened: r.query("open") == strconv.FormatInt(row.ID, 10),
	}
	for _, cell := range row.Cells {
		if slices.Contains(shown, cell.Lock) {
			c.Locks = append(c.Locks, lock(r.project(), row.Commit, cell))
		}
	}
	if !c.Opened {
		return c, nil
	}
	chain, err := h.Evidence.Trace(r.Context(), r.actor, event.KindCommit+"/"+row.Commit)
	if fault.Is(err, fault.NotFound) {
		return c, nil
	}
	c.Chain = page.Line(page.Shell{Project: r.project()}, chain)
	return c, err
}

// lock turns a cell of a commit into what is drawn of it.
func lock(project, commit string, c evidence.Cell) page.Lock {
	states := map[evidence.State]page.State{
		evidence.Open: page.Open, evidence.Passing: page.Passing, evidence.Held: page.Held, evidence.Shut: page.Shut, evidence.None: page.Wait,
	}
	l := page.Lock{Name: title(c.Lock), State: states[c.State], Fact: c.Fact, Note: c.Detail, When: c.Since, Href: cellHref(project, commit, c)}
	if c.State == evidence.None && c.Fact != "" {
		l.State = page.Note // A fact without a verdict, such as a scan that knew nothing.
	}
	return l
}

// cellHref leads to the evidence behind a cell of a commit. The backlog's is all items that
// the cell counts, those that are done where all are.
func cellHref(project, commit string, c evidence.Cell) string {
	at, id := "/projects/"+project, c.Link.ID()
	if c.Lock == evidence.LockBacklog && c.Link != "" {
		show := ""
		if c.State == evidence.Open {
			show = "all"
		}
		return at + "/backlog" + page.Query("show", show, "link", string(event.Of(event.KindCommit, commit)))
	}
	switch c.Link.Kind() {
	case event.KindRun:
		if c.Lock == evidence.LockTest {
			return at + "/runs/" + id + "?tab=tests"
		}
		return at + "/runs/" + id
	case event.KindImage:
		if c.Lock == evidence.LockScan {
			return at + "/images/" + id + "?tab=findings"
		}
		return at + "/images/" + id
	case event.KindRelease:
		if p := strings.Split(id, "/"); len(p) == 3 {
			return at + "/environments/" + page.Esc(p[1]) + "/releases/" + p[2]
		}
	case event.KindPod:
		return at + "/trace/pod/" + page.Esc(id)
	case event.KindPull:
		if p := strings.Split(id, "/"); len(p) == 3 {
			return at + "/pulls/" + page.Esc(p[1]) + "/" + p[2]
		}
	case event.KindDecision:
		return at + "/policy/decisions/" + page.Esc(id)
	case event.KindAlert:
		return at + "/monitor/alerts/" + page.Esc(id)
	case "":
		return ""
	}
	return at + "/trace/" + c.Link.Kind() + "/" + page.EscPath(id)
}

// figures are the summary cards. What was not measured yet is a dash, never a zero.
func figures(s evidence.Summary, at string, now time.Time) []page.Figure {
	const unknown = "–"
	live := page.Figure{Name: "In production", Value: unknown, Note: "no release yet"}
	if p := s.InProduction; p != nil {
		live = page.Figure{Name: live.Name, Value: p.Release, Note: page.Short(p.Commit) + ", since " + page.Ago(now, p.Since)}
		if parts := strings.Split(p.Release, "/"); len(parts) == 3 {
			live.Value = parts[2]
			live.Href = at + "/environments/" + page.Esc(parts[1]) + "/releases/" + parts[2]
		}
	}
	lead := page.Figure{Name: "Commit to production", Value: unknown, Note: "no release yet"}
	if s.CommitToProduction != nil {
		lead.Note = "median of " + page.Count(s.CommitToProductionOf)
		lead.Value = page.Took(time.Duration(*s.CommitToProduction))
	}
	failed := page.Figure{Name: "Change failure", Value: unknown, Note: "no release yet"}
	if s.FailureRate != nil {
		failed.Note = "of " + page.Count(s.FailureRateOf) + " releases"
		failed.Value = strconv.FormatFloat(*s.FailureRate*100, 'f', 1, 64) + "\u202f%"
	}
	found := page.Figure{Name: "Open findings", Value: unknown, Note: "in production"}
	if f := s.OpenFindings; f != nil {
		found.Value = page.Count(f.Critical + f.High + f.Medium)
		found.Note, found.Tone = page.Count(f.Critical)+" critical, "+page.Count(f.High)+" high", ""
		if f.Critical+f.High > 0 {
			found.Tone = "bad"
		}
	}
	return []page.Figure{live, lead, failed, found, {Name: "Running now", Value: page.Count(s.RunsActive), Note: "runs", Href: at + "/runs?show=running"}}
}

// complianceFigure is the share of verdicts on live objects that violate nothing.
func complianceFigure(r audit.Report, at string) page.Figure {
	total, bad := 0, 0
	for _, a := range r.Assignments {
		total, bad = total+a.Objects, bad+violated(page.Compliance{Live: a})
	}
	f := page.Figure{Name: "Policy compliance", Value: "–", Note: "nothing judged yet", Href: at + "/policy"}
	if total > 0 {
		f.Value, f.Note = page.Percent(100*float64(total-bad)/float64(total)), page.Count(bad)+" of "+page.Count(total)
	}
	return f
}
