package query

import (
	"context"
	"slices"
	"sync"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/table"
)

// Memory holds rows of tables in this process and answers every scan by looking at each of
// them. It is a Virtual: a Runner that has no Engine and a Memory as its Tables answers
// every query with the executor alone, which is the meaning that a pushed query must keep.
// It is safe for concurrent use.
type Memory struct {
	mu     sync.RWMutex
	tables map[string]*table.Table
	rows   map[string][]*table.Batch
}

// NewMemory makes a Memory that holds batches of tables of the catalogue.
func NewMemory(batches ...*table.Batch) *Memory {
	m := &Memory{tables: map[string]*table.Table{}, rows: map[string][]*table.Batch{}}
	for _, t := range table.Catalog() {
		m.tables[t.Name] = t
	}
	for _, b := range batches {
		m.Add(b)
	}
	return m
}

// Add appends a batch. Columns of its table that it lacks are null, or "" for a string;
// columns that its table lacks are not kept.
func (m *Memory) Add(b *table.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[b.Table] = append(m.rows[b.Table], b)
}

// Rows returns the rows of a table that the scan asks for, in the order in which they were
// added. An open From or To is open.
func (m *Memory) Rows(ctx context.Context, v VirtualScan) (*table.Batch, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t, ok := m.tables[v.Table]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no table %s", v.Table)
	}
	out := &table.Batch{Table: t.Name, Columns: t.Columns, Vectors: make([]table.Vector, len(t.Columns))}
	for i, c := range t.Columns {
		out.Vectors[i].Kind = c.Kind
	}
	for _, b := range m.rows[v.Table] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		appendRows(out, b, v)
		if v.Limit > 0 && out.Rows() > v.Limit {
			return nil, fault.New(fault.TooLarge, "table %s has more than %d rows in the time asked for", v.Table, v.Limit).
				WithNext("narrow the time, or add a condition")
		}
	}
	return out, nil
}

// appendRows appends the rows of b that the scan asks for to out, which has all columns.
func appendRows(out, b *table.Batch, v VirtualScan) {
	var keep []int
	for i := range b.Rows() {
		if asked(b, i, v) {
			keep = append(keep, i)
		}
	}
	for i, c := range out.Columns {
		from := b.Index(c.Name)
		if from >= 0 && b.Columns[from].Kind != c.Kind {
			from = -1
		}
		if from < 0 {
			out.Vectors[i].AppendAll(table.Nulls(c.Kind, len(keep)))
			continue
		}
		out.Vectors[i].AppendAll(b.Vectors[from].Pick(keep))
	}
}

// asked reports whether row i of b is within the project, the time and the values of v.
func asked(b *table.Batch, i int, v VirtualScan) bool {
	if !v.All {
		at := b.Index(table.Project)
		if at < 0 || b.Vectors[at].Text[i] != v.Project {
			return false
		}
	}
	if at := b.Index(table.TimeGenerated); at >= 0 && (!v.From.IsZero() || !v.To.IsZero()) {
		t := b.Vectors[at]
		if t.IsNull(i) || (!v.From.IsZero() && t.Int[i] < table.TicksOf(v.From)) || (!v.To.IsZero() && t.Int[i] >= table.TicksOf(v.To)) {
			return false
		}
	}
	for name, values := range v.Equal {
		at := b.Index(name)
		if at >= 0 && b.Vectors[at].Text != nil && !slices.Contains(values, b.Vectors[at].Text[i]) {
			return false
		}
	}
	return true
}
