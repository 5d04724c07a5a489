package plan

import (
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// ancestor is one stage or job that another depends on, directly or not.
type ancestor struct {
	name    string
	result  Result
	leftOut bool // somebody left the stage out
}

// statusFunctions are the functions of a stage or job condition (X091, X092,
// X111): without arguments they look at everything that the stage or job
// depends on, directly or not, and with arguments at what those name.
func statusFunctions(all []ancestor, canceled bool) map[string]expr.Function {
	holds := func(fold func(results []Result) bool) expr.Function {
		return expr.Function{Min: 0, Max: 255, Call: func(args []expr.Value) (expr.Value, error) {
			chosen, err := choose(all, args)
			if err != nil {
				return expr.Value{}, err
			}
			return expr.NewBoolean(fold(chosen)), nil
		}}
	}
	return map[string]expr.Function{
		"always":   constant(true),
		"canceled": constant(canceled),
		"succeeded": holds(func(results []Result) bool {
			return !canceled && !slices.ContainsFunc(results, func(r Result) bool { return r != Succeeded && r != SucceededWithIssues })
		}),
		"succeededorfailed": holds(func(results []Result) bool {
			return !canceled && !slices.ContainsFunc(results, func(r Result) bool { return r == Skipped || r == Canceled || r == "" })
		}),
		"failed": holds(func(results []Result) bool { return slices.Contains(results, Failed) }),
	}
}

func constant(value bool) expr.Function {
	return expr.Function{Call: func([]expr.Value) (expr.Value, error) { return expr.NewBoolean(value), nil }}
}

// choose returns the results of the named ancestors, or of all of them.
func choose(all []ancestor, names []expr.Value) ([]Result, error) {
	var results []Result
	if len(names) == 0 {
		for _, a := range all {
			if !a.leftOut {
				results = append(results, a.result)
			}
		}
		return results, nil
	}
	for _, value := range names {
		name, _ := value.Text()
		i := slices.IndexFunc(all, func(a ancestor) bool { return equalFold(a.name, name) })
		if i < 0 {
			return nil, fmt.Errorf("'%s' is not among the dependencies; add it to dependsOn", name)
		}
		if !all[i].leftOut {
			results = append(results, all[i].result)
		}
	}
	return results, nil
}

// StatusFunctions are the functions of a step condition; they look at the
// status of the job so far (X110), which is one of the results, Succeeded when
// nothing went wrong yet.
func StatusFunctions(job Result) map[string]expr.Function {
	return map[string]expr.Function{
		"always":            constant(true),
		"canceled":          constant(job == Canceled),
		"failed":            constant(job == Failed),
		"succeeded":         constant(job == Succeeded || job == SucceededWithIssues),
		"succeededorfailed": constant(job == Succeeded || job == SucceededWithIssues || job == Failed),
	}
}

// StepRuns evaluates the condition of a step in the agent: job is the status of
// the job so far and values are its variables (X044, X110). An error means that
// the step fails (X113).
func StepRuns(condition string, job Result, values Values) (bool, error) {
	if strings.TrimSpace(condition) == "" {
		condition = DefaultCondition
	}
	result, err := expr.Evaluate(condition, expr.Env{
		Values:    map[string]expr.Value{"variables": values.object()},
		Functions: StatusFunctions(job),
	})
	if err != nil {
		return false, fmt.Errorf("evaluating condition %q: %w", condition, err)
	}
	return result.Truthy(), nil
}

// variableMap shows Values to expressions. It is used by pointer, because maps
// do not compare.
type variableMap struct{ values Values }

func (m *variableMap) Get(name string) (expr.Value, bool) {
	value, ok := m.values.Get(name)
	return expr.NewString(value.Text), ok
}

func (m *variableMap) Keys() []string {
	keys := make([]string, 0, len(m.values))
	for _, value := range m.values.Sorted() {
		keys = append(keys, value.Name)
	}
	return keys
}

func (v Values) object() expr.Value { return expr.NewObject(&variableMap{values: v}) }

// stageScope returns the environment of a stage condition: variables and the
// stages it depends on directly, as "dependencies" (V004).
func (p *Plan) stageScope(state State, stage *Stage) expr.Env {
	dependencies := expr.NewDict()
	for _, name := range stage.DependsOn {
		s := p.stageState(state, name)
		outputs := expr.NewDict()
		for _, job := range sortedNames(s.Jobs) {
			for _, key := range sortedNames(s.Jobs[job].Outputs) {
				outputs.Set(job+"."+key, expr.NewString(s.Jobs[job].Outputs[key]))
			}
		}
		dependencies.Set(name, entry(s.Result, outputs))
	}
	var ancestors []ancestor
	for _, name := range closure(stage.DependsOn, p.stageDependencies) {
		s := p.stageState(state, name)
		ancestors = append(ancestors, ancestor{name: name, result: s.Result, leftOut: s.LeftOut})
	}
	return expr.Env{
		Values: map[string]expr.Value{
			"variables":    state.Variables.With(p.stageValues(state, stage)).object(),
			"dependencies": expr.NewObject(dependencies),
		},
		Functions: statusFunctions(ancestors, state.Canceled),
	}
}

// jobScope returns the environment of a job condition and of the runtime
// expressions of its variables: the jobs it depends on directly, as
// "dependencies" (V003), and the stages its stage depends on directly, as
// "stageDependencies" (V005).
func (p *Plan) jobScope(state State, stage *Stage, job *Job) expr.Env {
	jobs := p.stageState(state, stage.Name).Jobs
	dependencies := expr.NewDict()
	for _, name := range job.DependsOn {
		dependencies.Set(name, jobEntry(lookup(jobs, name)))
	}
	stages := expr.NewDict()
	for _, name := range stage.DependsOn {
		byJob := expr.NewDict()
		s := p.stageState(state, name)
		for _, j := range sortedNames(s.Jobs) {
			byJob.Set(j, jobEntry(s.Jobs[j]))
		}
		stages.Set(name, expr.NewObject(byJob))
	}
	var ancestors []ancestor
	for _, name := range closure(job.DependsOn, stage.jobDependencies) {
		ancestors = append(ancestors, ancestor{name: name, result: lookup(jobs, name).Result})
	}
	return expr.Env{
		Values: map[string]expr.Value{
			"variables":         state.Variables.With(p.stageValues(state, stage)).object(),
			"dependencies":      expr.NewObject(dependencies),
			"stagedependencies": expr.NewObject(stages),
		},
		Functions: statusFunctions(ancestors, state.Canceled),
	}
}

func jobEntry(j JobState) expr.Value {
	outputs := expr.NewDict()
	for _, key := range sortedNames(j.Outputs) {
		outputs.Set(key, expr.NewString(j.Outputs[key]))
	}
	return entry(j.Result, outputs)
}

func entry(result Result, outputs *expr.Dict) expr.Value {
	return expr.NewObject(expr.NewDict().
		Set("result", expr.NewString(string(result))).
		Set("outputs", expr.NewObject(outputs)))
}

// stageValues returns the variables of a stage: those it started with, or, as
// long as it has not started, the ones that are plain text.
func (p *Plan) stageValues(state State, stage *Stage) Values {
	if values := p.stageState(state, stage.Name).Variables; values != nil {
		return values
	}
	return plainValues(stage.Variables)
}

// plainValues returns the variables that need no evaluation.
func plainValues(variables []Variable) Values {
	values := Values{}
	for _, v := range variables {
		if _, runtime := expr.RuntimeExpression(v.Value); v.Group == "" && !runtime {
			values.Set(Value{Name: v.Name, Text: v.Value, ReadOnly: v.ReadOnly})
		}
	}
	return values
}
