package web

import (
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
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
		v.Filters = append(v.Filters, page.Filter{Key: f.key, Text: f.text, Count: -1, On: on, Href: s.At("/runs" + page.Query("show", f.key, "q", v.Query))})
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
		v.More = s.At("/runs" + page.Query("show", show, "q", v.Query, "before", strconv.FormatInt(list[len(list)-1].Number, 10)))
	}
	if v.Start {
		if err := h.reposInto(r, &v); err != nil {
			return err
		}
	}
	return h.render(w, r, page.RunsPage(s, v))
}

func (h *handler) reposInto(r request, v *page.RunList) error {
	repos, err := h.Source.Repos(r.Context(), r.actor, r.project())
	for _, repo := range repos {
		v.Repos = append(v.Repos, repo.FullName())
	}
	return err
}

func (h *handler) startRun(w http.ResponseWriter, r request) error {
	run, err := h.Pipeline.Start(r.Context(), r.actor, r.PostForm.Get("repo"), r.PostForm.Get("ref"), nil)
	if err != nil {
		return err
	}
	return done(w, r, runPath(run), "")
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

// run shows one run: its stages and steps with a log, or one of the other tabs.
func (h *handler) run(w http.ResponseWriter, r request) error {
	d, moved, err := h.detail(w, r)
	if err != nil || moved {
		return err
	}
	number := strconv.FormatInt(d.Number, 10)
	s := h.room(w, r, "runs", "Run "+number, page.Crumb{Text: "runs", Href: "/projects/" + r.project() + "/runs"}, page.Crumb{Text: number})
	v := page.RunView{Run: runOf(d.Run), Tab: r.query("tab"), Query: r.query("q"), Tests: d.Tests, Images: d.Images}
	if d.Status != plan.Completed {
		s.Live = s.At("/runs/" + number + "/events")
	}
	may := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Write) == nil
	v.CanCancel, v.CanRerun = may && d.Status != plan.Completed, may && d.Status == plan.Completed
	v.CanRepeat = v.CanRerun && (d.Result == plan.Failed || d.Result == plan.Canceled)
	for _, a := range d.Artifacts {
		v.Artifacts = append(v.Artifacts, page.Artifact{
			Name: a.Name, Files: a.Files, Bytes: a.Bytes, Digest: a.Digest, Href: s.At("/runs/" + number + "/artifacts/" + page.Esc(a.Name)),
		})
	}
	if v.Refused, err = h.runRefusals(r, d.Number); err != nil {
		return err
	}
	if err := h.holdsInto(r, d.Number, &v); err != nil {
		return err
	}
	job, step := chosen(d, r)
	v.Stages = stagesOf(d, job, step)
	if err := h.tab(r, d, &v, job, step); err != nil {
		return err
	}
	return h.render(w, r, page.RunPage(s, v))
}

// tab reads what the chosen tab shows beyond the run itself.
func (h *handler) tab(r request, d *pipeline.Detail, v *page.RunView, job string, step int) error {
	switch v.Tab {
	case "tests":
		sets, err := h.Pipeline.Tests(r.Context(), r.actor, d.Number)
		if err != nil {
			return err
		}
		v.Tests = sets
		for _, set := range sets {
			for _, f := range set.Failures {
				if matches(v.Query, f.Name, f.Suite, f.Message) {
					v.Failures = append(v.Failures, page.Failure{Set: set.Title, Failure: f})
				}
			}
		}
	case "file":
		raw, err := h.Source.File(r.Context(), r.actor, d.Repo, d.Commit, d.File)
		if err != nil {
			return err
		}
		v.File = string(raw)
	case "artifacts":
	default:
		v.Tab = ""
		if job == "" {
			return nil
		}
		return h.logInto(r, d, v, job, step)
	}
	return nil
}

// logInto reads the first lines of the chosen step.
func (h *handler) logInto(r request, d *pipeline.Detail, v *page.RunView, job string, step int) error {
	p, err := h.Pipeline.ReadLog(r.Context(), r.actor, d.Number, job, step, 0, chunk)
	if err != nil {
		return err
	}
	v.Log = &page.Log{Job: job, Step: step, Title: stepTitle(d, job, step), Total: p.Total, Live: !p.Over, HTML: page.LogLines(p.Lines)}
	return nil
}

func stepTitle(d *pipeline.Detail, path string, number int) string {
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			for _, step := range j.Steps {
				if j.Path == path && step.Number == number {
					return step.DisplayName
				}
			}
		}
	}
	return "Step " + strconv.Itoa(number)
}

