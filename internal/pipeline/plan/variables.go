package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// Runtime is what the evaluation of variables needs from the server. Without a
// Group function, groups add nothing; without a Counter, counter yields null.
type Runtime struct {
	// Group returns the variables of a variable group that the pipeline may use.
	// It returns an error whose text is for the user when there is no such group
	// or the pipeline may not use it; [ErrHeld] when it may not use it yet.
	Group func(name string) ([]Value, error)
	// Counter returns the next number for a prefix: seed when the prefix is new,
	// else one more than the last time (X090). It must persist what it returns.
	Counter func(prefix string, seed int64) (int64, error)
	// StartTime is the start of the run, "pipeline.startTime" (X093).
	StartTime time.Time
}

// ErrHeld says that a check of the stages that use a variable group is still to let the
// pipeline use it. The variables of the run do without; they come with the stage.
var ErrHeld = errors.New("the pipeline is not permitted to use it")

// RootVariables returns the variables of the run: predefined are those that the
// server and the queue-time settings supply, over which the variables of the
// file go, except that a read-only one stays as it is. Call it once, when the
// run is created, because runtime expressions may count.
func (p *Plan) RootVariables(predefined Values, rt Runtime) (Values, error) {
	p.HeldGroups = nil
	group := rt.Group
	if group != nil {
		rt.Group = func(name string) ([]Value, error) {
			members, err := group(name)
			if errors.Is(err, ErrHeld) {
				p.HeldGroups = append(p.HeldGroups, name)
				return nil, nil
			}
			return members, err
		}
	}
	values, err := evaluateVariables(p.Variables, predefined, expr.Env{Values: map[string]expr.Value{}}, rt)
	if err != nil {
		return nil, fmt.Errorf("evaluating the variables of the pipeline: %w", err)
	}
	return values, nil
}

// StageVariables returns the variables that a stage adds to those of the run.
// Call it once, when the stage starts, and keep the result in the StageState.
func (p *Plan) StageVariables(state State, stage *Stage, rt Runtime) (Values, error) {
	if len(stage.Variables) == 0 && len(p.HeldGroups) == 0 {
		return Values{}, nil
	}
	late, err := p.late(state.Variables, rt)
	if err != nil {
		return nil, fmt.Errorf("evaluating the variables of the pipeline: %w", err)
	}
	env := p.jobScope(state, stage, &Job{})
	all, err := evaluateVariables(stage.Variables, state.Variables.With(late), env, rt)
	if err != nil {
		return nil, fmt.Errorf("evaluating the variables of stage %s: %w", stage.Name, err)
	}
	own := Values{}
	for key, value := range all {
		if outer, ok := state.Variables[key]; !ok || outer != value {
			own[key] = value
		}
	}
	return own, nil
}

// late returns the variables of the groups that were held when the run was created, as far
// as no later variable of the pipeline goes over them.
func (p *Plan) late(known Values, rt Runtime) (Values, error) {
	values := Values{}
	for _, v := range p.Variables {
		switch {
		case v.Group == "":
			delete(values, strings.ToLower(v.Name))
		case slices.ContainsFunc(p.HeldGroups, func(held string) bool { return strings.EqualFold(held, v.Group) }):
			if err := addGroup(values, v, rt); err != nil {
				return nil, err
			}
		case rt.Group != nil:
			members, err := rt.Group(v.Group)
			if err != nil && !errors.Is(err, ErrHeld) {
				return nil, err
			}
			for _, member := range members {
				delete(values, strings.ToLower(member.Name))
			}
		}
	}
	for key := range values {
		if old, ok := known[key]; ok && old.ReadOnly && isSystem(old.Name) {
			delete(values, key)
		}
	}
	return values, nil
}

