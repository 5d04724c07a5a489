package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/web/graph"
)

// MapView is who calls whom.
type MapView struct {
	Range        int // seconds
	From, To     time.Time
	Environment  string
	Environments []string
	Map          *insight.Map
}

// The measures of the map's drawing, in pixels.
var mapSize = graph.Size{Width: 188, Height: 60, Across: 116, Between: 28}

// mapMargin keeps labels and outlines inside of the drawing.
const mapMargin = 26

// drawnNode and drawnEdge are a map with its places.
type drawnNode struct {
	insight.Node
	graph.Point
}

type drawnEdge struct {
	insight.Edge
	Path     string // of an SVG path
	At       graph.Point
	From, To int
}

type drawnMap struct {
	Width, Height float64
	Nodes         []drawnNode
	Edges         []drawnEdge
}

// draw lays the map out.
func (v MapView) draw() drawnMap {
	number := map[string]int{}
	for i, n := range v.Map.Nodes {
		number[n.Role] = i
	}
	edges := make([]graph.Edge, len(v.Map.Edges))
	for i, e := range v.Map.Edges {
		edges[i] = graph.Edge{From: number[e.From], To: number[e.To]}
	}
	l := graph.Lay(len(v.Map.Nodes), edges, mapSize)
	out := drawnMap{Width: l.Width + 2*mapMargin, Height: l.Height + 2*mapMargin}
	for i, n := range v.Map.Nodes {
		out.Nodes = append(out.Nodes, drawnNode{n, graph.Point{X: l.Nodes[i].X + mapMargin, Y: l.Nodes[i].Y + mapMargin}})
	}
	for i, e := range v.Map.Edges {
		d := drawnEdge{Edge: e, From: edges[i].From, To: edges[i].To}
		d.Path, d.At = curve(l.Edges[i], out.Nodes[d.From].Point)
		out.Edges = append(out.Edges, d)
	}
	return out
}

// curve draws the way of an edge, and says where its label stands. An edge without a way
// leads to its own node: a loop above it.
func curve(way []graph.Point, node graph.Point) (path string, label graph.Point) {
	if len(way) == 0 {
		x, y := node.X+mapSize.Width-30, node.Y
		return fmt.Sprintf("M%.1f %.1fc0 -18 24 -18 24 0", x, y), graph.Point{X: x + 12, Y: y - 14}
	}
	var b strings.Builder
	for i, p := range way {
		x, y := p.X+mapMargin, p.Y+mapMargin
		if i == 0 {
			fmt.Fprintf(&b, "M%.1f %.1f", x, y)
			continue
		}
		last := way[i-1]
		half := (p.X - last.X) / 2
		fmt.Fprintf(&b, "C%.1f %.1f %.1f %.1f %.1f %.1f", last.X+mapMargin+half, last.Y+mapMargin, x-half, y, x, y)
	}
	// The label stands in the first gap: there the edges of one caller have parted.
	a, z := way[0], way[1]
	return b.String(), graph.Point{X: (a.X+z.X)/2 + mapMargin, Y: (a.Y+z.Y)/2 + mapMargin}
}

// label is how wide the label of an edge is, about.
func (e drawnEdge) label() float64 {
	text := Count(e.Count)
	if e.Failures > 0 {
		text += " " + Percent(failing(e.Totals))
	}
	return 16 + 6*float64(len([]rune(text)))
}

// outside are the facts of what no telemetry comes from.
func (v MapView) outside(n insight.Node) string {
	if n.Count == 0 {
		return orWord(n.Kind, "outside")
	}
	text := v.rate(n.Totals) + " · p95 " + milliseconds(n.P95)
	switch {
	case n.Failures > 0:
		text = v.rate(n.Totals) + " · " + Percent(failing(n.Totals)) + " · p95 " + milliseconds(n.P95)
	case n.Kind != "" && !strings.HasPrefix(n.Role, n.Kind):
		text = fitted(n.Kind, 12) + " · " + text
	}
	return text
}

