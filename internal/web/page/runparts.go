package page

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/web/graph"
)

// Issue is a line of a log that says that something is wrong.
type Issue struct {
	State State  `json:"-"`
	Kind  string `json:"kind"` // "error" or "warning"
	Line  int64  `json:"line"` // from 1
	Text  string `json:"text"`
}

// StepIssues is what went wrong in one step, or why a job or a stage ended without one.
type StepIssues struct {
	Title    string // of the job
	Step     string // "" when there is none
	State    State
	Job      string // names the logs
	Number   int    // of the step
	Why      string
	Errors   int
	Warnings int
	Lines    []Issue // the first ones
}

// hidden is how many issues the log has that are not shown.
func (i StepIssues) hidden() int { return i.Errors + i.Warnings - len(i.Lines) }

// tally counts in words: "1 error, 2 warnings".
func (i StepIssues) tally() string {
	var words []string
	if i.Errors > 0 {
		words = append(words, Plural(i.Errors, "error", "errors"))
	}
	if i.Warnings > 0 {
		words = append(words, Plural(i.Warnings, "warning", "warnings"))
	}
	return strings.Join(words, ", ")
}

// StageNow is the stage that is looked at, with what the visitor may do with it.
type StageNow struct {
	Name, Title string
	State       State
	Word        string
	Attempt     int
	Why         string
	Held        time.Time
	HeldBy      []string
	LeftOut     string
	Requested   string
	Failed      bool
	// What may be done.
	Rerun, Skip, Start, Retry bool
}

// acts reports whether anything may be done.
func (s StageNow) acts() bool { return s.Rerun || s.Skip || s.Start || s.Retry }

// Attempt is a link to one attempt of a job.
type Attempt struct {
	Number int
	Job    string // names the logs
	On     bool
}

// Attachment is a file that a step left beside its log.
type Attachment struct {
	ID, Name, Type, Job, Digest string
	Bytes                       int64
}

// Summary is Markdown that a step wrote for people.
type Summary struct {
	ID, Title, Step, Job, Text string
	Cut                        bool // it is longer than what is shown
}

// RunComparison is a run beside an earlier one.
type RunComparison struct {
	Base         Run
	Rows         []CompareRow
	Commits      []git.Commit // newest first
	Joined       bool         // the commits lead to the one of the earlier run
	Given        []GivenChange
	NewlyFailing []Failure
	StillFailing int
	Mended       int
}

// CompareRow is a job or a step in both runs. Durations below zero are not known.
type CompareRow struct {
	Title         string
	Job           bool
	State, Was    State
	Word, WasWord string
	Before, Now   time.Duration
	Only          string // "new", "gone" or ""
}

// delta says how much longer or shorter it took, in words, and "bad" or "good" when that is
// worth a look: by a quarter and by more than two seconds.
func (r CompareRow) delta() (words, tone string) {
	if r.Before < 0 || r.Now < 0 {
		return "–", ""
	}
	d := r.Now - r.Before
	sign := "+"
	if d < 0 {
		sign = "−"
	}
	switch {
	case d.Abs() > 2*time.Second && d > 0 && d*4 > r.Before:
		tone = "bad"
	case d.Abs() > 2*time.Second && d < 0 && -d*4 > r.Before:
		tone = "good"
	}
	return sign + Took(d.Abs()), tone
}

func (r CompareRow) took(d time.Duration) string {
	if d < 0 {
		return "–"
	}
	return Took(d)
}

// GivenChange is a parameter or variable that two runs were given differently.
type GivenChange struct {
	Kind, Name, Before, Now string
	Was, Is                 bool // it was given at all
}

// sorted lists values by name.
func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// The measures of the graph of a run, in pixels.
var dagSize = graph.Size{Width: 216, Height: 58, Across: 36, Between: 18}

// dagMargin keeps outlines inside of the drawing.
const dagMargin = 3

// dagNode is a box of the graph: a stage, or a job when the run has one stage only.
type dagNode struct {
	graph.Point
	Key, Title, Note, Href string
	Group                  string // path
	State                  State
	Began                  time.Time
	Current                bool
	After                  []string // titles
}

// label is what the box says to who does not see it.
func (n dagNode) label() string {
	text := strings.TrimPrefix(n.Group+", ", ", ") + n.Title + ", " + n.State.Word() + ", " + n.Note
	if len(n.After) > 0 {
		text += ", after " + strings.Join(n.After, " and ")
	}
	return text
}

type dagEdge struct {
	Path string
	Done bool // what it leads from has ended well
}

type dag struct {
	Width, Height float64
	Nodes         []dagNode
	Edges         []dagEdge
	Groups        []dagGroup
}

// dagGroup is a frame around the stages of a group.
type dagGroup struct {
	Name                string
	X, Y, Width, Height float64
}

// How far a frame stands away from its boxes, and how high its name is.
const (
	dagAround = 6
	dagName   = 16
)

