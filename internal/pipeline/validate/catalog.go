package validate

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Catalog says which tasks exist. Implementations are safe for concurrent use
// and answer from memory.
type Catalog interface {
	// Task returns the task with the given name, compared without regard to
	// case, and major version.
	Task(name string, major int) (Task, bool)
	// Tasks returns all tasks, ordered by name and version, for suggestions.
	Tasks() []Task
}

// Task is what the compiler knows of a task.
type Task struct {
	Name  string `json:"name"`
	Major int    `json:"major"`
	// ID is the GUID of an added task, in lower case, by which it may be named as well.
	ID string `json:"id,omitempty"`
	// Title is a short name for people, the default of a step's displayName.
	Title string `json:"title"`
	// About says in a sentence what the task does.
	About string `json:"about,omitempty"`
	// Deprecated is empty, or says that the task should not be used any more.
	Deprecated string  `json:"deprecated,omitempty"`
	Inputs     []Input `json:"inputs"`
}

// Input is one input of a task.
type Input struct {
	Name string `json:"name"`
	// Title is the label of the input for people.
	Title string `json:"title,omitempty"`
	// Type is "" for text, or "boolean" or "integer"; of added tasks what their task.json
	// writes, such as "filePath" and "connectedService:Generic".
	Type    string   `json:"type,omitempty"`
	Aliases []string `json:"aliases,omitempty"`
	// Required inputs need a value, unless When is set and does not hold.
	Required bool   `json:"required,omitempty"`
	Default  string `json:"default,omitempty"`
	// Options are the values that the input may have; nil means any.
	Options []string `json:"options,omitempty"`
	// When limits where the input has a meaning: "input=value|value", several
	// joined by " & ". Empty means always.
	When string `json:"when,omitempty"`
}

// Input finds an input by its name or an alias, without regard to case (X003).
func (t Task) Input(name string) (Input, bool) {
	for _, input := range t.Inputs {
		if strings.EqualFold(input.Name, name) || slices.ContainsFunc(input.Aliases, func(a string) bool { return strings.EqualFold(a, name) }) {
			return input, true
		}
	}
	return Input{}, false
}

// WithDefaults returns the inputs by their canonical names with the defaults of
// those that are missing. Inputs that the task does not know are kept.
func (t Task) WithDefaults(inputs map[string]string) map[string]string {
	filled := make(map[string]string, len(t.Inputs)+len(inputs))
	for _, input := range t.Inputs {
		if input.Default != "" {
			filled[input.Name] = input.Default
		}
	}
	for name, value := range inputs {
		if input, ok := t.Input(name); ok {
			name = input.Name
		}
		filled[name] = value
	}
	return filled
}

// Missing returns the names of the required inputs that have no value, given the
// inputs by canonical name. An input whose rule depends on a value that is known
// only at run time counts as not required.
func (t Task) Missing(given map[string]string) []string {
	values := t.WithDefaults(given)
	var missing []string
	for _, input := range t.Inputs {
		if input.Required && strings.TrimSpace(values[input.Name]) == "" && holds(input.When, values) {
			missing = append(missing, input.Name)
		}
	}
	return missing
}

func (t Task) inputNames() []string {
	var names []string
	for _, input := range t.Inputs {
		names = append(names, input.Name)
		names = append(names, input.Aliases...)
	}
	return names
}

// holds evaluates the rule of an input.
func holds(rule string, values map[string]string) bool {
	if rule == "" {
		return true
	}
	for clause := range strings.SplitSeq(rule, " & ") {
		name, allowed, _ := strings.Cut(clause, "=")
		value := values[name]
		if lateValue(value) || !slices.ContainsFunc(strings.Split(allowed, "|"), func(a string) bool { return strings.EqualFold(a, value) }) {
			return false
		}
	}
	return true
}

// SplitTask splits a task reference "Name@Major". A name may carry the prefix of
// its extension ("publisher.extension.id.Name").
func SplitTask(reference string) (name string, major int, ok bool) {
	name, version, found := strings.Cut(strings.TrimSpace(reference), "@")
	major, err := strconv.Atoi(version)
	return name, major, found && err == nil && name != "" && major >= 0
}

// NewCatalog returns a Catalog of the given tasks.
func NewCatalog(tasks []Task) Catalog {
	sorted := slices.SortedFunc(slices.Values(tasks), func(a, b Task) int {
		if c := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); c != 0 {
			return c
		}
		return a.Major - b.Major
	})
	return newTaskCatalog(sorted)
}

// ParseCatalog reads tasks from the JSON form of tasks.json.
func ParseCatalog(data []byte) (Catalog, error) {
	var tasks []Task
	if err := json.Unmarshal(data, &tasks); err != nil {
		return nil, fmt.Errorf("reading the task catalog: %w", err)
	}
	return NewCatalog(tasks), nil
}

//go:embed tasks.json
var builtinTasks []byte

// Builtin returns the tasks that the product implements itself. A test makes
// sure that the data can be read.
func Builtin() Catalog {
	c, err := ParseCatalog(builtinTasks)
	if err != nil {
		return newTaskCatalog(nil)
	}
	return c
}

//go:embed published.json
var publishedTasks []byte

// published are the tasks that the service has built in, by the published schema; they
// are read once and never change. A test makes sure that the data can be read.
var published = sync.OnceValue(func() Catalog {
	c, err := ParseCatalog(publishedTasks)
	if err != nil {
		return newTaskCatalog(nil)
	}
	return c
})

// PublishedTasks returns the tasks that the service has built in. What they say of their
// inputs is what the published schema knows: names, aliases, allowed values, and which
// are required under all circumstances; nothing of defaults.
func PublishedTasks() Catalog { return published() }

// catalog keeps tasks in order, with their places by name in lower case and version.
type catalog struct {
	tasks []Task
	index map[taskKey]int
}

type taskKey struct {
	name  string
	major int
}

func newTaskCatalog(tasks []Task) *catalog {
	c := &catalog{tasks: tasks, index: make(map[taskKey]int, len(tasks))}
	for i, t := range tasks {
		c.index[taskKey{strings.ToLower(t.Name), t.Major}] = i
		if t.ID != "" {
			c.index[taskKey{t.ID, t.Major}] = i
		}
	}
	return c
}

func (c *catalog) Task(name string, major int) (Task, bool) {
	name = strings.ToLower(name)
	for {
		if i, ok := c.index[taskKey{name, major}]; ok {
			return c.tasks[i], true
		}
		// Parts of "publisher.extension.id.Name" go until only the name is left.
		_, rest, prefixed := strings.Cut(name, ".")
		if !prefixed {
			return Task{}, false
		}
		name = rest
	}
}

func (c *catalog) Tasks() []Task { return c.tasks }
