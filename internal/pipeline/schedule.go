package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/pipeline/gallery"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// schedule carries out what plan.Next decides, in one transaction.
type schedule struct {
	s      *Service
	ctx    context.Context
	tx     *store.Tx
	run    *runRow
	stages []stageRow
	jobs   []*jobRow
	facts  []event.Fact
	now    time.Time
	queued bool
	// catalog is set by launch, see tasksOf.
	catalog *gallery.Catalog
}

// advance brings a run as far as it can go now. It is called after every change.
func (s *Service) advance(ctx context.Context, tx *store.Tx, r *runRow) error {
	if err := lockGates(ctx, tx, r.Number); err != nil {
		return err
	}
	stages, err := loadStages(ctx, tx, r.Number)
	if err != nil {
		return err
	}
	jobs, err := loadJobs(ctx, tx, r.Number)
	if err != nil {
		return err
	}
	sc := &schedule{s: s, ctx: ctx, tx: tx, run: r, stages: stages, jobs: jobs, now: s.clock.Now()}
	if err := sc.leaveOut(); err != nil {
		return err
	}
	if err := sc.gates(); err != nil {
		return err
	}
	for progressed := true; progressed; {
		progressed = false
		for _, d := range r.plan.Next(sc.state()) {
			changed, err := sc.apply(d)
			if err != nil {
				return err
			}
			progressed = progressed || changed
		}
	}
	if err := sc.finishRun(); err != nil {
		return err
	}
	if len(sc.facts) > 0 {
		if err := s.log.Append(ctx, tx, sc.facts...); err != nil {
			return err
		}
	}
	n, woken := r.Number, sc.queued
	tx.AfterCommit(func() {
		s.hub.signal(onRun(n))
		if woken {
			s.hub.signal(onQueue)
		}
	})
	return nil
}

// onRun is the name under which those wait who watch a run. Runs share names, so that
// the hub does not grow; who is woken looks whether it was for him.
func onRun(n int64) string { return fmt.Sprintf("run:%d", n%256) }

// state is what has happened so far, as plan.Next wants it.
func (sc *schedule) state() plan.State {
	st := plan.State{Canceled: sc.run.canceled != "", Variables: sc.run.variables, Stages: make(map[string]plan.StageState, len(sc.stages))}
	for _, r := range sc.stages {
		st.Stages[r.name] = plan.StageState{Status: r.status, Result: r.result, Requested: r.requested != "", Held: r.gate == gateHeld, LeftOut: r.skipped != "", Variables: r.variables, Jobs: map[string]plan.JobState{}}
	}
	legs := map[string][]*jobRow{}
	for _, j := range sc.jobs {
		key := j.stage + "\n" + j.name
		legs[key] = append(legs[key], j)
		st.Stages[j.stage].Jobs[j.name] = sum(legs[key])
	}
	return st
}

// sum is the state of a job from its legs.
func sum(legs []*jobRow) plan.JobState {
	s := plan.JobState{Status: plan.Completed, Outputs: map[string]string{}}
	results := make([]plan.Result, 0, len(legs))
	for _, j := range legs {
		results = append(results, j.result)
		for k, v := range j.outputs {
			s.Outputs[k] = v
		}
		switch j.status {
		case plan.Completed:
		case plan.Pending:
			if s.Status == plan.Completed {
				s.Status = plan.Pending
			}
		default:
			s.Status = plan.Running
		}
	}
	if s.Status == plan.Completed {
		s.Result = plan.Combine(results...)
	}
	return s
}