// dag lays the graph of the run out; it has no nodes when there is nothing to draw.
func (v RunView) dag(s Shell) dag {
	nodes, after := v.dagNodes(s)
	if len(nodes) < 2 {
		return dag{}
	}
	at := map[string]int{}
	for i, n := range nodes {
		at[strings.ToLower(n.Key)] = i
	}
	var edges []graph.Edge
	for i := range nodes {
		for _, name := range after[i] {
			if from, ok := at[strings.ToLower(name)]; ok {
				edges = append(edges, graph.Edge{From: from, To: i})
				nodes[i].After = append(nodes[i].After, nodes[from].Title)
			}
		}
	}
	l := graph.Lay(len(nodes), edges, dagSize)
	left, top := float64(dagMargin), float64(dagMargin)
	if slices.ContainsFunc(nodes, func(n dagNode) bool { return n.Group != "" }) {
		left, top = left+dagAround, top+dagAround+dagName
	}
	out := dag{Width: l.Width + 2*left, Height: l.Height + top + left, Nodes: nodes}
	for i := range nodes {
		out.Nodes[i].Point = graph.Point{X: l.Nodes[i].X + left, Y: l.Nodes[i].Y + top}
	}
	out.Groups = framed(out.Nodes)
	for i, way := range l.Edges {
		for k := range way {
			way[k].X, way[k].Y = way[k].X+left, way[k].Y+top
		}
		if len(way) > 1 {
			out.Edges = append(out.Edges, dagEdge{Path: bend(way), Done: nodes[edges[i].From].State == Open})
		}
	}
	return out
}

// framed are the frames of the groups whose boxes stand together: one that would run across
// boxes of others is left out, and the name of the group stands before those of its stages.
func framed(nodes []dagNode) []dagGroup {
	var out []dagGroup
	for _, n := range nodes {
		if n.Group == "" || slices.ContainsFunc(out, func(g dagGroup) bool { return g.Name == n.Group }) {
			continue
		}
		g := around(nodes, n.Group)
		if slices.ContainsFunc(nodes, func(o dagNode) bool { return o.Group != n.Group && g.touches(o.Point) }) {
			for i := range nodes {
				if nodes[i].Group == n.Group {
					nodes[i].Title = n.Group + "/" + nodes[i].Title
					nodes[i].Group = ""
				}
			}
			continue
		}
		out = append(out, g)
	}
	return out
}

// around is the frame of a group.
func around(nodes []dagNode, name string) dagGroup {
	g, right, bottom := dagGroup{Name: name, X: math.Inf(1), Y: math.Inf(1)}, 0.0, 0.0
	for _, n := range nodes {
		if n.Group == name {
			g.X, g.Y = min(g.X, n.X-dagAround), min(g.Y, n.Y-dagName)
			right, bottom = max(right, n.X+dagSize.Width+dagAround), max(bottom, n.Y+dagSize.Height+dagAround)
		}
	}
	g.Width, g.Height = right-g.X, bottom-g.Y
	return g
}

// touches reports whether a box stands in a frame, or across it.
func (g dagGroup) touches(p graph.Point) bool {
	return p.X < g.X+g.Width && p.X+dagSize.Width > g.X && p.Y < g.Y+g.Height && p.Y+dagSize.Height > g.Y
}

func (v RunView) dagNodes(s Shell) (nodes []dagNode, after [][]string) {
	if len(v.Stages) == 1 {
		for _, j := range v.Stages[0].Jobs {
			n := dagNode{Key: j.Name, Title: j.Title, Note: j.Note, State: j.State, Began: j.Began, Current: j.Current, Href: v.path(s)}
			if len(j.Steps) > 0 {
				n.Href = v.stepHref(s, j, j.first())
			}
			nodes, after = append(nodes, n), append(after, j.After)
		}
		return nodes, after
	}
	for _, st := range v.Stages {
		nodes = append(nodes, dagNode{Key: st.Name, Title: st.Title, Group: st.Group, Note: st.Note, State: st.State, Began: st.Began, Current: st.Current || v.Stage != nil && v.Stage.Name == st.Name, Href: v.stageHref(s, st)})
		after = append(after, st.After)
	}
	return nodes, after
}

// first is the step of a job that one wants to see first: that failed, else that runs, else
// the first.
func (j Job) first() Step {
	for _, want := range []State{Shut, Passing} {
		for _, s := range j.Steps {
			if s.State == want {
				return s
			}
		}
	}
	return j.Steps[0]
}

// bend draws the way of an edge.
func bend(way []graph.Point) string {
	var b strings.Builder
	for i, p := range way {
		if i == 0 {
			fmt.Fprintf(&b, "M%.1f %.1f", p.X, p.Y)
			continue
		}
		last := way[i-1]
		half := (p.X - last.X) / 2
		fmt.Fprintf(&b, "C%.1f %.1f %.1f %.1f %.1f %.1f", last.X+half, last.Y, p.X-half, p.Y, p.X, p.Y)
	}
	return b.String()
}

// commitCount says how many commits lie between.
func (c RunComparison) commitCount() string {
	if len(c.Commits) > 0 && !c.Joined {
		return Count(len(c.Commits)) + "+"
	}
	return Count(len(c.Commits))
}

func (g GivenChange) before() string { return givenWord(g.Before, g.Was) }
func (g GivenChange) now() string    { return givenWord(g.Now, g.Is) }

func givenWord(value string, given bool) string {
	switch {
	case !given:
		return "not given"
	case value == "":
		return "empty"
	}
	return value
}

// with is the number of the run that this one is compared with.
func (v RunView) with() string {
	switch {
	case v.Compared != nil:
		return fmt.Sprint(v.Compared.Base.Number)
	case v.Base > 0:
		return fmt.Sprint(v.Base)
	}
	return ""
}

// covered is the share of lines that all coverage of the run adds up to.
func (v RunView) covered() string {
	var part, whole int64
	for _, c := range v.Coverage {
		part, whole = part+c.LinesCovered, whole+c.Lines
	}
	return portion(part, whole)
}

// portion is a part of a whole in percent, "–" of nothing.
func portion(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	return Percent(100 * float64(part) / float64(whole))
}
