package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/web/page"
)

// run shows one run: its stages and steps with a log, or one of the other tabs.
func (h *handler) run(w http.ResponseWriter, r request) error {
	d, moved, err := h.detail(w, r)
	if err != nil || moved {
		return err
	}
	number := strconv.FormatInt(d.Number, 10)
	s := h.room(w, r, "runs", "Run "+number, page.Crumb{Text: "runs", Href: "/projects/" + r.project() + "/runs"}, page.Crumb{Text: number})
	v := page.RunView{Run: runOf(d.Run), Tab: r.query("tab"), Query: r.query("q"), Tests: d.Tests, Images: d.Images, Coverage: d.Coverage, Tags: d.Tags}
	if d.Status != plan.Completed {
		s.Live = s.At("/runs/" + number + "/events")
	}
	may := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Write) == nil
	v.CanCancel, v.CanRerun = may && d.Status != plan.Completed, may && d.Status == plan.Completed
	v.CanRepeat = v.CanRerun && (d.Result == plan.Failed || d.Result == plan.Canceled)
	h.keptInto(r, d, &v)
	for _, a := range d.Artifacts {
		v.Artifacts = append(v.Artifacts, page.Artifact{
			Name: a.Name, Files: a.Files, Bytes: a.Bytes, Digest: a.Digest, Href: s.At("/runs/" + number + "/artifacts/" + page.Esc(a.Name)),
		})
	}
	v.Attachments, v.HasSummary = attachmentsOf(d), hasSummary(d)
	if v.Refused, err = h.runRefusals(r, d.Number); err != nil {
		return err
	}
	if err := h.holdsInto(r, d.Number, &v); err != nil {
		return err
	}
	if v.Base, err = h.lastGreen(r, d.Run); err != nil {
		return err
	}
	at, err := h.chosen(r, d)
	if err != nil {
		return err
	}
	v.Stages = stagesOf(d, at)
	v.Stage = stageNow(d, at, r.query("stage"), may)
	v.Attempts, v.Attempt = attemptsOf(d, at), at.attempt
	if err := h.tab(r, d, &v, at); err != nil {
		return err
	}
	s.Scripts = []string{"log.js"}
	return h.render(w, r, page.RunPage(s, v))
}

// tab reads what the chosen tab shows beyond the run itself.
func (h *handler) tab(r request, d *pipeline.Detail, v *page.RunView, at place) error {
	var err error
	switch v.Tab {
	case "tests":
		if v.Tests, err = h.Pipeline.Tests(r.Context(), r.actor, d.Number); err != nil {
			return err
		}
		for _, set := range v.Tests {
			for _, f := range set.Failures {
				if matches(v.Query, f.Name, f.Suite, f.Message) {
					v.Failures = append(v.Failures, page.Failure{Set: set.Title, Failure: f})
				}
			}
		}
	case "timeline":
		v.Bars = barsOf(d)
	case "compare":
		return h.compareRuns(r, d, v)
	case "summary":
		return h.summariesInto(r, d, v)
	case "given":
		v.Given, err = h.Pipeline.Given(r.Context(), r.actor, d.Number)
		return err
	case "file":
		raw, err := h.Source.File(r.Context(), r.actor, d.Repo, d.Commit, d.File)
		v.File = string(raw)
		return err
	case "artifacts", "coverage", "checks":
	default:
		v.Tab = ""
		if err := h.issuesInto(r, d, v); err != nil || at.job == "" || at.step == 0 {
			return err
		}
		return h.logInto(r, d, v, at)
	}
	return nil
}

// logInto reads the first lines of the chosen step.
func (h *handler) logInto(r request, d *pipeline.Detail, v *page.RunView, at place) error {
	p, err := h.Pipeline.ReadLog(r.Context(), r.actor, d.Number, at.job, at.step, 0, chunk)
	if err != nil {
		return err
	}
	v.Log = &page.Log{Job: at.job, Step: at.step, Title: stepTitle(d, at), Total: p.Total, Live: !p.Over, HTML: page.LogLines(p.Lines)}
	return nil
}

func stepTitle(d *pipeline.Detail, at place) string {
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			for _, step := range j.Steps {
				if at.is(j) && step.Number == at.step {
					return orElse(step.DisplayName, step.Task)
				}
			}
		}
	}
	return "Step " + strconv.Itoa(at.step)
}

// place is what of a run is looked at: a step of a job, in one of the job's attempts.
type place struct {
	job     string // as logs name it: "Build.Go", "Build.Go#1"
	step    int    // 0 for none
	attempt int    // of a job that ran again, else 0
}

// is reports whether a job is the one that is looked at.
func (p place) is(j pipeline.Job) bool {
	path, _, _ := strings.Cut(p.job, "#")
	return path == j.Path
}

// chosen is the step whose log is shown: the one in the address, else the first that
// failed, else the one that runs, else the last that has printed something. An attempt
// before the last one takes the place of its job in d.
func (h *handler) chosen(r request, d *pipeline.Detail) (place, error) {
	n, err := strconv.Atoi(r.query("step"))
	if job := r.query("job"); err == nil && job != "" {
		return h.attempt(r, d, place{job: job, step: n})
	}
	var running, last place
	for _, st := range d.Stages {
		if want := r.query("stage"); want != "" && want != st.Name {
			continue
		}
		for _, j := range st.Jobs {
			for _, s := range j.Steps {
				switch {
				case s.Result == plan.Failed:
					return h.attempt(r, d, place{job: j.Path, step: s.Number})
				case s.Status == plan.Running:
					running = place{job: j.Path, step: s.Number}
				case s.Lines > 0:
					last = place{job: j.Path, step: s.Number}
				}
			}
		}
	}
	if running.job != "" {
		last = running
	}
	return h.attempt(r, d, last)
}

