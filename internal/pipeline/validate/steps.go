package validate

import (
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// steps checks a list of steps that has the right shape.
func (v *validator) steps(list *parse.Node) {
	if list == nil {
		return
	}
	names := map[string]parse.Pos{}
	for _, step := range list.Items {
		if step.Kind != parse.Mapping {
			continue
		}
		v.stepName(step.Get("name"), names)
		v.condition(step.Get("condition"), placeStep)
		if target := step.Get("target"); !target.IsNull() && !v.options.Features.Containers && containerTarget(target) {
			v.unable(target, "target", "steps run directly on the agent; only 'host' is possible")
		}
		first := step.FirstKey()
		if instead, absent := absentStep(first); absent {
			v.unable(step.Pairs[0].Key, first, instead)
		}
		switch first {
		case "task":
			v.task(step)
		case "powershell", "pwsh":
			if !v.options.Features.PowerShell {
				v.unable(step.Pairs[0].Key, first, "use bash or script")
			}
		case "checkout":
			v.checkout(step)
		}
	}
}

// containerTarget reports whether a target names a container.
func containerTarget(target *parse.Node) bool {
	name := target
	if target.Kind == parse.Mapping {
		name = target.Get("container")
	}
	return name.Text() != "" && name.Text() != "host"
}

// stepName checks that a reference name is well formed and unique in its job.
func (v *validator) stepName(name *parse.Node, names map[string]parse.Pos) {
	if name.Text() == "" {
		return
	}
	v.name(name, "step")
	key := strings.ToLower(name.Text())
	if first, ok := names[key]; ok {
		v.found.Errorf(name.Pos, "T016", "The step name '%s' appears more than once; the first is at %s", name.Text(), first)
	}
	names[key] = name.Pos
}

// checkout checks the values of a checkout step that have a fixed form (X023).
func (v *validator) checkout(step *parse.Node) {
	submodules := step.Get("submodules")
	if text := submodules.Text(); text != "" && !slices.Contains([]string{"true", "false", "recursive"}, strings.ToLower(text)) && !lateValue(text) {
		v.found.Errorf(submodules.Pos, "Y257", "Unexpected value '%s'; submodules is true, false or recursive", text)
	}
}

// task checks that the task of a step exists and gets the inputs it needs.
func (v *validator) task(step *parse.Node) {
	reference := step.Get("task")
	name, major, ok := SplitTask(reference.Text())
	if !ok {
		v.found.Errorf(reference.Pos, "Y283", "Unexpected value '%s'; a task is written Name@Major, such as Bash@3", reference.Text())
		return
	}
	task, ok := v.options.Tasks.Task(name, major)
	if !ok {
		if task, ok = published().Task(name, major); !ok {
			v.unknownTask(reference, name)
			return
		}
		v.lacking(reference, "K005", "The task '%s' is known, but this installation does not have it; add it with 'towpath task add'%s", reference.Text(), deprecated(task))
	}
	if task.Name == "PowerShell" && !v.options.Features.PowerShell {
		v.unable(reference, reference.Text(), "use Bash@3")
	}
	v.inputs(step, reference.Text(), task)
}

// deprecated is the end of a message about a task that should not be used any more.
func deprecated(t Task) string {
	if t.Deprecated == "" {
		return ""
	}
	return "; it is deprecated"
}

// inputs checks the inputs of a task step (X003, Y284).
func (v *validator) inputs(step *parse.Node, reference string, task Task) {
	given := map[string]string{}
	for _, p := range pairs(step.Get("inputs")) {
		input, ok := task.Input(p.Key.Value)
		if !ok {
			v.found.Warnf(p.Key.Pos, "Y284", "The task %s has no input '%s', so it has no effect%s", reference, p.Key.Value, suggest(p.Key.Value, task.inputNames()))
			continue
		}
		if _, twice := given[input.Name]; twice {
			v.found.Errorf(p.Key.Pos, "X003", "The input '%s' of the task %s is given twice", input.Name, reference)
		}
		given[input.Name] = p.Value.Text()
		v.option(p.Value, input)
	}
	known, _ := published().Task(task.Name, task.Major)
	for _, name := range task.Missing(given) {
		report := v.lacking
		if input, ok := known.Input(name); ok && input.Required && v.options.Question != Expandable {
			report = v.wrong // not only the task itself insists on it
		}
		report(step, "Y284", "The task %s needs the input '%s'", reference, name)
	}
}

// wrong reports an error; it has the form of lacking.
func (v *validator) wrong(n *parse.Node, rule, format string, args ...any) {
	v.found.Errorf(n.Pos, rule, format, args...)
}

// option checks an input that has a fixed set of values.
func (v *validator) option(value *parse.Node, input Input) {
	text := value.Text()
	if len(input.Options) == 0 || text == "" || lateValue(text) {
		return
	}
	if slices.ContainsFunc(input.Options, func(o string) bool { return strings.EqualFold(o, text) }) {
		return
	}
	report := v.wrong
	if v.options.Question == Expandable {
		report = v.lacking
	}
	report(value, "Y284", "Unexpected value '%s' of the input '%s'; expected one of %s%s", text, input.Name, strings.Join(input.Options, ", "), suggest(text, input.Options))
}

// maxSuggested is how many tasks a message lists in full.
const maxSuggested = 20

// unknownTask reports a task that nobody knows, with the nearest known ones.
func (v *validator) unknownTask(reference *parse.Node, name string) {
	var versions, names, own []string
	for _, known := range slices.Concat(v.options.Tasks.Tasks(), published().Tasks()) {
		full := known.Name + "@" + strconv.Itoa(known.Major)
		if slices.Contains(names, full) {
			continue
		}
		names = append(names, full)
		if strings.EqualFold(known.Name, name) {
			versions = append(versions, full)
		}
	}
	for _, known := range v.options.Tasks.Tasks() {
		own = append(own, known.Name+"@"+strconv.Itoa(known.Major))
	}
	report := v.wrong
	if v.options.Question == Expandable {
		report = v.lacking
	}
	hint := Nearest(reference.Text(), names)
	if hint == "" && len(own) <= maxSuggested {
		hint = "; the tasks of this installation are " + strings.Join(own, ", ")
	}
	if len(versions) > 0 {
		slices.Sort(versions)
		report(reference, "K005", "The task '%s' is not available in this version; use %s", reference.Text(), strings.Join(versions, " or "))
		return
	}
	report(reference, "K005", "The task '%s' is unknown%s", reference.Text(), hint)
}
