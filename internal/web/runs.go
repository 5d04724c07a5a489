package web

import (
	"io"
	"mime"
	"net/http"
	"strconv"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/web/page"
)

// runsPerPage is how many runs a page lists.
const runsPerPage = 50

// runFilters are the pills above the runs; the first shows everything.
var runFilters = []struct {
	key, text string
	status    plan.Status
	result    plan.Result
}{
	{"", "All", "", ""},
	{"running", "Running", plan.Running, ""},
	{"failed", "Failed", "", plan.Failed},
	{"succeeded", "Succeeded", "", plan.Succeeded},
}

func (h *handler) runs(w http.ResponseWriter, r request) error {
	seq, _, err := h.Log.Head(r.Context())
	if err != nil {
		return err
	}
	s := h.room(w, r, "runs", "Runs", page.Crumb{Text: "runs"})
	s.Live = s.At("/events?after=" + strconv.FormatInt(seq, 10))
	v := page.RunList{Query: r.query("q"), Start: r.query("start") != ""}
	want := pipeline.Filter{Project: r.project(), Limit: runsPerPage}
	show := r.query("show")
	for _, f := range runFilters {
		on := f.key == show
		if on {
			want.Status, want.Result = f.status, f.result
		}
		v.Filters = append(v.Filters, page.Filter{Key: f.key, Text: f.text, Count: -1, On: on, Href: s.At("/runs" + page.Query("pipeline", r.query("pipeline"), "show", f.key, "q", v.Query))})
	}
	if name := r.query("pipeline"); name != "" {
		d, err := h.Definitions.Definition(r.Context(), r.actor, r.project(), name)
		if err != nil {
			return err
		}
		v.Pipeline, want.Repo, want.File = d.Name, d.Repo, d.File
	}
	want.Before, _ = strconv.ParseInt(r.query("before"), 10, 64)
	if v.Query != "" {
		want.Limit = 200 // The text is looked for in more than one page holds.
	}
	list, err := h.Pipeline.Runs(r.Context(), r.actor, want)
	if err != nil {
		return err
	}
	for _, run := range list {
		if matches(v.Query, strconv.FormatInt(run.Number, 10), run.Title, run.Ref, run.Commit, run.Requester, run.Repo) {
			v.Runs = append(v.Runs, runOf(run))
		}
	}
	if len(list) == want.Limit {
		v.More = s.At("/runs" + page.Query("pipeline", r.query("pipeline"), "show", show, "q", v.Query, "before", strconv.FormatInt(list[len(list)-1].Number, 10)))
	}
	if v.Start {
		if err := h.queueInto(r, &v); err != nil {
			return err
		}
	}
	return h.render(w, r, page.RunsPage(s, v))
}

func runPath(run pipeline.Run) string {
	return "/projects/" + run.Project + "/runs/" + strconv.FormatInt(run.Number, 10)
}

// detail reads the run in the address. A run of another project is shown where it
// belongs; moved says that the visitor was sent there.
func (h *handler) detail(w http.ResponseWriter, r request) (d *pipeline.Detail, moved bool, err error) {
	n, err := h.runNumber(r)
	if err != nil {
		return nil, false, err
	}
	d, err = h.Pipeline.Show(r.Context(), r.actor, n)
	if err != nil {
		return nil, false, err
	}
	if d.Project != r.project() {
		http.Redirect(w, r.Request, runPath(d.Run), http.StatusSeeOther)
		return nil, true, nil
	}
	return d, false, nil
}

func (h *handler) runNumber(r request) (int64, error) {
	n, err := strconv.ParseInt(r.PathValue("run"), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.NotFound, "A run has a number; this is none.").WithNext("choose one from the list of runs")
	}
	return n, nil
}

func (h *handler) cancelRun(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	if err := h.Pipeline.Cancel(r.Context(), r.actor, n); err != nil {
		return err
	}
	return done(w, r, "/projects/"+r.project()+"/runs/"+r.PathValue("run"), "The run is being cancelled; steps with always() still run.")
}

func (h *handler) rerun(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	part := pipeline.Part{Failed: r.FormValue("failed") != "", Stage: r.FormValue("stage"), Following: r.FormValue("following") != "", Stay: stayOf(r)}
	if !part.Whole() {
		run, err := h.Pipeline.Repeat(r.Context(), r.actor, n, part)
		if err != nil {
			return err
		}
		return done(w, r, runPath(run), "The run goes on. What it keeps stays as it is.")
	}
	run, err := h.Pipeline.RerunKept(r.Context(), r.actor, n, part.Stay)
	if err != nil {
		return err
	}
	return done(w, r, runPath(run), "")
}

// artifact answers with an artifact as a tar.
func (h *handler) artifact(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	a, body, err := h.Pipeline.OpenArtifact(r.Context(), r.actor, n, r.PathValue("name"))
	if err != nil {
		return err
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/x-tar")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.Name + ".tar"}))
	_, err = io.Copy(w, body)
	return ignoreGone(err)
}
