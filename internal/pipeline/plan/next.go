package plan

import (
	"fmt"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// Action is what the scheduler should do with a stage or job.
type Action string

// The actions. The caller carries them out and records the outcome in the
// State: Start makes the stage or job Running, Skip, Cancel and Fail complete it
// with the result of that name, Stop asks a running job to cancel, and Finish
// completes a stage with Decision.Result.
const (
	Start  Action = "start"
	Skip   Action = "skip"
	Cancel Action = "cancel"
	Fail   Action = "fail"
	Stop   Action = "stop"
	Finish Action = "finish"
)

// Decision is one thing to do next. Job is empty when it concerns the stage.
type Decision struct {
	Action Action `json:"action"`
	Stage  string `json:"stage"`
	Job    string `json:"job,omitempty"`
	// Result is the result that the stage or job gets now; empty for Start and Stop.
	Result Result `json:"result,omitempty"`
	// Reason says why, for the log of the run; empty for Start and Finish.
	Reason string `json:"reason,omitempty"`
}

// Next decides what can happen now, given what has happened so far. It is a pure
// function: it changes nothing, and the same plan and state give the same
// decisions in the order of the file. Call it again after every change of the
// state; when it returns nothing and nothing is running, the run is over and
// [Plan.Result] is its result.
//
// A stage whose dependencies are complete starts, or is skipped when its
// condition is false; a manual one waits for StageState.Requested (X028), and
// one that a check holds for StageState.Held to go. Jobs of a running stage do likewise, and a stage whose
// jobs are all complete finishes. After State.Canceled what has not started is
// cancelled unless its condition still holds (always()), and running jobs whose
// condition no longer holds are told to stop. A condition that cannot be
// evaluated fails the stage or job (X113).
func (p *Plan) Next(state State) []Decision {
	var decisions []Decision
	for i := range p.Stages {
		stage := &p.Stages[i]
		switch p.stageState(state, stage.Name).Status {
		case Completed:
		case Running:
			decisions = append(decisions, p.nextInStage(state, stage)...)
		default:
			if d, ok := p.nextStage(state, stage); ok {
				decisions = append(decisions, d)
			}
		}
	}
	return decisions
}

// Result returns the result of the run: empty until every stage is complete.
func (p *Plan) Result(state State) Result {
	results := make([]Result, 0, len(p.Stages))
	for i := range p.Stages {
		s := p.stageState(state, p.Stages[i].Name)
		if s.Status != Completed {
			return ""
		}
		results = append(results, s.Result)
	}
	combined := Combine(results...)
	if state.Canceled && combined != Failed {
		return Canceled
	}
	return combined
}

func (p *Plan) nextStage(state State, stage *Stage) (Decision, bool) {
	for _, name := range stage.DependsOn {
		if p.stageState(state, name).Status != Completed {
			return Decision{}, false
		}
	}
	d := decide(stage.Condition, p.stageScope(state, stage), state.Canceled)
	d.Stage = stage.Name
	own := p.stageState(state, stage.Name)
	waits := stage.Manual && !own.Requested || own.Held
	return d, d.Action != Start || !waits
}

func (p *Plan) nextInStage(state State, stage *Stage) []Decision {
	var decisions []Decision
	jobs := p.stageState(state, stage.Name).Jobs
	results := make([]Result, 0, len(stage.Jobs))
	for i := range stage.Jobs {
		job := &stage.Jobs[i]
		s := lookup(jobs, job.Name)
		if s.Status == Completed {
			results = append(results, s.Result)
			continue
		}
		if d, ok := p.nextJob(state, stage, job, s.Status); ok {
			d.Stage, d.Job = stage.Name, job.Name
			decisions = append(decisions, d)
		}
	}
	if len(results) == len(stage.Jobs) {
		decisions = append(decisions, Decision{Action: Finish, Stage: stage.Name, Result: Combine(results...)})
	}
	return decisions
}

func (p *Plan) nextJob(state State, stage *Stage, job *Job, status Status) (Decision, bool) {
	if status == Running && !state.Canceled {
		return Decision{}, false
	}
	jobs := p.stageState(state, stage.Name).Jobs
	for _, name := range job.DependsOn {
		if lookup(jobs, name).Status != Completed {
			return Decision{}, false
		}
	}
	env := p.jobScope(state, stage, job)
	if values, err := evaluateVariables(job.Variables, state.Variables.With(p.stageValues(state, stage)), env, Runtime{}); err == nil {
		env.Values["variables"] = values.object()
	}
	d := decide(job.Condition, env, state.Canceled)
	if status != Running {
		return d, true
	}
	return Decision{Action: Stop, Reason: "The run was cancelled"}, d.Action != Start
}

// decide evaluates a condition and turns it into a decision.
func decide(condition string, env expr.Env, canceled bool) Decision {
	value, err := expr.Evaluate(condition, env)
	switch {
	case err != nil:
		return Decision{Action: Fail, Result: Failed, Reason: fmt.Sprintf("The condition %q cannot be evaluated: %v", condition, err)}
	case value.Truthy():
		return Decision{Action: Start}
	case canceled:
		return Decision{Action: Cancel, Result: Canceled, Reason: "The run was cancelled"}
	}
	return Decision{Action: Skip, Result: Skipped, Reason: fmt.Sprintf("The condition %q is false", condition)}
}