// JobVariables returns all variables of a job, or of one leg of a matrix job:
// those of the run, the stage, the job and the leg, each over the one before
// (X047). Call it once, when the job starts.
func (p *Plan) JobVariables(state State, stage *Stage, job *Job, leg *Leg, rt Runtime) (Values, error) {
	outer := state.Variables.With(p.stageValues(state, stage))
	variables := job.Variables
	if leg != nil {
		variables = append(append([]Variable{}, job.Variables...), leg.Variables...)
	}
	values, err := evaluateVariables(variables, outer, p.jobScope(state, stage, job), rt)
	if err != nil {
		return nil, fmt.Errorf("evaluating the variables of job %s: %w", job.Name, err)
	}
	return values, nil
}

// evaluateVariables lays variables over outer in their order; each expression
// sees the ones before it.
func evaluateVariables(variables []Variable, outer Values, env expr.Env, rt Runtime) (Values, error) {
	values := outer.With(nil)
	for _, v := range variables {
		if v.Group != "" {
			if err := addGroup(values, v, rt); err != nil {
				return nil, err
			}
			continue
		}
		text, err := evaluateText(v.Value, values, env, rt)
		if err != nil {
			return nil, fmt.Errorf("%s: variable %s: %w", v.Pos, v.Name, err)
		}
		if old, ok := values.Get(v.Name); ok && old.ReadOnly && isSystem(v.Name) {
			continue
		}
		values.Set(Value{Name: v.Name, Text: text, ReadOnly: v.ReadOnly})
	}
	return values, nil
}

// isSystem reports whether a variable belongs to the server.
func isSystem(name string) bool {
	prefix, _, found := strings.Cut(strings.ToLower(name), ".")
	switch prefix {
	case "agent", "build", "system", "pipeline", "environment", "strategy", "common", "resources":
		return found
	}
	return false
}

func addGroup(values Values, v Variable, rt Runtime) error {
	if rt.Group == nil {
		return nil
	}
	members, err := rt.Group(v.Group)
	if err != nil {
		return parse.Diagnostic{Severity: parse.SeverityError, Pos: v.Pos, Message: fmt.Sprintf("variable group %q: %v", v.Group, err)}
	}
	for _, member := range members {
		if old, ok := values.Get(member.Name); ok && old.ReadOnly && isSystem(member.Name) {
			continue // A group says nothing of the server's own variables.
		}
		values.Set(member)
	}
	return nil
}

// evaluateText evaluates a text that may be a runtime expression (X041).
func evaluateText(text string, values Values, env expr.Env, rt Runtime) (string, error) {
	source, ok := expr.RuntimeExpression(text)
	if !ok {
		return text, nil
	}
	scope := map[string]expr.Value{
		"dependencies":      expr.NewObject(expr.NewDict()),
		"stagedependencies": expr.NewObject(expr.NewDict()),
		"resources":         expr.NewObject(expr.NewDict()),
		"pipeline":          expr.NewObject(expr.NewDict().Set("startTime", expr.NewDateTime(rt.StartTime.UTC()))),
	}
	for name, value := range env.Values {
		scope[name] = value
	}
	scope["variables"] = values.object()
	value, err := expr.Evaluate(source, expr.Env{Values: scope, Functions: map[string]expr.Function{"counter": counterFunction(rt)}})
	if err != nil {
		return "", err
	}
	result, ok := value.Text()
	if !ok {
		return "", fmt.Errorf("the expression yields %s, which has no text; use convertToJson", value.Kind())
	}
	return result, nil
}

// counterFunction is counter(prefix, seed) (X090).
func counterFunction(rt Runtime) expr.Function {
	return expr.Function{Min: 0, Max: 2, Call: func(args []expr.Value) (expr.Value, error) {
		prefix, seed := "", int64(0)
		if len(args) > 0 {
			prefix, _ = args[0].Text()
		}
		if len(args) > 1 {
			n, ok := args[1].Int()
			if !ok {
				return expr.Value{}, fmt.Errorf("the seed of counter must be a whole number")
			}
			seed = n
		}
		if rt.Counter == nil {
			return expr.Value{}, nil
		}
		n, err := rt.Counter(prefix, seed)
		return expr.NewInt(n), err
	}}
}
