package monitor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/table"
)

// traceID is what a trace may be called: W3C Trace Context, section 3.2.2.3.
var (
	traceID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	spanID  = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

// MaxSpans is how many spans of one trace are shown.
const MaxSpans = 150_000

// Trace is the spans of one operation, in the order in which a tree of them is drawn: a
// span stands before its children, and siblings stand in the order of their start. The
// columns have one entry a span; words stand in dictionaries, because a trace of a hundred
// thousand spans has few of them.
type Trace struct {
	ID        string    `json:"id"`
	Start     time.Time `json:"start"`
	Duration  float64   `json:"duration_ms"`
	Spans     int       `json:"spans"`
	Errors    int       `json:"errors"`
	Truncated bool      `json:"truncated,omitempty"`
	Roles     []string  `json:"roles" doc:"services, by the number in role"`
	Names     []string  `json:"names" doc:"operations, by the number in name"`
	Types     []string  `json:"types" doc:"\"request\" or the type of a dependency, by the number in type"`
	Releases  []string  `json:"releases" doc:"by the number in release"`

	SpanID  []string  `json:"span_id"`
	Parent  []int     `json:"parent" doc:"place of the parent, -1 for none that is known"`
	Depth   []int     `json:"depth"`
	Offset  []float64 `json:"offset_ms" doc:"from the trace's start"`
	Took    []float64 `json:"took_ms"`
	Role    []int     `json:"role"`
	Name    []int     `json:"name"`
	Type    []int     `json:"type"`
	Release []int     `json:"release"`
	Failed  []bool    `json:"failed"`
	Code    []string  `json:"code"`
	// Critical marks the spans that the whole waited for.
	Critical []bool `json:"critical"`
}

// span is one row of a trace before it has its place.
type span struct {
	id, parent, role, name, kind, release, code string
	start                                       int64
	took                                        float64
	failed                                      bool
	children                                    []int
}

// traceQuery finds the spans of a trace. The id was checked: it holds hexadecimal digits only.
func traceQuery(id string) string {
	const columns = `project TimeGenerated, Id, ParentId, AppRoleName, Name, Kind, Release, ResultCode, DurationMs, Success`
	return fmt.Sprintf(`let requests_ = AppRequests | where OperationId == "%[1]s" | extend Kind = "request" | %[2]s;
let dependencies_ = AppDependencies | where OperationId == "%[1]s" | extend Kind = DependencyType | %[2]s;
union requests_, dependencies_ | take %[3]d`, id, columns, MaxSpans+1)
}

// Trace returns the spans of one operation.
func (s *Service) Trace(ctx context.Context, a identity.Actor, in Scope, id string) (*Trace, error) {
	if err := s.require(ctx, a, in); err != nil {
		return nil, err
	}
	if !traceID.MatchString(id) {
		return nil, fault.New(fault.Invalid, "%q is not the id of a trace.", id).WithNext("give its 32 hexadecimal digits; OperationId has them")
	}
	r, err := s.run(ctx, a, Question{Scope: in, Text: traceQuery(id), MaxRows: maxRows})
	if err != nil {
		return nil, err
	}
	spans, err := spansOf(r.Batch)
	if err != nil {
		return nil, err
	}
	if len(spans) == 0 {
		return nil, fault.New(fault.NotFound, "No span of the trace %s is stored.", id).
			WithNext("it may be older than what is kept, not sampled, or of another project")
	}
	t := build(spans[:min(len(spans), MaxSpans)])
	t.ID, t.Truncated = id, r.Truncated || len(spans) > MaxSpans
	return t, nil
}

func spansOf(b *table.Batch) ([]span, error) {
	at := map[string]table.Vector{}
	for i, c := range b.Columns {
		at[c.Name] = b.Vectors[i]
	}
	for _, name := range []string{table.TimeGenerated, "Id", "ParentId", "AppRoleName", "Name", "Kind", "Release", "ResultCode", "DurationMs", "Success"} {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("reading a trace: column %s is missing", name)
		}
	}
	out := make([]span, b.Rows())
	for i := range out {
		out[i] = span{
			id: at["Id"].Text[i], parent: at["ParentId"].Text[i], role: at["AppRoleName"].Text[i], name: at["Name"].Text[i], kind: at["Kind"].Text[i],
			release: at["Release"].Text[i], code: at["ResultCode"].Text[i], start: at[table.TimeGenerated].Int[i], took: at["DurationMs"].Real[i],
			failed: !at["Success"].IsNull(i) && at["Success"].Int[i] == 0,
		}
	}
	return out, nil
}