// attempt puts an earlier attempt of a job, "Build.Go#1", in the place of the last one.
func (h *handler) attempt(r request, d *pipeline.Detail, at place) (place, error) {
	path, number, past := strings.Cut(at.job, "#")
	for i := range d.Stages {
		for k := range d.Stages[i].Jobs {
			j := &d.Stages[i].Jobs[k]
			if j.Path != path {
				continue
			}
			at.attempt = j.Attempt
			if !past {
				return at, nil
			}
			list, err := h.Pipeline.Attempts(r.Context(), r.actor, d.Number)
			if err != nil {
				return at, err
			}
			for _, old := range list {
				if old.Path == path && strconv.Itoa(old.Attempt) == number {
					at.attempt = old.Attempt
					last := j.Attempt
					*j = old
					j.Attempt = last // How many there are; the place says which one is shown.
				}
			}
		}
	}
	return at, nil
}

// attemptsOf are the links to the attempts of the job that is looked at.
func attemptsOf(d *pipeline.Detail, at place) []page.Attempt {
	var out []page.Attempt
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			for n := 1; at.is(j) && j.Attempt > 1 && n <= j.Attempt; n++ {
				job := j.Path
				if n < j.Attempt {
					job += "#" + strconv.Itoa(n)
				}
				out = append(out, page.Attempt{Number: n, Job: job, On: n == at.attempt})
			}
		}
	}
	return out
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
	reason := map[string]string{"IndividualCI": "by a push", "BatchedCI": "by a push", "Manual": "by hand", "PullRequest": "by a pull request", "Schedule": "by a schedule", "ResourceTrigger": "by a resource"}[r.Reason]
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

func stagesOf(d *pipeline.Detail, at place) []page.Stage {
	var out []page.Stage
	for _, st := range d.Stages {
		s, word := state(st.Status, st.Result)
		stage := page.Stage{Name: st.Name, Title: orElse(st.DisplayName, st.Name), State: s, Note: word, After: st.DependsOn, Group: st.Group}
		switch t := span(st.Started, st.Finished); {
		case s == page.Passing:
			stage.Began = st.Started
		case t != "" && s != page.Wait:
			stage.Note += " · " + t
		}
		if st.Why != "" {
			stage.Note = st.Why
		}
		switch {
		case !st.Held.IsZero():
			stage.State, stage.Note = page.Held, "held by "+strings.Join(st.HeldBy, ", ")
		case st.LeftOut != "":
			stage.Note = "left out by " + page.Actor(st.LeftOut)
		case st.Manual && st.Requested == "" && st.Status == plan.Pending:
			stage.State, stage.Note = page.Held, "waits to be started"
		case st.Status == plan.Pending && len(st.DependsOn) > 0:
			stage.Note = "waits for " + strings.Join(waitsFor(d, st), ", ")
		}
		for _, j := range st.Jobs {
			one := jobOf(st, j, at)
			stage.Current = stage.Current || one.Current
			stage.Jobs = append(stage.Jobs, one)
		}
		out = append(out, stage)
	}
	return out
}

// waitsFor are the titles of the stages that one waits for: those that have not ended.
func waitsFor(d *pipeline.Detail, st pipeline.Stage) []string {
	var out []string
	for _, other := range d.Stages {
		if other.Status != plan.Completed && slices.ContainsFunc(st.DependsOn, func(n string) bool { return strings.EqualFold(n, other.Name) }) {
			out = append(out, orElse(other.DisplayName, other.Name))
		}
	}
	if len(out) == 0 {
		return []string{"its turn"}
	}
	return out
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// jobTitle is the name of a job among all of a run.
func jobTitle(st pipeline.Stage, j pipeline.Job) string {
	name := orElse(j.DisplayName, j.Name)
	if st.Name == "__default" || st.DisplayName == "__default" {
		return name
	}
	return orElse(st.DisplayName, st.Name) + " / " + name
}

func jobOf(st pipeline.Stage, j pipeline.Job, at place) page.Job {
	s, word := state(j.Status, j.Result)
	out := page.Job{ID: j.Path, Title: jobTitle(st, j), State: s, Note: span(j.Started, j.Finished), Why: j.Why, Current: at.is(j), After: j.DependsOn, Name: j.Name, Attempt: j.Attempt}
	if at.is(j) {
		out.ID = at.job
	}
	if s == page.Passing {
		out.Began = j.Started
	}
	if out.Note == "" {
		out.Note = word
	}
	for i, p := range j.Steps {
		s, word := state(p.Status, p.Result)
		one := page.Step{Number: p.Number, Hook: j.Heading(i), Title: orElse(p.DisplayName, p.Task), State: s, Note: span(p.Started, p.Finished), Current: at.is(j) && p.Number == at.step}
		switch {
		case s == page.Passing:
			one.Began = p.Started
			if p.Progress > 0 {
				one.Title += " · " + strconv.Itoa(p.Progress) + " %"
			}
		case p.Result == plan.Skipped:
			one.Note = word
		}
		out.Steps = append(out.Steps, one)
	}
	return out
}
