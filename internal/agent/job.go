package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/pipeline/mask"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// jobRun is one job while it runs.
type jobRun struct {
	agent  *Agent
	job    *protocol.Job
	log    *slog.Logger
	space  *workspace
	beside []*container
	spool  *spool
	warden *warden.Warden
	masker *mask.Masker
	base   map[string]string // environment before variables
	vars   plan.Values
	paths  []string // from prependpath, newest first
	// cased are the variables, in lower case, whose names keep their case in the environment.
	cased     map[string]bool
	endpoints map[string]*endpoint // service connections by lower-case id
	debug     bool
	taskVars  map[int]plan.Values // of the tasks, by the numbers of their steps
	nodes     []nodeProgram       // of this host, once a task has asked for them

	outputs []protocol.Output
	later   []func(context.Context) // what steps do at the end of a phase that succeeded
	why     string                  // first error
	ended   []plan.HookResult       // rounds of a deployment, with those of the agents before
	onward  bool                    // the deployment goes on elsewhere
	// borrowed are the secure files that steps fetched and the folder of docker's logins,
	// relative to the workspace.
	borrowed []string

	// failed is the first step that failed the job, of a job that is to be kept.
	failed *failedStep

	stop *stopper
}

// stopper is how a job is told to end: by the server, its time-out or the agent.
type stopper struct {
	once sync.Once
	c    chan struct{} // closed when the job is to end
	// The rest is valid once c is closed.
	why    string
	failed bool      // nobody asked for it: the job counts as failed
	gone   bool      // the server does not want the job any more
	at     time.Time // when it was
}

func (s *stopper) stop(why string, failed, gone bool) {
	s.once.Do(func() {
		s.why, s.failed, s.gone, s.at = why, failed, gone, time.Now()
		close(s.c)
	})
}

// left returns how much of the time to clean up is left, given all of it in seconds;
// bounded is false when there is no limit. It is for a job that was stopped.
func (s *stopper) left(seconds float64) (d time.Duration, bounded bool) {
	if seconds <= 0 {
		return 0, false
	}
	return max(time.Until(s.at.Add(time.Duration(seconds*float64(time.Second)))), 0), true
}

func (s *stopper) stopped() bool {
	select {
	case <-s.c:
		return true
	default:
		return false
	}
}

// runJob runs a job to its end and reports it. An error is the agent's own trouble; a
// job that fails is none.
func (a *Agent) runJob(ctx context.Context, p *place, lease time.Duration, job *protocol.Job, log *slog.Logger) error {
	sp, err := newSpool(filepath.Join(a.cfg.Dir, "spool", job.ID), a.client, job)
	if err != nil {
		return err
	}
	// The end of the agent cancels the job, but does not cut off its report.
	life, die := context.WithCancel(context.WithoutCancel(ctx))
	defer die()
	go sp.deliver(life)
	r := &jobRun{agent: a, job: job, log: log, spool: sp, space: p.space, beside: p.beside, warden: p.warden, stop: &stopper{c: make(chan struct{})}, masker: mask.New(job.Token, a.cfg.Token),
		cased: map[string]bool{}, endpoints: map[string]*endpoint{}}
	leave := context.AfterFunc(ctx, func() { r.stop.stop(Stopped, true, false) })
	defer leave()
	beating, rest := context.WithCancel(life)
	defer rest()
	go r.heartbeats(beating, lease)
	if job.TimeoutSeconds > 0 {
		t := time.AfterFunc(time.Duration(job.TimeoutSeconds*float64(time.Second)), func() {
			r.stop.stop(fmt.Sprintf("the job ran longer than its time-out of %g minutes", job.TimeoutSeconds/60), true, false)
		})
		defer t.Stop()
	}
	result, err := r.run(p.slot)
	if err != nil {
		log.Error("the job could not run", "error", err)
		r.why = "the agent could not run the job: " + err.Error()
	}
	stays := !r.onward && r.mayStay(ctx, result)
	if !stays {
		r.clear()
	}
	wanted, err := r.finish(life, ctx, protocol.Complete{Result: result, Stays: stays, Ended: r.ended, Onward: r.onward}, rest)
	if stays {
		if wanted.StaySeconds > 0 {
			r.stay(ctx, lease, time.Duration(wanted.StaySeconds*float64(time.Second)))
		}
		r.clear()
	}
	return err
}