// words numbers the words of one column.
type words struct {
	list []string
	of   map[string]int
}

func (w *words) number(s string) int {
	n, ok := w.of[s]
	if !ok {
		if w.of == nil {
			w.of = map[string]int{}
		}
		n = len(w.list)
		w.of[s], w.list = n, append(w.list, s)
	}
	return n
}

// build puts spans in the order of their tree. A span whose parent is not stored, and one
// that is its own ancestor, is a root.
func build(spans []span) *Trace {
	slices.SortStableFunc(spans, func(x, y span) int { return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(y.took, x.took)) })
	index := make(map[string]int, len(spans))
	for i, s := range spans {
		if _, ok := index[s.id]; !ok {
			index[s.id] = i
		}
	}
	var roots []int
	for i := range spans {
		if p, ok := index[spans[i].parent]; ok && p != i && spans[i].parent != "" {
			spans[p].children = append(spans[p].children, i)
		} else {
			roots = append(roots, i)
		}
	}
	l := newLayout(spans)
	for _, r := range roots {
		l.walk(r)
	}
	// What is left hangs in a ring of parents.
	for i := range spans {
		l.walk(i)
	}
	critical(spans, roots, l.placed, l.Critical)
	l.Roles, l.Names, l.Types, l.Releases = l.roles.list, l.names.list, l.types.list, l.releases.list
	return l.Trace
}

// layout is a trace that is being made.
type layout struct {
	*Trace
	spans                         []span
	placed                        []int // by span, -1 while it has no place
	roles, names, types, releases words
}

func newLayout(spans []span) *layout {
	n := len(spans)
	l := &layout{spans: spans, placed: make([]int, n), Trace: &Trace{
		Spans: n, SpanID: make([]string, 0, n), Parent: make([]int, 0, n), Depth: make([]int, 0, n), Offset: make([]float64, 0, n), Took: make([]float64, 0, n),
		Role: make([]int, 0, n), Name: make([]int, 0, n), Type: make([]int, 0, n), Release: make([]int, 0, n), Failed: make([]bool, 0, n),
		Code: make([]string, 0, n), Critical: make([]bool, n),
	}}
	last := int64(0)
	for i, s := range spans {
		l.placed[i], last = -1, max(last, s.end())
	}
	l.Start, l.Duration = table.TimeOf(spans[0].start), float64(last-spans[0].start)/ticksPerMilli
	return l
}

// walk places a span and what hangs under it, parents before children. It keeps its own
// stack: a trace may be as deep as it has spans.
func (l *layout) walk(root int) {
	type visit struct{ span, parent, depth int }
	stack := []visit{{root, -1, 0}}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if l.placed[v.span] >= 0 {
			continue
		}
		s := &l.spans[v.span]
		place := len(l.SpanID)
		l.placed[v.span] = place
		l.SpanID, l.Parent, l.Depth = append(l.SpanID, s.id), append(l.Parent, v.parent), append(l.Depth, v.depth)
		l.Offset, l.Took = append(l.Offset, float64(s.start-l.spans[0].start)/ticksPerMilli), append(l.Took, s.took)
		l.Role, l.Name = append(l.Role, l.roles.number(s.role)), append(l.Name, l.names.number(s.name))
		l.Type, l.Release = append(l.Type, l.types.number(s.kind)), append(l.Release, l.releases.number(s.release))
		l.Failed, l.Code = append(l.Failed, s.failed), append(l.Code, s.code)
		if s.failed {
			l.Errors++
		}
		for i := len(s.children) - 1; i >= 0; i-- {
			stack = append(stack, visit{s.children[i], place, v.depth + 1})
		}
	}
}

const ticksPerMilli = table.TicksPerSecond / 1000

