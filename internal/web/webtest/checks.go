package webtest

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
)

// HeldBy is the id of the approval that holds the run Long; ada may give it.
const HeldBy = "01K9ZQ3M4N5P6Q7R8S9TAVBWCX"

// RunChecks lists the approval of the run Long.
func (p Pipeline) RunChecks(_ context.Context, a identity.Actor, n int64) ([]pipeline.Hold, error) {
	if n != Long {
		return nil, nil
	}
	d := check.Definition{
		Resource: check.Resource{Kind: check.Environment, Project: "shop", Name: "production"}, Type: check.Approval,
		Approval: &check.ApprovalRule{Approvers: []string{"user:ada"}, Instructions: "Look at the error budget first."},
	}
	e := check.NewEntry(HeldBy, d)
	e.Run, e.Stage, e.Status, e.Started = n, "Deploy", check.Waiting, Now.Add(-time.Hour)
	return []pipeline.Hold{{Entry: *e, Name: e.Name(), For: d.Resource.Path(), Waits: []string{"user:ada"}, Mine: a.Name == "ada"}}, nil
}

// Approve knows one approval.
func (p Pipeline) Approve(_ context.Context, _ identity.Actor, entry, _ string, _ time.Time) (pipeline.Hold, error) {
	return known(entry)
}

// Reject knows one approval.
func (p Pipeline) Reject(_ context.Context, _ identity.Actor, entry, _ string) (pipeline.Hold, error) {
	return known(entry)
}

// Permit knows no permission.
func (p Pipeline) Permit(context.Context, identity.Actor, string) (pipeline.Hold, error) {
	return known("")
}

// RetryStage refuses: every stage of the fixture ran.
func (p Pipeline) RetryStage(context.Context, identity.Actor, int64, string) error {
	return fault.New(fault.Conflict, "The stage was not ended by its checks.")
}

func known(entry string) (pipeline.Hold, error) {
	if entry != HeldBy {
		return pipeline.Hold{}, fault.New(fault.NotFound, "There is no approval %q.", entry)
	}
	return pipeline.Hold{}, nil
}
