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
		if v.agentless && first != "task" && v.options.Features.Agentless {
			v.lacking(step.Pairs[0].Key, "K030", "'%s' needs an agent, and the job has none (pool: server); move it to a job with a pool", first)
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
		case "getPackage":
			v.fed(step.Pairs[0].Value, "package", "resources.packages")
		case "downloadBuild":
			v.fed(step.Pairs[0].Value, "build", "resources.builds")
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
		v.found.Errorf(name.Pos, "T016", "The step name '%s' appears more than once; the first is at %s. Give one of them another name", name.Text(), first)
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
		example := "Bash@3"
		if versions := v.versions(reference.Text()); len(versions) > 0 {
			example = strings.Join(versions, " or ")
		}
		v.found.Errorf(reference.Pos, "Y283", "Unexpected value '%s'; a task is written Name@Major, such as %s", reference.Text(), example)
		return
	}
	task, ok := v.options.Tasks.Task(name, major)
	v.place(reference, name)
	if next, none := elsewhere(name); !ok && none {
		v.lacking(reference, "K005", "There is no '%s' in Towpath, because it is a part of Azure; %s", reference.Text(), next)
		if task, ok = published().Task(name, major); !ok {
			return
		}
	}
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

// place checks that a task stands where something can run it: in a job with an agent, or in
// one without (K030, C015).
func (v *validator) place(reference *parse.Node, name string) {
	if !v.options.Features.Agentless {
		return
	}
	_, none := elsewhere(name)
	switch server := slices.Contains(serverTasks, strings.ToLower(name)); {
	case v.agentless && !server && !none:
		v.lacking(reference, "K030", "The task '%s' needs an agent, and the job has none (pool: server); move it to a job with a pool", reference.Text())
	case !v.agentless && server:
		v.lacking(reference, "K030", "The task '%s' runs without an agent; put it into a job of its own with 'pool: server'", reference.Text())
	}
}

// serverTasks are the tasks that the server runs itself, in jobs without an agent.
var serverTasks = []string{"delay", "manualvalidation", "invokerestapi"}

// elsewhere says of tasks that only Azure can have, what to do here instead.
func elsewhere(name string) (next string, none bool) {
	name = strings.ToLower(name)
	switch {
	case name == "azurefunction":
		return "call the address of the function with InvokeRESTAPI@1 and a generic connection", true
	case name == "publishtoazureservicebus":
		return "send the message with InvokeRESTAPI@1 to a service that forwards it, or from a script", true
	case name == "azurekeyvault":
		return "keep the secrets in a variable group (towpath variable-group set GROUP --secret NAME) and name the group in variables", true
	case strings.HasPrefix(name, "advancedsecurity-"):
		return "images and dependencies are scanned by Towpath itself when they are pushed; leave the step out", true
	case name == "azurecli" || name == "azurepowershell" || strings.HasPrefix(name, "azureresourcemanagertemplate") || strings.HasPrefix(name, "azureresourcegroup"):
		return "deploy to an environment with HelmDeploy@1 or KubernetesManifest@1, or call another cloud from a script", true
	}
	return "", false
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

// versions are the references of all known tasks of a name.
func (v *validator) versions(name string) []string {
	var out []string
	for _, known := range slices.Concat(v.options.Tasks.Tasks(), published().Tasks()) {
		if full := known.Name + "@" + strconv.Itoa(known.Major); strings.EqualFold(known.Name, name) && !slices.Contains(out, full) {
			out = append(out, full)
		}
	}
	slices.Sort(out)
	return out
}

// unknownTask reports a task that nobody knows, with the nearest known ones.
func (v *validator) unknownTask(reference *parse.Node, name string) {
	var names, own []string
	for _, known := range slices.Concat(v.options.Tasks.Tasks(), published().Tasks()) {
		full := known.Name + "@" + strconv.Itoa(known.Major)
		if !slices.Contains(names, full) {
			names = append(names, full)
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
	if versions := v.versions(name); len(versions) > 0 {
		report(reference, "K005", "The task '%s' is not available in this version; use %s", reference.Text(), strings.Join(versions, " or "))
		return
	}
	report(reference, "K005", "The task '%s' is unknown%s", reference.Text(), hint)
}