func (s span) end() int64 { return s.start + int64(s.took*ticksPerMilli) }

// critical marks the path that the first root waited for: from its end backwards, always
// the child that ended last before that point.
func critical(spans []span, roots, placed []int, out []bool) {
	if len(roots) == 0 {
		return
	}
	queue := []int{roots[0]}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if out[placed[i]] {
			continue
		}
		out[placed[i]] = true
		children := slices.Clone(spans[i].children)
		slices.SortFunc(children, func(x, y int) int { return cmp.Compare(spans[y].end(), spans[x].end()) })
		until := spans[i].end()
		for _, c := range children {
			// A child that ends after its parent was not waited for.
			if spans[c].end() <= until {
				queue, until = append(queue, c), spans[c].start
			}
		}
	}
}

// Span is one span with everything that is known of it.
type Span struct {
	Table      string          `json:"table"`
	Time       time.Time       `json:"time"`
	Properties json.RawMessage `json:"properties,omitempty"`
	Fields     map[string]any  `json:"fields" doc:"every other column that has a value"`
	Records    []Record        `json:"records" doc:"log records and exceptions of the span"`
}

// Record is a log record or an exception that belongs to a span.
type Record struct {
	Time    time.Time `json:"time"`
	Table   string    `json:"table"`
	Type    string    `json:"type,omitempty"`
	Message string    `json:"message"`
	Details any       `json:"details,omitempty"`
}

// Span returns one span of a trace with its attributes, records and exceptions.
func (s *Service) Span(ctx context.Context, a identity.Actor, in Scope, trace, id string) (*Span, error) {
	if err := s.require(ctx, a, in); err != nil {
		return nil, err
	}
	if !traceID.MatchString(trace) || !spanID.MatchString(id) {
		return nil, fault.New(fault.Invalid, "%q is not a span of %q.", id, trace).WithNext("give 32 and 16 hexadecimal digits")
	}
	var out *Span
	for _, name := range []string{table.AppRequests, table.AppDependencies} {
		r, err := s.run(ctx, a, Question{Scope: in, Text: fmt.Sprintf(`%s | where OperationId == "%s" and Id == "%s" | take 1`, name, trace, id)})
		if err != nil {
			return nil, err
		}
		if r.Batch.Rows() == 1 {
			out = spanOf(name, r.Batch)
			break
		}
	}
	if out == nil {
		return nil, fault.New(fault.NotFound, "The trace %s has no span %s.", trace, id)
	}
	r, err := s.run(ctx, a, Question{Scope: in, MaxRows: 200, Text: fmt.Sprintf(`let e = AppExceptions | where OperationId == "%[1]s" and ParentId == "%[2]s"
  | project TimeGenerated, Table = "AppExceptions", Kind = ExceptionType, Text = Message, Details;
let t = AppTraces | where OperationId == "%[1]s" and ParentId == "%[2]s"
  | project TimeGenerated, Table = "AppTraces", Kind = "", Text = Message, Details = Properties;
union e, t | sort by TimeGenerated asc`, trace, id)})
	if err != nil {
		return nil, err
	}
	out.Records = []Record{}
	b := r.Batch
	for i := range b.Rows() {
		cell := func(name string) table.Vector { return b.Vectors[b.Index(name)] }
		out.Records = append(out.Records, Record{
			Time: table.TimeOf(cell(table.TimeGenerated).Int[i]), Table: cell("Table").Text[i], Type: cell("Kind").Text[i],
			Message: cell("Text").Text[i], Details: Cell(cell("Details"), i),
		})
	}
	return out, nil
}

func spanOf(name string, b *table.Batch) *Span {
	out := &Span{Table: name, Fields: map[string]any{}}
	for k, c := range b.Columns {
		v := Cell(b.Vectors[k], 0)
		switch {
		case v == nil || v == "":
		case c.Name == table.TimeGenerated:
			out.Time = table.TimeOf(b.Vectors[k].Int[0])
		case c.Name == "Properties":
			out.Properties, _ = v.(json.RawMessage)
		default:
			out.Fields[c.Name] = v
		}
	}
	return out
}