// apply carries out one decision; it reports whether anything changed.
func (sc *schedule) apply(d plan.Decision) (bool, error) {
	stage := sc.stage(d.Stage)
	if stage == nil || stage.status == plan.Completed {
		return false, nil
	}
	if d.Job == "" {
		if d.Action == plan.Start && stage.gate != gateOpen {
			return true, sc.enter(stage)
		}
		if d.Action == plan.Start {
			return true, sc.startStage(stage)
		}
		return true, sc.finishStage(stage, d.Result, d.Reason)
	}
	jobs := sc.legs(d.Stage, d.Job)
	switch d.Action {
	case plan.Start:
		why, err := sc.notDeployed(sc.run.plan.Stage(d.Stage).Job(d.Job))
		if err != nil {
			return false, err
		}
		if why != "" {
			return true, sc.complete(jobs[0], plan.Skipped, why)
		}
		if why := sc.leftOut(d.Stage, d.Job); why != "" {
			return true, sc.complete(jobs[0], plan.Skipped, why)
		}
		return true, sc.launch(jobs)
	case plan.Stop:
		return sc.stop(jobs)
	}
	for _, j := range jobs {
		if j.status != plan.Completed {
			if err := sc.complete(j, d.Result, d.Reason); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// leftOut is why a job does not run in this installation, or "".
func (sc *schedule) leftOut(stage, job string) string {
	if sc.s.opts.LeaveOut == nil {
		return ""
	}
	planned := sc.run.plan.Stage(stage)
	return sc.s.opts.LeaveOut(planned, planned.Job(job))
}

func (sc *schedule) stage(name string) *stageRow {
	for i := range sc.stages {
		if sc.stages[i].name == name {
			return &sc.stages[i]
		}
	}
	return nil
}

// legs are the rows of one job.
func (sc *schedule) legs(stage, name string) []*jobRow {
	var out []*jobRow
	for _, j := range sc.jobs {
		if j.stage == stage && j.name == name {
			out = append(out, j)
		}
	}
	return out
}

func (sc *schedule) startStage(row *stageRow) error {
	variables, err := sc.run.plan.StageVariables(sc.state(), sc.run.plan.Stage(row.name), sc.s.runtime(sc.ctx, sc.tx, sc.run.Key(), sc.run.Queued, sc.run.Pull > 0))
	if err != nil {
		return sc.finishStage(row, plan.Failed, err.Error())
	}
	row.status, row.variables, row.started = plan.Running, variables, sc.now
	return sc.saveStage(row)
}

// finishStage ends a stage; jobs that have not started end with it.
func (sc *schedule) finishStage(row *stageRow, result plan.Result, why string) error {
	jobResult := plan.Skipped
	if result == plan.Canceled {
		jobResult = plan.Canceled
	}
	for _, j := range sc.jobs {
		if j.stage == row.name && j.status != plan.Completed {
			if err := sc.complete(j, jobResult, why); err != nil {
				return err
			}
		}
	}
	row.status, row.result, row.why, row.finished = plan.Completed, result, why, sc.now
	if err := sc.leave(row); err != nil {
		return err
	}
	sc.facts = append(sc.facts, event.Fact{
		Type: event.TypeStageFinished, Subject: event.OfRun(sc.run.Number), Project: sc.run.Project, Actor: system().String(),
		Payload: event.StageFinished{V: 1, Run: sc.run.Number, Stage: row.name, Result: word(result), Seconds: between(row.started, row.finished), Attempt: row.attempt},
	})
	return sc.saveStage(row)
}

func (sc *schedule) saveStage(row *stageRow) error {
	_, err := sc.tx.Exec(sc.ctx, `UPDATE pipeline_stage SET status = ?, result = ?, why = ?, variables = ?, started = ?, finished = ? WHERE run = ? AND name = ?`,
		row.status, row.result, row.why, text(row.variables), millis(row.started), millis(row.finished), sc.run.Number, row.name)
	if err != nil {
		return fmt.Errorf("writing stage %s: %w", row.name, err)
	}
	return nil
}

// complete ends a job that no agent has.
func (sc *schedule) complete(j *jobRow, result plan.Result, why string) error {
	if j.tolerant && result == plan.Failed {
		result = plan.SucceededWithIssues
	}
	j.status, j.result, j.why, j.finished = plan.Completed, result, why, sc.now
	if err := saveJob(sc.ctx, sc.tx, j); err != nil || j.started.IsZero() {
		return err
	}
	// A deployment that was between two agents.
	if _, err := sc.s.endSteps(sc.ctx, sc.tx, j); err != nil {
		return err
	}
	sc.facts = append(sc.facts, sc.s.jobFact(event.TypeJobFinished, sc.run, j))
	return sc.s.settleLater(sc.ctx, sc.tx, sc.run, j, result)
}

// stop tells the agents of a job to end it, and ends the legs that none has.
func (sc *schedule) stop(jobs []*jobRow) (changed bool, err error) {
	for _, j := range jobs {
		switch {
		case j.status == queued || j.status == waiting:
			err = sc.complete(j, plan.Canceled, sc.run.canceled)
		case j.status == plan.Running && j.stop == "":
			j.stop = sc.run.canceled
			err = saveJob(sc.ctx, sc.tx, j)
		default:
			continue
		}
		if err != nil {
			return false, err
		}
		changed = true
	}
	return changed, nil
}

// finishRun ends the run once all of its stages have.
func (sc *schedule) finishRun() error {
	r := sc.run
	result := r.plan.Result(sc.state())
	if result == "" || r.Status == plan.Completed {
		return nil
	}
	r.Status, r.Result, r.Finished = plan.Completed, result, sc.now
	switch {
	case result == plan.Canceled && r.canceled != "":
		r.Why = r.canceled
	case result != plan.Succeeded:
		r.Why = sc.firstError()
	}
	_, err := sc.tx.Exec(sc.ctx, `UPDATE pipeline_run SET status = ?, result = ?, why = ?, finished = ? WHERE number = ?`, r.Status, r.Result, r.Why, millis(r.Finished), r.Number)
	if err != nil {
		return fmt.Errorf("finishing run %d: %w", r.Number, err)
	}
	started := r.Started
	if started.IsZero() {
		started = r.Queued
	}
	sc.facts = append(sc.facts, event.Fact{
		Type: event.TypeRunFinished, Subject: event.OfRun(r.Number), Project: r.Project, Actor: system().String(),
		Payload: event.RunFinished{V: 1, Run: r.Number, Result: word(result), Seconds: between(started, r.Finished), Why: r.Why, Repo: r.Repo, Pull: r.Pull, Head: r.Head},
		Links:   []event.Link{{Rel: event.RelBuiltFrom, To: event.Of(event.KindCommit, r.Commit)}},
	})
	n := r.Number
	sc.tx.AfterCommit(func() {
		sc.s.mu.Lock()
		defer sc.s.mu.Unlock()
		delete(sc.s.plans, n)
	})
	return nil
}

// firstError is why the run did not succeed, in one line.
func (sc *schedule) firstError() string {
	var first *jobRow
	for _, j := range sc.jobs {
		if j.why != "" && (j.result == plan.Failed || j.result == plan.SucceededWithIssues || j.result == plan.Canceled) && (first == nil || j.finished.Before(first.finished)) {
			first = j
		}
	}
	if first != nil {
		return first.path() + ": " + first.why
	}
	for _, st := range sc.stages {
		if st.result == plan.Failed && st.why != "" {
			return st.name + ": " + st.why
		}
	}
	return ""
}

// word is a result as events write it: "succeededWithIssues".
func word(r plan.Result) string {
	if r == "" {
		return ""
	}
	return strings.ToLower(string(r[:1])) + string(r[1:])
}

func between(from, to time.Time) float64 {
	if from.IsZero() || to.Before(from) {
		return 0
	}
	return to.Sub(from).Seconds()
}
