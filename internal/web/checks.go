package web

import (
	"net/http"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/web/page"
)

// checkRoutes are the addresses at which what holds a run is released.
func (h *handler) checkRoutes() {
	h.form("POST /projects/{project}/runs/{run}/approvals/{approval}", h.answerApproval)
	h.form("POST /projects/{project}/runs/{run}/approvals/{approval}/permit", h.permitPipeline)
	h.form("POST /projects/{project}/runs/{run}/stages/{stage}/retry", h.retryStage)
}

// holdsInto reads what holds the stages of a run now.
func (h *handler) holdsInto(r request, n int64, v *page.RunView) error {
	list, err := h.Pipeline.RunChecks(r.Context(), r.actor, n)
	if err != nil {
		return err
	}
	for _, one := range list {
		if one.Status != check.Waiting {
			continue
		}
		hold := page.Hold{
			ID: one.Entry.Entry, Stage: one.Stage, Resource: one.For, Name: one.Name, Since: one.Started, Waits: one.Waits, Why: one.Why,
			Mine: one.Mine, Permit: one.Type == check.Permission,
		}
		if one.Approval != nil {
			hold.Instructions = one.Approval.Instructions
		}
		v.Holds = append(v.Holds, hold)
	}
	return nil
}

func (h *handler) answerApproval(w http.ResponseWriter, r request) error {
	comment, said := r.PostForm.Get("comment"), "Approved."
	var err error
	switch r.PostForm.Get("answer") {
	case "approve":
		_, err = h.Pipeline.Approve(r.Context(), r.actor, r.PathValue("approval"), comment, time.Time{})
	case "reject":
		_, err = h.Pipeline.Reject(r.Context(), r.actor, r.PathValue("approval"), comment)
		said = "Rejected; the stage has failed."
	default:
		err = fault.New(fault.Invalid, "An approval is approved or rejected.")
	}
	if err != nil {
		return err
	}
	return done(w, r, "/projects/"+r.project()+"/runs/"+r.PathValue("run"), said)
}

func (h *handler) permitPipeline(w http.ResponseWriter, r request) error {
	if _, err := h.Pipeline.Permit(r.Context(), r.actor, r.PathValue("approval")); err != nil {
		return err
	}
	return done(w, r, "/projects/"+r.project()+"/runs/"+r.PathValue("run"), "The pipeline may use the resource from now on.")
}

func (h *handler) retryStage(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	if err := h.Pipeline.RetryStage(r.Context(), r.actor, n, r.PathValue("stage")); err != nil {
		return err
	}
	return done(w, r, "/projects/"+r.project()+"/runs/"+r.PathValue("run"), "The checks of the stage are asked again.")
}