// clear ends what the job left running and takes back what it was lent.
func (r *jobRun) clear() {
	if err := r.warden.KillAll(); err != nil {
		r.log.Error("ending the processes of the job", "error", err)
	}
	r.giveBack()
}

// run runs the phases.
func (r *jobRun) run(slot int) (plan.Result, error) {
	r.base = r.agent.baseEnv(r.space)
	r.vars = plan.Values{}
	for _, v := range append(r.job.Variables, r.agent.localVariables(r.space, slot)...) {
		r.vars.Set(v)
	}
	r.vars.Set(plan.Value{Name: "System.AccessToken", Text: r.job.Token, Secret: true, ReadOnly: true})
	r.vars.Set(plan.Value{Name: "Agent.JobName", Text: r.job.DisplayName, ReadOnly: true})
	if v, ok := r.vars.Lookup(shortestSecret); ok {
		if n, err := strconv.Atoi(v); err == nil {
			r.masker.SetMinLength(n)
		}
	}
	for _, v := range r.vars {
		if v.Secret {
			r.masker.Add(v.Text)
		}
	}
	if v, ok := r.vars.Lookup("System.Debug"); ok && v == "true" {
		r.debug = true
	}
	r.takeConnections()
	r.expandVariables()
	closePorts, err := r.publish()
	if err != nil {
		return plan.Failed, err
	}
	defer closePorts()
	return r.phases()
}

// shortestSecret is the variable that says how short a secret may be and still be masked;
// the service's agent has it, too (L033).
const shortestSecret = "AZP_IGNORE_SECRETS_SHORTER_THAN"

// phases runs the one phase of an ordinary job, or the rounds of a deployment as its
// strategy has them follow each other.
func (r *jobRun) phases() (plan.Result, error) {
	if r.job.Strategy == nil {
		if len(r.job.Phases) != 1 {
			return plan.Failed, fmt.Errorf("the job has %d phases and no strategy", len(r.job.Phases))
		}
		return r.phase(&r.job.Phases[0]), nil
	}
	r.ended = slices.Clone(r.job.Ended)
	done := map[int]bool{}
	for {
		round, more := r.job.Strategy.Next(r.ended)
		if !more {
			break
		}
		found := false
		for i := range r.job.Phases {
			if p := &r.job.Phases[i]; p.Round == round && !done[i] {
				found, done[i] = true, true
				r.ended = append(r.ended, plan.HookResult{HookRun: round, Result: r.phase(p)})
				break
			}
		}
		if !found {
			if len(r.ended) == len(r.job.Ended) {
				return plan.Failed, fmt.Errorf("the job has no steps for the hook %s", round.Hook)
			}
			// Its pool is another one: the server hands the deployment on.
			r.onward = !r.stop.stopped()
			return r.job.Strategy.Result(r.ended), nil
		}
	}
	for i := range r.job.Phases {
		if !done[i] {
			r.skipAll(&r.job.Phases[i])
		}
	}
	return r.job.Strategy.Result(r.ended), nil
}

// phase runs a list of steps and returns its result.
func (r *jobRun) phase(p *protocol.Phase) plan.Result {
	if p.Round.Hook != "" {
		r.vars.Set(plan.Value{Name: "strategy.name", Text: r.job.Strategy.Name, ReadOnly: true})
		r.vars.Set(plan.Value{Name: "strategy.action", Text: p.Round.Action, ReadOnly: true})
		if p.Round.Increment > 0 {
			r.vars.Set(plan.Value{Name: "strategy.increment", Text: fmt.Sprint(p.Round.Increment), ReadOnly: true})
		} else {
			delete(r.vars, "strategy.increment") // Only the rounds of an increment have it (D004).
		}
	}
	status := plan.Succeeded
	for i := range p.Steps {
		expired := false
		if r.stop.stopped() {
			status = plan.Canceled
			left, bounded := r.stop.left(r.job.CancelSeconds)
			expired = r.stop.gone || bounded && left == 0
		}
		r.vars.Set(plan.Value{Name: "Agent.JobStatus", Text: string(status), ReadOnly: true})
		s := &stepRun{jobRun: r, step: &p.Steps[i], round: p.Round}
		status = mergeStatus(status, s.run(status, expired || r.agent.abandoned()))
	}
	if r.stop.stopped() {
		status = plan.Canceled
	}
	if status == plan.Succeeded || status == plan.SucceededWithIssues {
		r.atEnd()
	}
	return status
}

