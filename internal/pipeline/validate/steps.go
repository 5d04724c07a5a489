package validate

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// stepShape is Y225 to Y284.
func stepShape() *shape {
	step := func(what, first string, more map[string]*shape) *shape {
		keys := map[string]*shape{
			first: text(), "condition": text(), "continueOnError": boolean(), "displayName": text(), "target": targetShape(),
			"enabled": boolean(), "env": freeMapping(text()), "name": text(), "timeoutInMinutes": number(), "retryCountOnTaskFailure": number(),
		}
		maps.Copy(keys, more)
		return keyed(what, keys)
	}
	script := map[string]*shape{"failOnStderr": text(), "workingDirectory": text()}
	powershell := map[string]*shape{
		"failOnStderr": text(), "workingDirectory": text(), "errorActionPreference": text(), "ignoreLASTEXITCODE": text(),
		"warningPreference": text(), "informationPreference": text(), "verbosePreference": text(), "debugPreference": text(),
		"progressPreference": text(),
	}
	checkout := map[string]*shape{}
	for _, name := range []string{
		"clean", "fetchDepth", "fetchFilter", "fetchTags", "lfs", "persistCredentials", "submodules", "path",
		"sparseCheckoutDirectories", "sparseCheckoutPatterns", "workspaceRepo",
	} {
		checkout[name] = text()
	}
	absent := func(what, instead string) *shape {
		s := step("a "+what+" step", what, map[string]*shape{"artifact": anything(), "path": anything(), "patterns": anything(), "inputs": anything()})
		return s.refuse(instead, what)
	}
	return &shape{what: "a step", variants: map[string]*shape{
		"script":        step("a script step", "script", script),
		"bash":          step("a bash step", "bash", script),
		"powershell":    step("a powershell step", "powershell", powershell),
		"pwsh":          step("a pwsh step", "pwsh", powershell),
		"checkout":      step("a checkout step", "checkout", checkout),
		"publish":       step("a publish step", "publish", map[string]*shape{"artifact": text()}),
		"download":      step("a download step", "download", map[string]*shape{"artifact": text(), "patterns": text(), "path": text()}),
		"task":          step("a task step", "task", map[string]*shape{"inputs": freeMapping(text())}),
		"downloadBuild": absent("downloadBuild", "use 'download' with a pipeline resource"),
		"getPackage":    absent("getPackage", "fetch the package in a script step"),
		"upload":        absent("upload", "use 'publish'"),
		"reviewApp":     absent("reviewApp", "deploy to an environment of its own"),
	}}
}

// targetShape is Y279 to Y282.
func targetShape() *shape {
	settable := valueOrList(nonEmpty())
	return keyed("a step target", map[string]*shape{
		"container": nonEmpty(), "commands": oneOf("any", "restricted"), "settableVariables": settable,
	}).or(nonEmpty())
}

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
		switch first := step.FirstKey(); first {
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
	depth := step.Get("fetchDepth")
	if text := depth.Text(); text != "" && !wholeNumber(text) && !lateValue(text) {
		v.found.Errorf(depth.Pos, "Y252", "Unexpected value '%s'; fetchDepth is a whole number, 0 for the whole history", text)
	}
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
		v.unknownTask(reference, name)
		return
	}
	if task.Name == "PowerShell" && !v.options.Features.PowerShell {
		v.unable(reference, reference.Text(), "use Bash@3")
	}
	inputs := step.Get("inputs")
	given := map[string]string{}
	for _, p := range pairs(inputs) {
		input, ok := task.Input(p.Key.Value)
		if !ok {
			v.found.Warnf(p.Key.Pos, "Y284", "The task %s has no input '%s', so it has no effect%s", reference.Text(), p.Key.Value, suggest(p.Key.Value, task.inputNames()))
			continue
		}
		if _, twice := given[input.Name]; twice {
			v.found.Errorf(p.Key.Pos, "X003", "The input '%s' of the task %s is given twice", input.Name, reference.Text())
		}
		given[input.Name] = p.Value.Text()
		v.option(p.Value, input)
	}
	for _, input := range task.Missing(given) {
		v.found.Errorf(step.Pos, "Y284", "The task %s needs the input '%s'", reference.Text(), input)
	}
}

// option checks an input that has a fixed set of values.
func (v *validator) option(value *parse.Node, input Input) {
	text := value.Text()
	if len(input.Options) == 0 || text == "" || lateValue(text) {
		return
	}
	if !slices.ContainsFunc(input.Options, func(o string) bool { return strings.EqualFold(o, text) }) {
		v.found.Errorf(value.Pos, "Y284", "Unexpected value '%s' of the input '%s'; expected one of %s%s", text, input.Name, strings.Join(input.Options, ", "), suggest(text, input.Options))
	}
}

func (v *validator) unknownTask(reference *parse.Node, name string) {
	var versions, names []string
	for _, known := range v.options.Tasks.Tasks() {
		names = append(names, known.Name+"@"+strconv.Itoa(known.Major))
		if strings.EqualFold(known.Name, name) {
			versions = append(versions, known.Name+"@"+strconv.Itoa(known.Major))
		}
	}
	if len(versions) > 0 {
		v.found.Errorf(reference.Pos, "K005", "The task '%s' is not available in this version; use %s", reference.Text(), strings.Join(versions, " or "))
		return
	}
	hint := suggest(reference.Text(), names)
	if hint == "" {
		hint = "; the tasks of this installation are " + strings.Join(names, ", ")
	}
	v.found.Errorf(reference.Pos, "K005", "The task '%s' is unknown%s", reference.Text(), hint)
}
