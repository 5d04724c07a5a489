package web

import (
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/web/page"
)

const (
	// stepsLooked is in how many steps a page looks for errors, issuesShown how many lines of
	// one it shows.
	stepsLooked = 12
	issuesShown = 6
	// summariesShown bounds the summaries of a page, summaryBytes one of them.
	summariesShown = 20
	summaryBytes   = 64 << 10
)

// issuesInto collects what went wrong, the first step first: errors and warnings of steps
// that failed or ended with issues, and why jobs and stages ended that have no step to show.
func (h *handler) issuesInto(r request, d *pipeline.Detail, v *page.RunView) error {
	looked := 0
	for _, st := range d.Stages {
		if st.Why != "" && st.Result == plan.Failed {
			v.Issues = append(v.Issues, page.StepIssues{Title: orElse(st.DisplayName, st.Name), Why: st.Why})
		}
		for _, j := range st.Jobs {
			found := len(v.Issues)
			for _, step := range j.Steps {
				bad := step.Result == plan.Failed || step.Result == plan.SucceededWithIssues || step.Status == plan.Running
				if !bad || looked == stepsLooked || step.Lines == 0 && step.Why == "" {
					continue
				}
				looked++
				if err := h.stepIssues(r, d, v, st, j, step); err != nil {
					return err
				}
			}
			if len(v.Issues) == found && j.Why != "" && (j.Result == plan.Failed || j.Result == plan.Canceled) {
				v.Issues = append(v.Issues, page.StepIssues{Title: jobTitle(st, j), Why: j.Why})
			}
		}
	}
	return nil
}

func (h *handler) stepIssues(r request, d *pipeline.Detail, v *page.RunView, st pipeline.Stage, j pipeline.Job, step pipeline.Step) error {
	o, err := h.outlineOf(r, logRef{d.Number, j.Path, step.Number})
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil // The log is not there yet, or was removed by retention.
		}
		return err
	}
	s, _ := state(step.Status, step.Result)
	one := page.StepIssues{
		Title: jobTitle(st, j), Step: orElse(step.DisplayName, step.Task), State: s, Job: j.Path, Number: step.Number, Why: step.Why, Errors: o.Errors, Warnings: o.Warnings,
	}
	// Errors first; of several the last one is often only the exit code, the first the cause.
	for _, want := range []page.State{page.Shut, page.Held} {
		for _, i := range o.Issues {
			if i.State == want && len(one.Lines) < issuesShown {
				one.Lines = append(one.Lines, i)
			}
		}
	}
	if len(one.Lines) > 0 || one.Why != "" {
		v.Issues = append(v.Issues, one)
	}
	return nil
}

// stageNow is the stage that is looked at, with what may be done with it.
func stageNow(d *pipeline.Detail, at place, name string, may bool) *page.StageNow {
	for _, st := range d.Stages {
		mine := strings.EqualFold(st.Name, name)
		for _, j := range st.Jobs {
			mine = mine || name == "" && at.is(j)
		}
		if !mine {
			continue
		}
		s, word := state(st.Status, st.Result)
		over := st.Status == plan.Completed
		failed := st.Result == plan.Failed || st.Result == plan.Canceled
		out := &page.StageNow{
			Name: st.Name, Title: orElse(st.DisplayName, st.Name), State: s, Word: word, Attempt: st.Attempt, Why: st.Why, HeldBy: st.HeldBy, Held: st.Held, LeftOut: st.LeftOut,
			Rerun: may && over && d.Status == plan.Completed && !st.Started.IsZero(), Failed: failed,
			Skip: may && st.Skippable && st.Status == plan.Pending && st.LeftOut == "", Start: may && st.Manual && st.Requested == "" && st.Status == plan.Pending,
			Retry: may && over && st.Started.IsZero() && st.Why != "" && st.LeftOut == "", Requested: st.Requested,
		}
		if st.Name == "__default" {
			out.Title = "the run"
		}
		return out
	}
	return nil
}

func (h *handler) stageAct(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	stage, said := r.PathValue("stage"), ""
	switch r.PathValue("act") {
	case "start":
		err, said = h.Pipeline.StartStage(r.Context(), r.actor, n, stage), "The stage starts when the stages before it have ended."
	case "skip":
		err, said = h.Pipeline.SkipStage(r.Context(), r.actor, n, stage), "The stage is left out; what depends on it goes on."
	default:
		err = fault.New(fault.NotFound, "A stage is started, skipped or retried.")
	}
	if err != nil {
		return err
	}
	return done(w, r, "/projects/"+r.project()+"/runs/"+r.PathValue("run"), said)
}

// attachmentsOf lists the files that steps left beside their logs.
func attachmentsOf(d *pipeline.Detail) []page.Attachment {
	var out []page.Attachment
	for _, a := range d.Attachments {
		if strings.EqualFold(a.Type, protocol.AttachmentSummary) {
			continue // Summaries have a tab of their own.
		}
		out = append(out, page.Attachment{ID: a.ID, Name: a.Name, Type: a.Type, Job: a.Job, Bytes: a.Bytes, Digest: a.Digest})
	}
	return out
}

// summariesInto reads the Markdown that steps wrote for people.
func (h *handler) summariesInto(r request, d *pipeline.Detail, v *page.RunView) error {
	for _, a := range d.Attachments {
		if !strings.EqualFold(a.Type, protocol.AttachmentSummary) || len(v.Summaries) == summariesShown {
			continue
		}
		_, body, err := h.Pipeline.OpenAttachment(r.Context(), r.actor, d.Number, a.ID)
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(io.LimitReader(body, summaryBytes))
		if cerr := body.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		v.Summaries = append(v.Summaries, page.Summary{ID: a.ID, Title: a.Name, Step: stepTitle(d, place{job: a.Job, step: a.Step}), Job: a.Job, Text: string(raw), Cut: a.Bytes > summaryBytes})
	}
	return nil
}

// hasSummary reports whether a step wrote a summary.
func hasSummary(d *pipeline.Detail) int {
	n := 0
	for _, a := range d.Attachments {
		if strings.EqualFold(a.Type, protocol.AttachmentSummary) {
			n++
		}
	}
	return n
}

// attachment answers with a file that a step left, as something to be saved: its content is
// foreign and never shown as a page.
func (h *handler) attachment(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	a, body, err := h.Pipeline.OpenAttachment(r.Context(), r.actor, n, r.PathValue("attachment"))
	if err != nil {
		return err
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(a.Bytes, 10))
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.Name}))
	_, err = io.Copy(w, body)
	return ignoreGone(err)
}
