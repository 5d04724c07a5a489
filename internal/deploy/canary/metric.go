package canary

import (
	"fmt"
	"reflect"

	"github.com/google/cel-go/cel"

	"towpath.dev/towpath/internal/fault"
)

// Names of the metrics that the platform measures by itself.
const (
	ErrorRate = "error-rate"  // share of answers of 500 and above, 0 to 1
	Latency   = "latency-p95" // seconds
	Restarts  = "restarts"    // of containers, all pods of the track together
	OOM       = "oom"         // containers that were killed for their memory
)

// Metric says how one measured value is judged. The words and their meaning are those of
// Argo Rollouts (pkg/apis/rollouts/v1alpha1/analysis_types.go): with only a success
// condition everything else is a failure, with only a failure condition everything else is
// a success, with both what meets neither is inconclusive, with none all is success.
//
// A condition is an expression (CEL) over result and canary (the canary's value), baseline,
// samples (requests of the canary in this trial) and p (that the canary is no worse than
// the baseline, by a test that may be looked at any time; 1 when there is none).
type Metric struct {
	Name                    string   `json:"name"` // error-rate, latency-p95, restarts, oom
	Interval                Duration `json:"interval,omitempty"`
	Count                   int      `json:"count,omitempty"` // measurements of a step that end it early with success; 0: none do
	InitialDelay            Duration `json:"initialDelay,omitempty"`
	SuccessCondition        string   `json:"successCondition,omitempty"`
	FailureCondition        string   `json:"failureCondition,omitempty"`
	FailureLimit            int      `json:"failureLimit,omitempty"`      // failures that are tolerated
	InconclusiveLimit       int      `json:"inconclusiveLimit,omitempty"` // likewise
	ConsecutiveErrorLimit   *int     `json:"consecutiveErrorLimit,omitempty"`
	ConsecutiveSuccessLimit int      `json:"consecutiveSuccessLimit,omitempty"` // 0: not asked for
	DryRun                  bool     `json:"dryRun,omitempty"`                  // measured and shown, never decides
}

// defaultErrorLimit is how many measurements in a row may fail to be taken.
const defaultErrorLimit = 4

// DefaultMetrics judge a canary when nobody says how. A regression must be both sure (one
// in a hundred at most by chance, whenever it is looked at) and large enough to matter.
func DefaultMetrics() []Metric {
	return []Metric{
		{Name: ErrorRate, FailureCondition: "p < 0.01 && canary > baseline + 0.005"},
		{Name: Latency, FailureCondition: "p < 0.01 && canary > baseline * 1.25 && canary > baseline + 0.005"},
		{Name: Restarts, FailureCondition: "canary > baseline"},
		{Name: OOM, FailureCondition: "canary > baseline"},
	}
}

func (m Metric) errorLimit() int {
	if m.ConsecutiveErrorLimit != nil {
		return *m.ConsecutiveErrorLimit
	}
	return defaultErrorLimit
}

// Every returns how often it is measured.
func (m Metric) Every() Duration {
	if m.Interval > 0 {
		return m.Interval
	}
	return DefaultInterval
}

// conditions are the compiled conditions of a metric.
type conditions struct{ success, failure cel.Program }

// maxCondition bounds an expression, in bytes; its cost is bounded by what it can name.
const maxCondition = 1000

func compile(m Metric) (conditions, error) {
	var c conditions
	switch m.Name {
	case ErrorRate, Latency, Restarts, OOM:
	default:
		return c, fault.New(fault.Invalid, "There is no metric %q.", m.Name).WithNext("use %s, %s, %s or %s", ErrorRate, Latency, Restarts, OOM)
	}
	env, err := cel.NewEnv(cel.Variable("result", cel.DoubleType), cel.Variable("canary", cel.DoubleType), cel.Variable("baseline", cel.DoubleType),
		cel.Variable("samples", cel.DoubleType), cel.Variable("p", cel.DoubleType), cel.CrossTypeNumericComparisons(true))
	if err != nil {
		return c, fmt.Errorf("making the language of conditions: %w", err)
	}
	for _, part := range []struct {
		text string
		into *cel.Program
	}{{m.SuccessCondition, &c.success}, {m.FailureCondition, &c.failure}} {
		if part.text == "" {
			continue
		}
		if len(part.text) > maxCondition {
			return c, fault.New(fault.TooLarge, "A condition of metric %s is longer than %d bytes.", m.Name, maxCondition)
		}
		ast, issues := env.Compile(part.text)
		if err := issues.Err(); err != nil {
			return c, fault.Wrap(fault.Invalid, err, "The condition %q of metric %s cannot be read: %v.", part.text, m.Name, err)
		}
		if ast.OutputType() != cel.BoolType {
			return c, fault.New(fault.Invalid, "The condition %q of metric %s is neither true nor false.", part.text, m.Name)
		}
		if *part.into, err = env.Program(ast, cel.CostLimit(10_000)); err != nil {
			return c, fault.Wrap(fault.Invalid, err, "The condition %q of metric %s cannot be used: %v.", part.text, m.Name, err)
		}
	}
	return c, nil
}

// Outcomes of a measurement and of an analysis.
const (
	Success      = "success"
	Failure      = "failure"
	Inconclusive = "inconclusive"
	Trouble      = "error" // it could not be measured
	Running      = "running"
)

// judge gives one measurement its outcome.
func (c conditions) judge(v Value) (string, error) {
	vars := map[string]any{"result": v.Canary, "canary": v.Canary, "baseline": v.Baseline, "samples": float64(v.Samples), "p": v.P}
	ask := func(p cel.Program) (bool, error) {
		if p == nil {
			return false, nil
		}
		got, _, err := p.Eval(vars)
		if err != nil {
			return false, fmt.Errorf("evaluating a condition: %w", err)
		}
		b, err := got.ConvertToNative(reflect.TypeFor[bool]())
		if err != nil {
			return false, fmt.Errorf("evaluating a condition: %w", err)
		}
		return b.(bool), nil
	}
	bad, err := ask(c.failure)
	if err != nil {
		return Trouble, err
	}
	good, err := ask(c.success)
	switch {
	case err != nil:
		return Trouble, err
	case bad:
		return Failure, nil
	case good || c.success == nil:
		return Success, nil
	case c.failure == nil:
		return Failure, nil
	}
	return Inconclusive, nil
}
