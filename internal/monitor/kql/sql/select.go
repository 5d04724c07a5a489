package sql

import (
	"fmt"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

// refusal says why something stays in the executor.
type refusal struct {
	what string
	at   ir.Span
}

func (r *refusal) Error() string { return r.what }

func refuse(at ir.Span, format string, args ...any) error {
	return &refusal{what: fmt.Sprintf(format, args...), at: at}
}

// cell is an SQL expression that makes one column.
type cell struct {
	sql  string
	kind table.Kind
	// plain is a column of the FROM: cheap to write twice.
	plain bool
	// null is true when it may be NULL. Text never is: its null is ''.
	null bool
	// dead columns are not made, because nothing reads them.
	dead bool
}

// block is one SELECT in the making.
type block struct {
	cells   []cell
	names   []string // one per cell
	from    string
	where   []string
	grouped bool
	group   []string
	order   []string
	limit   int64 // -1 is none
	// time is TimeGenerated of the only scan, "" when there is none: each row of the block
	// is one of the scan, and the expression is its time.
	time string
}

// ordered reports whether the rows have an order that an operator above may rely on.
func (b *block) ordered() bool { return len(b.order) > 0 }

// closed reports whether a condition on its rows can no longer stand in its WHERE.
func (b *block) closed() bool { return b.grouped || b.limit >= 0 }

// text writes the statement, with only the columns that are read.
func (b *block) text() string {
	var s strings.Builder
	s.WriteString("SELECT ")
	any := false
	for i, c := range b.cells {
		if c.dead {
			continue
		}
		if any {
			s.WriteString(", ")
		}
		any = true
		s.WriteString(c.sql + " AS " + b.names[i])
	}
	if !any {
		s.WriteString("1 AS rows_")
	}
	s.WriteString(" FROM " + b.from)
	if len(b.where) > 0 {
		s.WriteString(" WHERE " + strings.Join(b.where, " AND "))
	}
	if len(b.group) > 0 {
		s.WriteString(" GROUP BY " + strings.Join(b.group, ", "))
	}
	if len(b.order) > 0 {
		s.WriteString(" ORDER BY " + strings.Join(b.order, ", "))
	}
	if b.limit >= 0 {
		fmt.Fprintf(&s, " LIMIT %d", b.limit)
	}
	return s.String()
}

var simpleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,60}$`)

// namesOf returns a quoted name for each column: its own where that is a simple word that
// no other column shares when case is folded, because DuckDB folds it even in quotes;
// otherwise a number.
func namesOf(cols []table.Column) []string {
	out, seen := make([]string, len(cols)), map[string]bool{}
	for i, c := range cols {
		name := c.Name
		if low := strings.ToLower(name); !simpleName.MatchString(name) || seen[low] {
			name = fmt.Sprintf("column %d", i+1)
		} else {
			seen[low] = true
		}
		out[i] = `"` + name + `"`
	}
	return out
}

// alias returns a new name for a FROM.
func (e *emitter) alias() string {
	e.aliases++
	return fmt.Sprintf("t%d", e.aliases)
}

// nest makes the block the FROM of a new one.
func (e *emitter) nest(b *block) *block {
	t := e.alias()
	out := &block{names: b.names, from: "(" + b.text() + ") AS " + t, limit: -1, cells: make([]cell, len(b.cells))}
	for i, c := range b.cells {
		out.cells[i] = cell{sql: t + "." + b.names[i], kind: c.kind, plain: true, null: c.null, dead: c.dead}
		if c.sql == b.time && !c.dead && !b.closed() {
			out.time = out.cells[i].sql
		}
	}
	return out
}

// newest says that the block gives the newest rows, nil when it does not: the order begins
// with the time, the latest first. A row without a time, which would come last, is nowhere
// in a scan.
func (b *block) newest() *lake.Newest {
	if b.time == "" || b.grouped || len(b.order) == 0 {
		return nil
	}
	if k := b.order[0]; k != b.time+" DESC" && k != b.time+" DESC NULLS LAST" {
		return nil
	}
	times := &block{cells: []cell{{sql: b.time}}, names: []string{`"time"`}, from: b.from, where: b.where, limit: -1}
	return &lake.Newest{SQL: times.text(), Rows: max(0, b.limit)}
}

// rel writes an operator and everything below it. used are the columns of r that are read
// above; conds are conditions on them that hold for every row that matters above.
func (e *emitter) rel(r ir.Rel, used live, conds []ir.Expr) (*block, error) {
	if err := e.failed[r]; err != nil {
		return nil, err
	}
	b, err := e.op(r, used, conds)
	if err != nil {
		e.failed[r] = err
		return nil, err
	}
	b.names = namesOf(r.Columns())
	for i := range b.cells {
		if !used.has(i) {
			b.cells[i].dead = true
		}
	}
	return b, nil
}

func (e *emitter) op(r ir.Rel, used live, conds []ir.Expr) (*block, error) {
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > maxDepth {
		return nil, refuse(r.Where(), "a query nested more than %d deep", maxDepth)
	}
	switch r := r.(type) {
	case *ir.Scan:
		return e.scan(r, used, conds)
	case *ir.Rows:
		return e.rows(r)
	case *ir.Shared:
		if e.barrier[r.ID] {
			return nil, refuse(r.Where(), "a table that must be computed once")
		}
		return e.rel(r.In, used, conds)
	case *ir.Filter:
		return e.filter(r, used, conds)
	case *ir.Project:
		return e.project(r, used, conds)
	case *ir.Summarize:
		return e.summarize(r, used, conds)
	case *ir.Sort:
		return e.sort(r, used, conds)
	case *ir.Take:
		return e.take(r, used)
	case *ir.Union:
		return e.union(r, used, conds)
	case *ir.Join:
		return e.join(r, used, conds)
	}
	return nil, refuse(r.Where(), "operator %T", r)
}

func (e *emitter) scan(r *ir.Scan, used live, conds []ir.Expr) (*block, error) {
	if e.o.Virtual(r.Table) {
		return nil, refuse(r.Where(), "table %s does not lie in the engine", r.Table)
	}
	t := e.alias()
	s := e.hints(r, conds)
	s.Name = fmt.Sprintf("s%d", len(e.scans)+1)
	b := &block{from: `"` + s.Name + `" AS ` + t, limit: -1, cells: make([]cell, len(r.Cols))}
	s.Columns = []string{}
	for i, c := range r.Cols {
		b.cells[i] = cell{sql: t + `."` + c.Name + `"`, kind: c.Kind, plain: true, null: !textual(c.Kind), dead: !used.has(i)}
		if c.Name == table.TimeGenerated {
			b.time = b.cells[i].sql
		}
		if used.has(i) {
			s.Columns = append(s.Columns, c.Name)
		}
	}
	e.scans = append(e.scans, s)
	return b, nil
}

func textual(k table.Kind) bool { return k == table.String || k == table.GUID || k == table.Dynamic }

// rows writes constants, a few of them.
func (e *emitter) rows(r *ir.Rows) (*block, error) {
	if len(r.Rows) == 0 || len(r.Rows) > maxRows {
		return nil, refuse(r.Where(), "a table of %d constant rows", len(r.Rows))
	}
	names, selects := namesOf(r.Cols), make([]string, len(r.Rows))
	for i, row := range r.Rows {
		parts := make([]string, len(row))
		for k, x := range row {
			c, err := e.constant(x)
			if err != nil {
				return nil, err
			}
			parts[k] = c.sql + " AS " + names[k]
		}
		selects[i] = "SELECT " + strings.Join(parts, ", ")
	}
	t := e.alias()
	b := &block{from: "(" + strings.Join(selects, " UNION ALL ") + ") AS " + t, limit: -1}
	for k, c := range r.Cols {
		b.cells = append(b.cells, cell{sql: t + "." + names[k], kind: c.Kind, plain: true, null: !textual(c.Kind)})
	}
	return b, nil
}

func (e *emitter) filter(r *ir.Filter, used live, conds []ir.Expr) (*block, error) {
	in, err := e.rel(r.In, needs(r, 0, used), append(conjuncts(r.Pred), conds...))
	if err != nil {
		return nil, err
	}
	if in.closed() {
		if in.ordered() {
			return nil, refuse(r.Where(), "a condition after the first rows of an order")
		}
		in = e.nest(in)
	}
	if !in.ordered() && !allPlain(in, r.Pred) {
		in = e.nest(in)
	}
	for _, c := range conjuncts(r.Pred) {
		p, err := e.truth(c, in.cells)
		if err != nil {
			return nil, err
		}
		in.where = append(in.where, p)
	}
	return in, nil
}

// allPlain reports whether the expressions read only plain columns of the block.
func allPlain(b *block, es ...ir.Expr) bool {
	ok := true
	for _, x := range es {
		walkExpr(x, func(x ir.Expr) {
			if c, is := x.(*ir.Col); is && c.Index < len(b.cells) && !b.cells[c.Index].plain {
				ok = false
			}
		})
	}
	return ok
}

func (e *emitter) project(r *ir.Project, used live, conds []ir.Expr) (*block, error) {
	in, err := e.rel(r.In, needs(r, 0, used), projected(r, conds))
	if err != nil {
		return nil, err
	}
	var read []ir.Expr
	simple := true
	for i, x := range r.Exprs {
		if used.has(i) {
			read = append(read, x.Expr)
			_, col := x.Expr.(*ir.Col)
			simple = simple && col
		}
	}
	// What is computed below and read in an expression here would be written, and perhaps
	// computed, twice; an aggregate may not stand in every place where a column may.
	if !simple && !in.ordered() && in.limit < 0 && (in.grouped || !allPlain(in, read...)) {
		in = e.nest(in)
	} else if !simple && in.grouped {
		return nil, refuse(r.Where(), "an expression over ordered groups")
	}
	cells := make([]cell, len(r.Exprs))
	for i, x := range r.Exprs {
		if !used.has(i) {
			cells[i] = cell{kind: x.Expr.Kind(), dead: true}
			continue
		}
		c, err := e.expr(x.Expr, in.cells)
		if err != nil {
			return nil, err
		}
		cells[i] = c
	}
	in.cells = cells
	return in, nil
}

// projected turns conditions on the columns of a Project into conditions on its input,
// those that can be.
func projected(r *ir.Project, conds []ir.Expr) []ir.Expr {
	var out []ir.Expr
	for _, c := range conds {
		ok := true
		m := mapExpr(c, func(x ir.Expr) ir.Expr {
			col, is := x.(*ir.Col)
			if !is {
				return x
			}
			if col.Index >= len(r.Exprs) {
				ok = false
				return x
			}
			if _, plain := r.Exprs[col.Index].Expr.(*ir.Col); !plain {
				ok = false
				return x
			}
			return r.Exprs[col.Index].Expr
		})
		if ok {
			out = append(out, m)
		}
	}
	return out
}

func (e *emitter) union(r *ir.Union, used live, conds []ir.Expr) (*block, error) {
	var parts []string
	names := namesOf(r.Cols)
	for _, x := range r.Inputs {
		in, err := e.rel(x, used, conds)
		if err != nil {
			return nil, err
		}
		if in.limit < 0 {
			in.order = nil
		} else {
			in = e.nest(in)
		}
		in.names = names
		parts = append(parts, in.text())
	}
	if len(parts) == 0 {
		return nil, refuse(r.Where(), "a union of nothing")
	}
	t := e.alias()
	b := &block{from: "(" + strings.Join(parts, " UNION ALL ") + ") AS " + t, limit: -1}
	for i, c := range r.Cols {
		b.cells = append(b.cells, cell{sql: t + "." + names[i], kind: c.Kind, plain: true, null: !textual(c.Kind), dead: !used.has(i)})
	}
	return b, nil
}
