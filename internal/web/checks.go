package web

import (
	"net/http"
	"strings"
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

// holdsInto reads the checks at the gates of a run, and which of them hold a stage now.
func (h *handler) holdsInto(r request, n int64, v *page.RunView) error {
	list, err := h.Pipeline.RunChecks(r.Context(), r.actor, n)
	if err != nil {
		return err
	}
	for _, one := range list {
		hold := holdOf(one)
		v.Gates = append(v.Gates, hold)
		if one.Status == check.Waiting {
			v.Holds = append(v.Holds, hold)
		}
	}
	return nil
}

// untilLayout is how a browser writes a time without a zone; the form says that it is UTC.
const untilLayout = "2006-01-02T15:04"

func (h *handler) answerApproval(w http.ResponseWriter, r request) error {
	comment, said := r.PostForm.Get("comment"), "Approved."
	var until time.Time
	var err error
	if text := r.PostForm.Get("until"); text != "" {
		if until, err = time.Parse(untilLayout, text); err != nil {
			return fault.New(fault.Invalid, "%.40q is no time.", text).WithNext("write it as 2026-11-23T14:30, in UTC")
		}
	}
	switch r.PostForm.Get("answer") {
	case "approve":
		_, err = h.Pipeline.Approve(r.Context(), r.actor, r.PathValue("approval"), comment, until)
	case "reject":
		_, err = h.Pipeline.Reject(r.Context(), r.actor, r.PathValue("approval"), comment)
		said = "Rejected; the stage has failed."
	case "reassign":
		_, err = h.Pipeline.Reassign(r.Context(), r.actor, r.PathValue("approval"), "", strings.TrimSpace(r.PostForm.Get("to")))
		said = "Somebody else is asked now."
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
