package compile_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// outline writes a plan as a short text: what differs from the defaults, one
// thing a line. Most cases compare it instead of the whole JSON.
func outline(p *plan.Plan) string {
	if p == nil {
		return ""
	}
	o := &outliner{}
	if p.Name != plan.DefaultRunName {
		o.line(0, "name", p.Name)
	}
	o.trigger(p)
	for _, param := range p.Parameters {
		o.line(0, "parameter", fmt.Sprintf("%s %s = %v", param.Type, param.Name, param.Value))
	}
	o.variables(0, p.Variables)
	for _, s := range p.Stages {
		o.line(0, "stage", s.Name+title(s.Name, s.DisplayName)+after(s.DependsOn)+when(s.Condition)+mark(s.Manual, "manual")+mark(!s.Skippable, "required"))
		o.variables(1, s.Variables)
		for _, j := range s.Jobs {
			o.job(j)
		}
	}
	return o.text.String()
}

type outliner struct{ text strings.Builder }

func (o *outliner) line(depth int, word, rest string) {
	fmt.Fprintf(&o.text, "%s%s %s\n", strings.Repeat("  ", depth), word, rest)
}

func (o *outliner) trigger(p *plan.Plan) {
	if !p.Trigger.Implied {
		o.line(0, "trigger", fmt.Sprintf("%+v", p.Trigger))
	}
	if !p.PR.Implied {
		o.line(0, "pr", fmt.Sprintf("%+v", p.PR))
	}
	for _, s := range p.Schedules {
		o.line(0, "schedule", fmt.Sprintf("%+v", s))
	}
}

func (o *outliner) variables(depth int, variables []plan.Variable) {
	for _, v := range variables {
		if v.Group != "" {
			o.line(depth, "group", v.Group)
			continue
		}
		o.line(depth, "variable", fmt.Sprintf("%s = %q%s", v.Name, v.Value, mark(v.ReadOnly, "readonly")))
	}
}

func (o *outliner) job(j plan.Job) {
	o.line(1, string(j.Kind), j.Name+title(j.Name, j.DisplayName)+after(j.DependsOn)+when(j.Condition)+pool(j.Pool)+settings(j))
	o.variables(2, j.Variables)
	if m := j.Matrix; m != nil {
		o.line(2, "matrix", strings.TrimSpace(m.Expression+" max "+m.MaxParallel))
		for _, leg := range m.Legs {
			o.line(3, "leg", leg.Name)
			o.variables(4, leg.Variables)
		}
	}
	if j.Environment != nil {
		o.line(2, "environment", fmt.Sprintf("%+v", *j.Environment))
	}
	o.steps(2, j.Steps)
	if j.Strategy != nil {
		o.line(2, "strategy", fmt.Sprintf("%s %v %s", j.Strategy.Name, j.Strategy.Increments, j.Strategy.MaxParallel))
		for _, h := range j.Strategy.Hooks {
			o.line(3, "hook", h.Name+pool(h.Pool))
			o.steps(4, h.Steps)
		}
	}
}

func (o *outliner) steps(depth int, steps []plan.Step) {
	for _, s := range steps {
		rest := s.ID + " " + s.Task + mark(s.Implicit, "implicit") + when(s.Condition) + mark(!s.Enabled, "disabled") + mark(s.ContinueOnError, "continueOnError")
		if s.TimeoutMinutes > 0 {
			rest += fmt.Sprintf(" timeout=%d", s.TimeoutMinutes)
		}
		if s.Retries > 0 {
			rest += fmt.Sprintf(" retries=%d", s.Retries)
		}
		if s.Target != nil {
			rest += fmt.Sprintf(" target=%+v", *s.Target)
		}
		o.line(depth, string(s.Kind), rest+title(s.ID, s.DisplayName))
		for _, name := range slices.Sorted(maps.Keys(s.Inputs)) {
			o.line(depth+1, "input", fmt.Sprintf("%s = %q", name, s.Inputs[name]))
		}
		for _, name := range slices.Sorted(maps.Keys(s.Env)) {
			o.line(depth+1, "env", fmt.Sprintf("%s = %q", name, s.Env[name]))
		}
	}
}

func settings(j plan.Job) string {
	text := ""
	if j.TimeoutMinutes != plan.DefaultTimeoutMinutes {
		text += " timeout=" + j.TimeoutMinutes
	}
	if j.CancelTimeoutMinutes != plan.DefaultCancelTimeoutMinutes {
		text += " cancelTimeout=" + j.CancelTimeoutMinutes
	}
	if j.ContinueOnError != "false" {
		text += " continueOnError=" + j.ContinueOnError
	}
	if j.Container != nil {
		text += fmt.Sprintf(" container=%+v", *j.Container)
	}
	for _, s := range j.Services {
		text += fmt.Sprintf(" service=%+v", s)
	}
	if j.WorkspaceClean != "" {
		text += " clean=" + j.WorkspaceClean
	}
	return text
}

func pool(p plan.Pool) string {
	text := ""
	if p.Name+p.VMImage != "" || len(p.Demands) > 0 {
		text = fmt.Sprintf(" pool=%s/%s%v", p.Name, p.VMImage, p.Demands)
	}
	return text + mark(p.Server, "server")
}

func title(name, displayName string) string {
	if displayName == name {
		return ""
	}
	return fmt.Sprintf(" %q", displayName)
}

func after(dependsOn []string) string {
	if len(dependsOn) == 0 {
		return ""
	}
	return " after " + strings.Join(dependsOn, ",")
}

func when(condition string) string {
	if condition == plan.DefaultCondition {
		return ""
	}
	return " if " + condition
}

func mark(set bool, word string) string {
	if !set {
		return ""
	}
	return " [" + word + "]"
}