// atEnd does what the steps of a phase have left for its end, the last step first. The end of
// the job ends it.
func (r *jobRun) atEnd() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-r.stop.c:
			cancel()
		case <-over:
		}
	}()
	for _, do := range slices.Backward(r.later) {
		do(ctx)
	}
	r.later = nil
}

// skipAll reports the steps of a phase that never came as skipped.
func (r *jobRun) skipAll(p *protocol.Phase) {
	for i := range p.Steps {
		st, err := r.spool.step(p.Steps[i].Number)
		if err != nil {
			r.log.Error("reporting a skipped step", "error", err)
			return
		}
		r.spool.report(st, protocol.StepUpdate{Status: plan.Completed, Result: plan.Skipped})
	}
}

// mergeStatus is the status of a job after a step: it never becomes better.
func mergeStatus(status, step plan.Result) plan.Result {
	switch {
	case status == plan.Canceled || step == plan.Canceled:
		return plan.Canceled
	case status == plan.Failed || step == plan.Failed:
		return plan.Failed
	case status == plan.SucceededWithIssues || step == plan.SucceededWithIssues:
		return plan.SucceededWithIssues
	}
	return plan.Succeeded
}

// heartbeats keeps the lease and hears of a cancellation, until ctx ends.
func (r *jobRun) heartbeats(ctx context.Context, lease time.Duration) {
	wait := lease / 3
	for ctx.Err() == nil {
		var reply protocol.HeartbeatReply
		err := retry(ctx, func() error {
			return r.agent.client.call(ctx, "jobs/"+r.job.ID+"/heartbeat", r.job.Lease,
				protocol.Heartbeat{WaitSeconds: wait.Seconds(), Canceled: r.stop.stopped()}, &reply)
		})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.log.Warn("the server has ended the job", "error", err)
			r.stop.stop("the server has ended the job", false, true)
			return
		case reply.Cancel:
			r.stop.stop(reply.Why, false, false)
		}
	}
}

// fail notes the first error of the job.
func (r *jobRun) fail(why string) {
	if r.why == "" {
		r.why = r.masker.String(why)
	}
}

// finish brings everything to the server and ends the job. When the agent is told to
// stop meanwhile, what is not delivered stays on disk for the next start. rest ends the
// heartbeats. It returns what the server wants of a job that failed.
func (r *jobRun) finish(life, ctx context.Context, in protocol.Complete, rest func()) (protocol.Completed, error) {
	if r.stop.stopped() {
		in.Onward = false
		r.why = r.stop.why
		if r.stop.failed {
			in.Result = plan.Failed
		}
	}
	bounded := life
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(life, 10*time.Second)
		defer cancel()
	}
	var out protocol.Completed
	err := r.spool.flush(bounded)
	rest()
	if err == nil {
		in.Why, in.Outputs = r.why, r.outputs
		err = retry(bounded, func() error {
			return r.agent.client.call(bounded, "jobs/"+r.job.ID+"/complete", r.job.Lease, in, &out)
		})
	}
	if ended(err) {
		err = nil
	}
	cerr := r.spool.close(err != nil && !permanent(err))
	r.log.Info("job finished", "result", in.Result)
	return out, errors.Join(err, cerr)
}

// recover brings what an agent that was killed has left to the server, and ends its
// jobs.
func (a *Agent) recover(ctx context.Context) error {
	dir := filepath.Join(a.cfg.Dir, "spool")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, a.recoverJob(ctx, filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}
