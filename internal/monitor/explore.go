package monitor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// Releases says what was rolled out when; deploy.Service is one, behind package app.
type Releases interface {
	// Marks returns the releases of a project that started in a range of time, oldest first.
	Marks(ctx context.Context, a identity.Actor, project string, from, to time.Time) ([]Mark, error)
}

// Mark is a release on an axis of time.
type Mark struct {
	Release string    `json:"release"`
	Result  string    `json:"result"`
	Run     int64     `json:"run,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Actor   string    `json:"actor"`
	At      time.Time `json:"at"`
	Verdict string    `json:"verdict,omitempty" doc:"beside the release before; empty while it is not compared"`
	Why     string    `json:"why,omitempty"`
}

// Overview is what the log explorer shows around the rows of a question: how many there
// are over time, and the values of the columns by which people narrow it.
type Overview struct {
	// Rows is false for a text that adds up instead of listing: then there is only a table
	// or a chart of it, and the other fields are empty.
	Rows    bool        `json:"rows"`
	Total   int64       `json:"total"`
	From    time.Time   `json:"from"`
	Step    float64     `json:"step" doc:"seconds of one bar"`
	Bars    int         `json:"bars"`
	Levels  []LevelBars `json:"levels" doc:"the worst first"`
	Facets  []Facet     `json:"facets"`
	Marks   []Mark      `json:"marks"`
	Stats   query.Stats `json:"stats"`
	Columns []Column    `json:"columns"`
	Render  *ir.Render  `json:"render,omitempty"`
}

// LevelBars is how many rows of one level there are in each bar.
type LevelBars struct {
	Level  string  `json:"level"`
	Counts []int64 `json:"counts"`
}

// Facet is a column with its most frequent values.
type Facet struct {
	Column string       `json:"column"`
	Title  string       `json:"title"`
	Values []FacetValue `json:"values"`
}

// FacetValue is a value with the number of rows that have it.
type FacetValue struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// facets are the columns that are counted when a text has them.
var facets = []struct{ column, title string }{
	{"LogLevel", "Level"}, {"SeverityLevel", "Severity"}, {"Success", "Success"}, {"ContainerName", "Workload"}, {"AppRoleName", "Service"},
	{"Name", "Name"}, {"Reason", "Reason"}, {"ResultCode", "Result"}, {"ExceptionType", "Exception"}, {"Environment", "Environment"}, {"Release", "Release"},
}

// Limits of an overview.
const (
	maxBars        = 120
	maxFacets      = 5
	maxFacetValues = 8
)

// levels are the columns that colour the bars, with how they are told from each other.
var levels = []struct{ column, expr string }{
	{"LogLevel", "LogLevel"},
	{"SeverityLevel", `case(SeverityLevel >= 4, "CRITICAL", SeverityLevel == 3, "ERROR", SeverityLevel == 2, "WARNING", "INFO")`},
	{"Success", `iff(Success == false, "ERROR", "INFO")`},
	{"KubeEventType", `iff(KubeEventType == "Warning", "WARNING", "INFO")`},
}

// levelOrder is how bars are stacked, the worst first.
var levelOrder = []string{"CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "TRACE", "UNKNOWN", ""}

// steps are the widths that a bar may have.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
	10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// barWidth is the smallest width with which a range has at most maxBars bars.
func barWidth(of time.Duration) time.Duration {
	for _, s := range steps {
		if of <= maxBars*s {
			return s
		}
	}
	return of.Truncate(24*time.Hour)/maxBars + 24*time.Hour
}

// then appends operators to a text. They begin a line of their own, because the text may
// end with a comment.
func then(text, operators string) string {
	return strings.TrimRight(text, " \t\r\n;") + "\n| " + operators
}

// Explore returns what stands around the rows of a question. Both bounds of its time are
// needed.
func (s *Service) Explore(ctx context.Context, a identity.Actor, q Question) (*Overview, error) {
	if err := s.require(ctx, a, q.Scope); err != nil {
		return nil, err
	}
	if q.To.IsZero() {
		q.To = s.Clock.Now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-time.Hour)
	}
	asked, err := bound(q.Text)
	if err != nil {
		return nil, err
	}
	columns, render := asked.Rel.Columns(), asked.Render
	out := &Overview{From: q.From, Levels: []LevelBars{}, Facets: []Facet{}, Marks: []Mark{}, Columns: []Column{}, Render: render}
	has := map[string]bool{}
	for _, c := range columns {
		has[c.Name] = true
		out.Columns = append(out.Columns, Column{c.Name, c.Kind.String()})
		out.Rows = out.Rows || c.Name == table.TimeGenerated && c.Kind == table.DateTime && render == nil
	}
	if !out.Rows {
		return out, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(3)
	g.Go(func() error { return s.bars(ctx, a, q, has, out) })
	found := make([]*Facet, len(facets))
	n := 0
	for i, f := range facets {
		if !has[f.column] || n == maxFacets {
			continue
		}
		n++
		g.Go(func() (err error) {
			found[i], err = s.facet(ctx, a, q, f.column, f.title)
			return err
		})
	}
	if q.Project != "" && s.Releases != nil {
		g.Go(func() (err error) {
			out.Marks, err = s.Releases.Marks(ctx, a, q.Project, q.From, q.To)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, f := range found {
		if f != nil && len(f.Values) > 0 {
			out.Facets = append(out.Facets, *f)
		}
	}
	return out, nil
}

// bars counts the rows over time.
func (s *Service) bars(ctx context.Context, a identity.Actor, q Question, has map[string]bool, out *Overview) error {
	level := `"INFO"`
	for _, l := range levels {
		if has[l.column] {
			level = l.expr
			break
		}
	}
	width := barWidth(q.To.Sub(q.From))
	start := q.From.Truncate(width)
	out.From, out.Step, out.Bars = start, width.Seconds(), int(q.To.Sub(start)/width)+1
	r, err := s.run(ctx, a, Question{Scope: q.Scope, From: q.From, To: q.To, MaxRows: maxRows, Text: then(q.Text,
		fmt.Sprintf(`summarize Rows_ = count() by Bar_ = bin(TimeGenerated, %s), Level_ = tostring(%s)`, literal(width), level))})
	if err != nil {
		return err
	}
	out.Stats = r.Stats
	b := r.Batch
	bar, name, rows := b.Index("Bar_"), b.Index("Level_"), b.Index("Rows_")
	if bar < 0 || name < 0 || rows < 0 {
		return fmt.Errorf("counting rows over time: the answer has the columns %v", b.Columns)
	}
	by := map[string][]int64{}
	for i := range b.Rows() {
		n := b.Vectors[rows].Int[i]
		out.Total += n
		at := int(table.TimeOf(b.Vectors[bar].Int[i]).Sub(start) / width)
		if at < 0 || at >= out.Bars {
			continue
		}
		level := b.Vectors[name].Text[i]
		if by[level] == nil {
			by[level] = make([]int64, out.Bars)
		}
		by[level][at] += n
	}
	for level, counts := range by {
		out.Levels = append(out.Levels, LevelBars{level, counts})
	}
	slices.SortFunc(out.Levels, func(x, y LevelBars) int {
		return slices.Index(levelOrder, x.Level) - slices.Index(levelOrder, y.Level)
	})
	return nil
}

// literal writes a duration as KQL does.
func literal(d time.Duration) string { return fmt.Sprintf("%ds", int64(d/time.Second)) }

// facet counts the most frequent values of a column.
func (s *Service) facet(ctx context.Context, a identity.Actor, q Question, column, title string) (*Facet, error) {
	r, err := s.run(ctx, a, Question{Scope: q.Scope, From: q.From, To: q.To, Text: then(q.Text,
		fmt.Sprintf(`summarize Rows_ = count() by Value_ = tostring(%s) | top %d by Rows_ desc`, column, maxFacetValues))})
	if err != nil {
		return nil, err
	}
	f := &Facet{Column: column, Title: title, Values: []FacetValue{}}
	value, rows := r.Batch.Index("Value_"), r.Batch.Index("Rows_")
	for i := range r.Batch.Rows() {
		if v := r.Batch.Vectors[value].Text[i]; v != "" {
			f.Values = append(f.Values, FacetValue{v, r.Batch.Vectors[rows].Int[i]})
		}
	}
	return f, nil
}

// Newest answers a question whose rows have a time with the newest of them; any other as
// it is.
func (s *Service) Newest(ctx context.Context, a identity.Actor, q Question) (*Answer, error) {
	if err := s.require(ctx, a, q.Scope); err != nil {
		return nil, err
	}
	asked, err := bound(q.Text)
	if err != nil {
		return nil, err
	}
	columns, render := asked.Rel.Columns(), asked.Render
	if render == nil && slices.Contains(columns, table.Column{Name: table.TimeGenerated, Kind: table.DateTime}) {
		n := q.MaxRows
		if n <= 0 {
			n = 1000
		}
		q.Text = then(q.Text, fmt.Sprintf("top %d by TimeGenerated desc", n))
	}
	return s.Query(ctx, a, q)
}
