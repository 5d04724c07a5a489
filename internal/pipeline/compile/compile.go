package compile

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/cron"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// Options are what a plan depends on beside the files. The zero Options are
// those of a bare installation.
type Options struct {
	// Parameters are the values given when the run was started, by name; values
	// of parameters that are not scalars are YAML text.
	Parameters map[string]string
	// Variables are the predefined variables that template expressions may read.
	Variables map[string]string
	// Payloads are what webhooks brought, by alias, as JSON.
	Payloads map[string][]byte
	// Tasks are the tasks that exist; nil stands for the built-in ones.
	Tasks validate.Catalog
	// Features are the optional abilities of the installation.
	Features validate.Features
	// Question decides how severe it is that something cannot run here.
	Question validate.Question
	// Limits bound the work; the zero Limits are the defaults.
	Limits expand.Limits
}

// Diagnostics is a list of findings; see [parse.Diagnostics].
type Diagnostics = parse.Diagnostics

// Result is a compiled pipeline with what was learnt on the way.
type Result struct {
	// Plan is nil when there are errors.
	Plan *plan.Plan
	// Expanded is the expanded tree; nil when the file could not be read.
	Expanded *parse.Node
	// Files are the files that the pipeline was made of, itself first.
	Files []string
	// Extends is the template that the pipeline extends, or "".
	Extends string
}

// Compile compiles the pipeline file at a path of its repository, which the
// loader delivers like every template. The plan is nil when there are errors;
// warnings may come with a plan.
func Compile(ctx context.Context, file string, loader expand.Loader, options Options) (*plan.Plan, Diagnostics) {
	result, found := Full(ctx, file, loader, options)
	return result.Plan, found
}

// Expand expands the pipeline file and returns the YAML text that is planned.
// The text is nil when there are errors.
func Expand(ctx context.Context, file string, loader expand.Loader, options Options) ([]byte, Diagnostics) {
	result, found := Full(ctx, file, loader, options)
	if result.Expanded == nil || found.Failed() {
		return nil, found
	}
	text, err := parse.Print(result.Expanded)
	if err != nil {
		found.Errorf(parse.Pos{File: file}, "", "The expanded pipeline cannot be printed: %v", err)
	}
	return text, found
}

// Full is Compile with everything that was learnt on the way. The result is
// never nil.
func Full(ctx context.Context, file string, loader expand.Loader, options Options) (*Result, Diagnostics) {
	result := &Result{}
	if options.Tasks == nil {
		options.Tasks = validate.Builtin()
	}
	root, found := read(ctx, file, loader, options.Limits.File)
	if root == nil {
		return result, found
	}
	expanded, more := expand.Expand(ctx, file, root, expand.Options{
		Loader: loader, Parameters: options.Parameters, Variables: options.Variables, Payloads: options.Payloads, Limits: options.Limits,
	})
	found = append(found, more...)
	if expanded == nil {
		return result, found
	}
	result.Expanded, result.Files, result.Extends = expanded.Root, expanded.Files, expanded.Extends
	if found.Failed() {
		found.Sort()
		return result, found
	}
	found = append(found, validate.Validate(expanded.Root, validate.Options{Tasks: options.Tasks, Features: options.Features, Question: options.Question})...)
	found = append(found, schedules(expanded.Root)...)
	found.Sort()
	if found.Failed() {
		return result, found
	}
	result.Plan = plan.Build(expanded.Root, plan.BuildOptions{
		File: file, Parameters: parameters(expanded.Parameters), Tasks: taskNames{options.Tasks},
	})
	return result, found
}

// schedules finds the timed triggers that no clock understands (X020).
func schedules(root *parse.Node) Diagnostics {
	var found Diagnostics
	list := root.Get("schedules")
	if list == nil {
		return nil
	}
	for _, item := range list.Items {
		at := item.Get("cron")
		if at == nil {
			continue // the schema has said so
		}
		if _, err := cron.Parse(at.Text()); err != nil {
			found.Errorf(at.Pos, "X020", "%v", err)
		}
	}
	return found
}

// read loads and parses the pipeline file.
func read(ctx context.Context, file string, loader expand.Loader, limits parse.Limits) (*parse.Node, Diagnostics) {
	var found Diagnostics
	data, err := loader.Load(ctx, expand.Ref{Path: file})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		found.Errorf(parse.Pos{File: file}, "", "The file does not exist at this commit; add it, or name another one in the settings of the pipeline")
		return nil, found
	case err != nil:
		found.Errorf(parse.Pos{File: file}, "", "The file cannot be read: %v", err)
		return nil, found
	}
	return parse.Parse(file, data, limits)
}

// parameters converts the parameters to the data of a plan.
func parameters(from []expand.Parameter) []plan.Parameter {
	var result []plan.Parameter
	for _, p := range from {
		result = append(result, plan.Parameter{
			Name: p.Name, DisplayName: p.DisplayName, Type: p.Type, Values: p.Values, Value: data(p.Type, p.Value),
		})
	}
	return result
}

// data converts a value to JSON-like data by the type of its parameter.
func data(kind string, n *parse.Node) any {
	switch {
	case n.IsNull():
		return nil
	case n.Kind == parse.Sequence:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = data("", item)
		}
		return list
	case n.Kind == parse.Mapping:
		object := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			object[p.Key.Value] = data("", p.Value)
		}
		return object
	case kind == "boolean":
		value, _ := plan.ParseBoolean(n.Value)
		return value
	case kind == "number":
		if number, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return number
		}
	}
	return n.Value
}

// taskNames answers the questions of plan from the catalog of validate.
type taskNames struct{ catalog validate.Catalog }

func (t taskNames) task(reference string) (validate.Task, bool) {
	name, major, ok := validate.SplitTask(reference)
	if !ok {
		return validate.Task{}, false
	}
	return t.catalog.Task(name, major)
}

// TaskName returns the canonical form of a task reference.
func (t taskNames) TaskName(reference string) string {
	if task, ok := t.task(reference); ok {
		return task.Name + "@" + strconv.Itoa(task.Major)
	}
	return strings.TrimSpace(reference)
}

// InputName returns the canonical name of an input.
func (t taskNames) InputName(reference, name string) string {
	if task, ok := t.task(reference); ok {
		if input, ok := task.Input(name); ok {
			return input.Name
		}
	}
	return name
}

// Title returns the title of a task.
func (t taskNames) Title(reference string) string {
	task, _ := t.task(reference)
	return task.Title
}
