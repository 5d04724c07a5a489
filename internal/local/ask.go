package local

import (
	"context"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
)

// Asker has somebody answer a question of ManualValidation@1. Questions come one at a time.
type Asker interface {
	// Ask waits for the answer; answered is false when ctx ended first, because the run was
	// cancelled or the question has timed out.
	Ask(ctx context.Context, q Question) (resume bool, comment string, answered bool)
}

// Question is what a step asks.
type Question struct {
	Job, Step    string
	Instructions string
	// Approvers are who may answer on a server: "user:ada", "role:write".
	Approvers []string
	Deadline  time.Time
}

// nobody is why a question is rejected that nobody can be asked.
const nobody = "there is no terminal on which somebody could answer; run it in a terminal, or choose the other jobs with --job"

// questions are those of a run that were put; at most one waits for its answer.
type questions struct {
	host  *host
	known map[string]context.CancelFunc // by entry
	free  chan struct{}                 // holds one token when nobody is being asked
}

func newQuestions(h *host) *questions {
	q := &questions{host: h, known: map[string]context.CancelFunc{}, free: make(chan struct{}, 1)}
	q.free <- struct{}{}
	return q
}

// look puts the questions that are new, and takes back those that are over. ctx ends when the
// run is cancelled.
func (q *questions) look(ctx context.Context, d *pipeline.Detail) error {
	if !agentless(d) {
		return nil
	}
	entries, err := q.host.svc.RunChecks(context.WithoutCancel(ctx), q.host.actor, d.Number)
	if err != nil {
		return err
	}
	for _, e := range entries {
		cancel, put := q.known[e.Entry.Entry]
		switch {
		case e.Resource.Kind != check.Job:
		case put && e.Status != check.Waiting:
			cancel()
		case !put && e.Status == check.Waiting:
			limited, cancel := context.WithDeadline(ctx, e.Deadline)
			q.known[e.Entry.Entry] = cancel
			go q.put(limited, e)
		}
	}
	return nil
}

// agentless reports whether a job runs without an agent.
func agentless(d *pipeline.Detail) bool {
	for _, s := range d.Stages {
		for _, j := range s.Jobs {
			if j.Agent == "server" {
				return true
			}
		}
	}
	return false
}

// put asks and gives the answer. That the question is over meanwhile is no error.
func (q *questions) put(ctx context.Context, e pipeline.Hold) {
	answer := q.host.svc.Reject
	comment := nobody
	if q.host.cfg.Ask != nil {
		select {
		case <-q.free:
		case <-ctx.Done():
			return
		}
		defer func() { q.free <- struct{}{} }()
		resume, said, answered := q.host.cfg.Ask.Ask(ctx, question(e))
		if !answered {
			return
		}
		if comment = said; resume {
			answer = func(ctx context.Context, a identity.Actor, entry, comment string) (pipeline.Hold, error) {
				return q.host.svc.Approve(ctx, a, entry, comment, time.Time{})
			}
		}
	}
	if _, err := answer(context.WithoutCancel(ctx), q.stand(e), e.Entry.Entry, comment); err != nil && !fault.Is(err, fault.Conflict) {
		q.host.cfg.Log.Error("answering a question", "error", err)
	}
}

func question(e pipeline.Hold) Question {
	stage, job, _ := strings.Cut(e.Resource.Name, ".")
	out := Question{Job: Label(stage, job, ""), Step: e.Definition.Title, Approvers: e.Waits, Deadline: e.Deadline}
	if e.Approval != nil {
		out.Instructions = e.Approval.Instructions
	}
	return out
}

// stand is in whose place the user answers: here is nobody but him, so that he answers for
// an approver whom the file names.
func (q *questions) stand(e pipeline.Hold) identity.Actor {
	actor := q.host.actor
	for _, who := range e.Waits {
		if name, ok := strings.CutPrefix(who, identity.KindUser+":"); ok {
			actor.Name = name
			return actor
		}
	}
	if e.Approval != nil && e.Approval.RequesterCannotApprove {
		actor.Name = "terminal"
	}
	return actor
}
