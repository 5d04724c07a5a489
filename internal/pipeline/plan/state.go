package plan

import (
	"maps"
	"slices"
	"strings"
)

// Result is how a stage, job, hook or step ended (V001). The empty result means
// that it has not ended.
type Result string

// The results.
const (
	Succeeded           Result = "Succeeded"
	SucceededWithIssues Result = "SucceededWithIssues"
	Skipped             Result = "Skipped"
	Failed              Result = "Failed"
	Canceled            Result = "Canceled"
)

// Status is how far a stage or job is. The empty status means Pending.
type Status string

// The states of a stage or job.
const (
	Pending   Status = "Pending"
	Running   Status = "Running"
	Completed Status = "Completed"
)

// State is everything that has happened in a run so far, as far as it decides
// what happens next. It is data: the caller keeps it, [Plan.Next] reads it.
// The names that key the maps are those of the plan.
type State struct {
	// Canceled says that somebody asked for the run to stop.
	Canceled bool `json:"canceled,omitempty"`
	// Variables are the variables of the root, as [Plan.RootVariables] made
	// them when the run was created.
	Variables Values                `json:"variables,omitempty"`
	Stages    map[string]StageState `json:"stages,omitempty"`
}

// StageState is what has happened to a stage.
type StageState struct {
	Status Status `json:"status,omitempty"`
	Result Result `json:"result,omitempty"`
	// Requested says that somebody asked to start a manual stage (X028).
	Requested bool `json:"requested,omitempty"`
	// Held says that a check holds the stage: it does not start until the
	// caller takes the mark away (C001 to C012).
	Held bool `json:"held,omitempty"`
	// LeftOut says that somebody left the stage out of the run. It is complete
	// and skipped, and for what depends on it as if it were not there: whoever
	// leaves out the build of an earlier run wants the deployment all the same.
	LeftOut bool `json:"leftOut,omitempty"`
	// Variables are the variables of the stage, as [Plan.StageVariables] made
	// them when it started.
	Variables Values              `json:"variables,omitempty"`
	Jobs      map[string]JobState `json:"jobs,omitempty"`
}

// JobState is what has happened to a job; for a matrix it sums up the legs, see
// [Combine].
type JobState struct {
	Status Status `json:"status,omitempty"`
	Result Result `json:"result,omitempty"`
	// Outputs are the output variables of the job under the names that
	// [Job.OutputName] gives them, "step.variable" in the simplest case.
	Outputs map[string]string `json:"outputs,omitempty"`
}

// Value is one variable while a run goes on.
type Value struct {
	Name     string `json:"name"`
	Text     string `json:"text"`
	Secret   bool   `json:"secret,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
	// From is the variable group that a secret is kept in. Such a value has no text until
	// an agent takes the job, so that the expressions of the server never see it.
	From string `json:"from,omitempty"`
}

// Values are variables by their lower-case name: variables compare without
// regard to case. Use [Values.Set] and [Values.Get].
type Values map[string]Value

// Get returns the variable with the given name.
func (v Values) Get(name string) (Value, bool) {
	value, ok := v[strings.ToLower(name)]
	return value, ok
}

// Set adds or replaces a variable.
func (v Values) Set(value Value) { v[strings.ToLower(value.Name)] = value }

// Lookup returns the text of a variable; it has the shape that
// expr.ExpandMacros asks for.
func (v Values) Lookup(name string) (string, bool) {
	value, ok := v.Get(name)
	return value.Text, ok
}

// With returns a copy of the variables in which the given ones replace those
// of the same name.
func (v Values) With(other Values) Values {
	merged := make(Values, len(v)+len(other))
	maps.Copy(merged, v)
	maps.Copy(merged, other)
	return merged
}

// Sorted returns the variables in the order of their lower-case names.
func (v Values) Sorted() []Value {
	sorted := make([]Value, 0, len(v))
	for _, key := range slices.Sorted(maps.Keys(v)) {
		sorted = append(sorted, v[key])
	}
	return sorted
}

// Combine returns the result of a whole whose parts ended with the given
// results: the jobs of a stage, the stages of a run, the legs of a matrix.
// Failed outweighs Canceled, which outweighs SucceededWithIssues, which
// outweighs Succeeded; a whole is Skipped only if all of its parts are.
func Combine(results ...Result) Result {
	combined := Skipped
	if len(results) == 0 {
		return Succeeded
	}
	for _, r := range results {
		if weight(r) > weight(combined) {
			combined = r
		}
	}
	return combined
}

func weight(r Result) int {
	switch r {
	case Failed:
		return 4
	case Canceled:
		return 3
	case SucceededWithIssues:
		return 2
	case Succeeded:
		return 1
	}
	return 0
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }
