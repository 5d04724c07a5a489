package agent

import (
	"context"
	"sync"
	"time"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// failedStep is where a job that is to be kept has failed.
type failedStep struct {
	Failure
	in *container // in which the processes of the step ran; nil on a host
}

// mayStay reports whether a job that ended so is left as it is until the server has said
// whether it is kept. What somebody cancelled is not, nor what the server gave up.
func (r *jobRun) mayStay(ctx context.Context, result plan.Result) bool {
	if r.job.StaySeconds <= 0 || ctx.Err() != nil {
		return false
	}
	if r.stop.stopped() {
		return r.stop.failed && !r.stop.gone // A time-out is a failure like any other.
	}
	return result == plan.Failed
}

// stay keeps the job as it is and opens the terminals that are asked for, until the server, the
// time or the end of the agent ends it. A server that is away for longer than a lease has
// ended it as well.
func (r *jobRun) stay(ctx context.Context, lease, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	r.log.Info("the job is kept", "for", most)
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	for ctx.Err() == nil {
		var reply protocol.StayReply
		asking, stop := context.WithTimeout(ctx, lease+lease/3)
		err := retry(asking, func() error {
			return r.agent.client.call(asking, "jobs/"+r.job.ID+"/stay", r.job.Lease, protocol.Stay{WaitSeconds: (lease / 3).Seconds()}, &reply)
		})
		stop()
		if err != nil || reply.Over {
			r.log.Info("the job is not kept any more", "why", reply.Why, "error", err)
			return
		}
		for _, t := range reply.Open {
			open.Go(func() {
				if err := r.terminal(ctx, t); err != nil && ctx.Err() == nil {
					r.log.Warn("a terminal ended", "error", err)
				}
			})
		}
	}
}

// place is where the terminals of a kept job open: where the first step failed, or, when it
// was none, in the sources with the environment that a step has.
func (r *jobRun) place() *failedStep {
	if r.failed != nil {
		return r.failed
	}
	s := &stepRun{jobRun: r, step: &protocol.Step{}}
	if len(r.beside) > 0 {
		s.in = r.beside[0]
	}
	return &failedStep{Failure: s.failure(), in: s.in}
}
