package page

import (
	"fmt"
	"strconv"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// Pipeline is a pipeline with the state of its newest run.
type Pipeline struct {
	pipeline.Definition
	State State
	Word  string
	Last  Run // zero when there is none
}

// id is the number of the pipeline in addresses.
func (p Pipeline) id() string { return strconv.FormatInt(p.ID, 10) }

// PipelineList is the page of the pipelines of a project.
type PipelineList struct {
	Pipelines []Pipeline
	Repos     []string // for the form
	Maintain  bool
	Add       bool // the form is open
}

// FleetView is the page of pools and agents.
type FleetView struct {
	Pools  []pool.Pool
	Agents []pipeline.Agent
	Pool   string // only agents of this one; "" means all
	Add    bool   // the form of a pool is open
}

// TestList is the page of the tests of a pipeline.
type TestList struct {
	Pipelines []pipeline.Definition
	Pipeline  pipeline.Definition // whose tests they are; zero when the project has none
	Branch    string
	Show      string
	Query     string
	Filters   []Filter
	Tests     []pipeline.TestCase
}

// TestView is the page of a test over its runs.
type TestView struct {
	Pipeline pipeline.Definition
	Test     pipeline.TestCase // zero when it is in none of the newest runs
	Name     string
	Branch   string
	Outcomes []pipeline.Outcome // newest first
}

// RetentionView is the page about how long runs stay.
type RetentionView struct {
	Own, Installation []pipeline.RetentionRule
	Expired           []pipeline.Run
	Kept              []pipeline.KeptRun
	Maintain          bool
}

// rows are the rules of the form, with two empty ones for new rules.
func (v RetentionView) rows() []pipeline.RetentionRule {
	return append(append([]pipeline.RetentionRule{}, v.Own...), pipeline.RetentionRule{}, pipeline.RetentionRule{})
}

// number is a number in a field; 0 is an empty one.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// rate is how many of the outcomes passed.
func rate(c pipeline.TestCase) string {
	if c.Runs == 0 {
		return "–"
	}
	return fmt.Sprintf("%d %%", 100*(c.Runs-c.Failed)/c.Runs)
}

// outcomeBar is an outcome in the trend of a test.
type outcomeBar struct {
	x, width, y, height, class string
	said                       string
}

// trendWidth and trendHeight are the size of a trend in its own units.
const (
	trendWidth  = 600
	trendHeight = 60
)

// trend draws how long a test took, oldest first.
func trend(list []pipeline.Outcome) []outcomeBar {
	most := 0.001
	for _, o := range list {
		most = max(most, o.Seconds)
	}
	out := make([]outcomeBar, len(list))
	width := float64(trendWidth) / float64(max(len(list), 20))
	for i, o := range list {
		class := map[string]string{"Passed": "compliant", "Failed": "denied"}[o.Outcome]
		if class == "" {
			class = "exempt"
		}
		tall := max(4, o.Seconds/most*trendHeight)
		out[len(list)-1-i] = outcomeBar{x: px(float64(len(list)-1-i) * width), width: px(width - 1), y: px(trendHeight - tall), height: px(tall), class: class,
			said: fmt.Sprintf("run %d: %s in %s", o.Run, o.Outcome, seconds(o.Seconds))}
	}
	return out
}

// testState is the state of an outcome.
func testState(outcome string) State {
	switch outcome {
	case "Passed":
		return Open
	case "Failed":
		return Shut
	}
	return Wait
}

// key names the pipeline of the run.
func (r Run) key() string { return pipeline.Key(r.Repo, r.Pipeline) }

// badgeFill is the color of a state on a badge, which has no style sheet.
func badgeFill(s State) string {
	switch s {
	case Open:
		return "#1a7f4b"
	case Shut:
		return "#c4342d"
	case Passing:
		return "#2563c9"
	case Held:
		return "#8a6100"
	}
	return "#5b6470"
}

// badgeSize is the width of a text on a badge, in its units.
func badgeSize(text string) int { return 7*len([]rune(text)) + 14 }