// px writes a coordinate.
func px(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// thickness grows with the number of calls, slowly.
func thickness(count int64) string { return px(min(6, 1.2+math.Log10(float64(max(count, 1)))*.9)) }

// failing is how many of a hundred calls failed.
func failing(t insight.Totals) float64 {
	if t.Count == 0 {
		return 0
	}
	return 100 * float64(t.Failures) / float64(t.Count)
}

// tone is how calls are: more than one in twenty that fails is shut, more than one in a
// hundred is held.
func tone(t insight.Totals) State {
	switch share := failing(t); {
	case t.Count == 0:
		return Wait
	case share >= 5:
		return Shut
	case share >= 1:
		return Held
	}
	return Open
}

// rate is calls a second, as people read it.
func (v MapView) rate(t insight.Totals) string {
	r := float64(t.Count) / max(1, v.To.Sub(v.From).Seconds())
	if r >= 10 {
		return Count(int64(r+.5)) + "/s"
	}
	return strconv.FormatFloat(r, 'g', 2, 64) + "/s"
}

func (v MapView) nodeWords(n insight.Node) string {
	if n.Count == 0 {
		return n.Role + ", answered nothing in this time"
	}
	return fmt.Sprintf("%s, %s requests, %s failed, 95 %% within %s", n.Role, Count(n.Count), Percent(failing(n.Totals)), milliseconds(n.P95))
}

func (v MapView) edgeWords(e insight.Edge) string {
	return fmt.Sprintf("%s calls %s by %s: %s calls, %s failed, 95 %% within %s", e.From, e.To, e.Kind, Count(e.Count), Percent(failing(e.Totals)), milliseconds(e.P95))
}

// logsAt leads to the log explorer with a query and a chosen time.
func (s Shell) logsAt(text string, from, to time.Time) string {
	return s.At("/monitor/logs" + Query("q", text, "from", from.UTC().Format(time.RFC3339Nano), "to", to.UTC().Format(time.RFC3339Nano)))
}

// fitted cuts a name that would run out of its box.
func fitted(name string, runes int) string {
	if r := []rune(name); len(r) > runes {
		return string(r[:runes-1]) + "…"
	}
	return name
}

// ErrorsView lists error groups.
type ErrorsView struct {
	Filters []Filter
	Find    string
	Show    string
	Groups  []insight.Group
	None    string
}

// Occurrence is one exception of a group.
type Occurrence struct {
	Time                                   time.Time
	Trace, Message, Method, Release, Stack string
}

// ErrorView is one error group.
type ErrorView struct {
	insight.Group
	Occurrences []Occurrence
	Bars        []Bar // over the last day
	MayWrite    bool
}

// Bar is one bar of a small chart.
type Bar struct {
	From  time.Time
	Count int64
}

// groupState is how an error group stands.
func groupState(g insight.Group) State {
	switch g.State {
	case insight.Resolved:
		return Open
	case insight.Ignored:
		return Wait
	}
	return Shut
}

// barPoints are the rectangles of a small chart, as the points of one path in a box of the
// given size.
func barPoints(bars []Bar, width, height float64) string {
	top := int64(1)
	for _, b := range bars {
		top = max(top, b.Count)
	}
	var out strings.Builder
	w := width / float64(max(1, len(bars)))
	for i, b := range bars {
		if b.Count == 0 {
			continue
		}
		h := max(2, float64(b.Count)/float64(top)*height)
		fmt.Fprintf(&out, "M%.1f %.1fv%.1fh%.1fv%.1fz", float64(i)*w, height, -h, max(1, w-1.5), h)
	}
	return out.String()
}

// ReleaseView is a release with what was found of it.
type ReleaseView struct {
	deploy.Release
	Comparison *insight.Comparison     // nil while it was not compared
	Alerts     []alert.Alert           // that it concerns
	Observed   []event.ReleaseObserved // its first telemetry
	Groups     []insight.Group         // errors that came with it
	Canary     *canary.View            // nil for one that was not tried
	MayDecide  bool                    // about the canary
	Drifts     *DriftView              // nil for one that does not serve and of which nothing was put back
	// MayRedeploy is of releases that served and do not any more.
	MayRedeploy bool
}

// verdictState is how a release or an operation does beside the one before.
func verdictState(verdict string) State {
	switch verdict {
	case insight.Worse:
		return Shut
	case insight.Better, insight.Same:
		return Open
	}
	return Wait
}

func verdictWords(verdict string) string {
	switch verdict {
	case insight.Same:
		return "as before"
	case insight.Unclear:
		return "too few to say"
	}
	return verdict
}

// certainty is a p as people read it.
func certainty(p float64) string {
	switch {
	case p >= .995:
		return "–"
	case p < .0001:
		return "< 0.0001"
	}
	return strconv.FormatFloat(p, 'g', 2, 64)
}

// telemetryHref leads to the rows of a release: its lines or its requests.
func (s Shell) telemetryHref(release, signal string) string {
	from := "ContainerLogV2"
	if signal == "traces" {
		from = "AppRequests"
	}
	return s.At("/monitor/logs" + Query("range", "86400", "q", from+"\n| where Release == "+monitor.Quote(release)))
}

// alertsWord counts the alerts of an environment.
func alertsWord(c alert.Counts) string { return Plural(c.Total(), "alert fires", "alerts fire") }