// chosen is the step whose log is shown: the one in the address, else the first that
// failed, else the one that runs, else the last that has printed something.
func chosen(d *pipeline.Detail, r request) (job string, step int) {
	if n, err := strconv.Atoi(r.query("step")); err == nil && r.query("job") != "" {
		return r.query("job"), n
	}
	var running, last struct {
		job  string
		step int
	}
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			for _, s := range j.Steps {
				switch {
				case s.Result == plan.Failed:
					return j.Path, s.Number
				case s.Status == plan.Running:
					running.job, running.step = j.Path, s.Number
				case s.Lines > 0:
					last.job, last.step = j.Path, s.Number
				}
			}
		}
	}
	if running.job != "" {
		return running.job, running.step
	}
	return last.job, last.step
}

// state says where something with a status and a result stands, and in one word.
func state(status plan.Status, result plan.Result) (page.State, string) {
	switch {
	case status == plan.Completed:
		switch result {
		case plan.Succeeded:
			return page.Open, "succeeded"
		case plan.SucceededWithIssues:
			return page.Held, "succeeded with issues"
		case plan.Skipped:
			return page.Wait, "skipped"
		case plan.Canceled:
			return page.Shut, "cancelled"
		}
		return page.Shut, "failed"
	case status == plan.Running:
		return page.Passing, "running"
	case status == "Queued":
		return page.Held, "waits for an agent"
	}
	return page.Wait, "waiting"
}

func runOf(r pipeline.Run) page.Run {
	st, word := state(r.Status, r.Result)
	if r.Status == plan.Pending {
		st, word = page.Held, "queued"
	}
	reason := map[string]string{"IndividualCI": "by a push", "BatchedCI": "by a push", "Manual": "by hand", "PullRequest": "by a pull request"}[r.Reason]
	if r.RerunOf > 0 {
		reason = "again, after run " + strconv.FormatInt(r.RerunOf, 10)
	}
	return page.Run{
		Number: r.Number, Name: r.Name, Title: r.Title, Repo: r.Repo, Commit: r.Commit, Branch: page.BranchOf(r.Ref), Pipeline: r.File, Reason: reason,
		Requester: r.Requester, State: st, Word: word, Why: r.Why, Queued: r.Queued, Started: r.Started, Finished: r.Finished,
	}
}

// span is how long something took, "" before it has ended.
func span(started, finished time.Time) string {
	if started.IsZero() || finished.IsZero() {
		return ""
	}
	return page.Took(finished.Sub(started))
}

func stagesOf(d *pipeline.Detail, job string, step int) []page.Stage {
	var out []page.Stage
	for _, st := range d.Stages {
		s, word := state(st.Status, st.Result)
		stage := page.Stage{Name: st.Name, Title: orElse(st.DisplayName, st.Name), State: s, Note: word}
		switch t := span(st.Started, st.Finished); {
		case s == page.Passing:
			stage.Began = st.Started
		case t != "" && s != page.Wait:
			stage.Note += " · " + t
		}
		if st.Why != "" {
			stage.Note = st.Why
		}
		if !st.Held.IsZero() {
			stage.State, stage.Note = page.Held, "waits for "+strings.Join(st.HeldBy, ", ")
		}
		for _, j := range st.Jobs {
			one := jobOf(st, j, job, step)
			stage.Current = stage.Current || one.Current
			stage.Jobs = append(stage.Jobs, one)
		}
		out = append(out, stage)
	}
	return out
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func jobOf(st pipeline.Stage, j pipeline.Job, job string, step int) page.Job {
	s, word := state(j.Status, j.Result)
	out := page.Job{ID: j.Path, Title: orElse(st.DisplayName, st.Name) + " / " + orElse(j.DisplayName, j.Name), State: s, Note: span(j.Started, j.Finished), Why: j.Why, Current: j.Path == job}
	if st.Name == "__default" || st.DisplayName == "__default" {
		out.Title = orElse(j.DisplayName, j.Name)
	}
	if s == page.Passing {
		out.Began = j.Started
	}
	if out.Note == "" {
		out.Note = word
	}
	for _, p := range j.Steps {
		s, word := state(p.Status, p.Result)
		one := page.Step{Number: p.Number, Title: orElse(p.DisplayName, p.Task), State: s, Note: span(p.Started, p.Finished), Current: j.Path == job && p.Number == step}
		switch {
		case s == page.Passing:
			one.Began = p.Started
		case p.Result == plan.Skipped:
			one.Note = word
		}
		out.Steps = append(out.Steps, one)
	}
	return out
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
	part := pipeline.Part{Failed: r.FormValue("failed") != "", Stage: r.FormValue("stage"), Following: r.FormValue("following") != ""}
	if !part.Whole() {
		run, err := h.Pipeline.Repeat(r.Context(), r.actor, n, part)
		if err != nil {
			return err
		}
		return done(w, r, runPath(run), "The run goes on. What it keeps stays as it is.")
	}
	run, err := h.Pipeline.Rerun(r.Context(), r.actor, n)
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
