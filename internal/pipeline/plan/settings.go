package plan

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// Settings are the settings of a job after their runtime expressions have been
// evaluated.
type Settings struct {
	// Timeout and CancelTimeout are how long the job may run, and how long it
	// may clean up after it was cancelled; 0 means no limit (X025).
	Timeout       time.Duration
	CancelTimeout time.Duration
	// ContinueOnError turns a failure of the job into SucceededWithIssues (V002).
	ContinueOnError bool
	// MaxParallel is how many legs may run at a time; 0 means all of them.
	MaxParallel int
	// Batch is maxParallel of a rolling deployment: "2", "25%", or empty; see
	// [Strategy.Batch].
	Batch string
}

// JobSettings evaluates the settings of a job when it starts. values are the
// variables that [Plan.JobVariables] made for it.
func (p *Plan) JobSettings(state State, stage *Stage, job *Job, values Values) (Settings, error) {
	env := p.jobScope(state, stage, job)
	var s Settings
	for _, minutes := range []struct {
		text   string
		key    string
		target *time.Duration
	}{
		{job.TimeoutMinutes, "timeoutInMinutes", &s.Timeout},
		{job.CancelTimeoutMinutes, "cancelTimeoutInMinutes", &s.CancelTimeout},
	} {
		n, err := wholeNumber(minutes.text, values, env)
		if err != nil {
			return Settings{}, fmt.Errorf("evaluating %s of job %s: %w", minutes.key, job.Name, err)
		}
		*minutes.target = time.Duration(n) * time.Minute
	}
	text, err := settingText(job.ContinueOnError, values, env)
	if err != nil {
		return Settings{}, fmt.Errorf("evaluating continueOnError of job %s: %w", job.Name, err)
	}
	s.ContinueOnError, _ = ParseBoolean(text)
	if job.Matrix != nil {
		if s.MaxParallel, err = wholeNumber(job.Matrix.MaxParallel, values, env); err != nil {
			return Settings{}, fmt.Errorf("evaluating maxParallel of job %s: %w", job.Name, err)
		}
	}
	if job.Strategy != nil {
		if s.Batch, err = settingText(job.Strategy.MaxParallel, values, env); err != nil {
			return Settings{}, fmt.Errorf("evaluating maxParallel of job %s: %w", job.Name, err)
		}
	}
	return s, nil
}

// maxMinutes bounds what a time-out can be: a year, above which it means no limit.
const maxMinutes = 366 * 24 * 60

func wholeNumber(text string, values Values, env expr.Env) (int, error) {
	text, err := settingText(text, values, env)
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	if n > maxMinutes {
		return 0, nil
	}
	return n, nil
}

// settingText evaluates a setting that may be a runtime expression or hold macros.
func settingText(text string, values Values, env expr.Env) (string, error) {
	text, err := evaluateText(text, values, env, Runtime{})
	if err != nil {
		return "", err
	}
	return expr.ExpandMacros(text, values.Lookup), nil
}

// ParseBoolean reads the words that stand for a Boolean in the schema (X004).
func ParseBoolean(text string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "y", "yes", "on":
		return true, true
	case "false", "n", "no", "off":
		return false, true
	}
	return false, false
}

// maxLegs bounds the fan-out of a job.
const maxLegs = 256

// legName is what a leg may be called (X008).
var legName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

// Legs returns the legs of a job that is about to start: nil for a job without a
// matrix, and none for a matrix whose expression yields no legs, in which case
// the job is skipped.
func (p *Plan) Legs(state State, stage *Stage, job *Job, values Values) ([]Leg, error) {
	if job.Matrix == nil {
		return nil, nil
	}
	if job.Matrix.Expression == "" {
		return job.Matrix.Legs, nil
	}
	text, err := evaluateText(job.Matrix.Expression, values, p.jobScope(state, stage, job), Runtime{})
	if err != nil {
		return nil, fmt.Errorf("evaluating the matrix of job %s: %w", job.Name, err)
	}
	legs, err := ParseMatrix(text)
	if err != nil {
		return nil, fmt.Errorf("evaluating the matrix of job %s: %w", job.Name, err)
	}
	return legs, nil
}

// ParseMatrix reads the legs from the JSON text that a matrix expression yields:
// an object whose keys are leg names and whose values are objects of variables.
// Legs keep the order of the text (V009). An empty text yields no legs.
func ParseMatrix(text string) ([]Leg, error) {
	legs := []Leg{}
	if strings.TrimSpace(text) == "" {
		return legs, nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	err := eachEntry(decoder, func(name string) error {
		if !legName.MatchString(name) {
			return fmt.Errorf("leg %q: a name has letters, digits and underscores, starts with a letter and is at most 100 characters long", name)
		}
		if len(legs) == maxLegs {
			return fmt.Errorf("a matrix has at most %d legs", maxLegs)
		}
		leg := Leg{Name: name}
		err := eachEntry(decoder, func(variable string) error {
			token, err := decoder.Token()
			if err != nil {
				return err
			}
			if _, nested := token.(json.Delim); nested {
				return fmt.Errorf("leg %q: the value of %q must be a string", name, variable)
			}
			leg.Variables = append(leg.Variables, Variable{Name: variable, Value: jsonText(token)})
			return nil
		})
		legs = append(legs, leg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the matrix, which must be a JSON object of objects: %w", err)
	}
	return legs, nil
}

// eachEntry reads a JSON object and calls read after each key.
func eachEntry(decoder *json.Decoder, read func(key string) error) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return fmt.Errorf("found %v where an object must start", token)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		if err := read(fmt.Sprint(key)); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// jsonText returns the text of a JSON scalar as an expression would print it.
func jsonText(token json.Token) string {
	text, _ := expr.FromJSON(token).Text()
	return text
}
