package syntax

import "towpath.dev/towpath/internal/monitor/table"

// Option is name=value before an operator's arguments; the name may have dots.
type Option struct {
	At
	Name  string
	Value Expr
}

// Filter is where and filter.
type Filter struct {
	At
	Pred Expr
}

// Columns is project, project-away, project-keep, project-rename, project-reorder, extend,
// distinct, serialize and print, by Kind.
type Columns struct {
	At
	Kind  string
	List  []Expr
	Order []string // project-reorder: "", asc, desc, granny-asc, granny-desc; one per entry
}

// Count is count, with an optional name for the column.
type Count struct {
	At
	As *Ident
}

// Summarize is summarize.
type Summarize struct {
	At
	Options []Option
	Aggs    []Expr
	By      []Expr
	HasBy   bool
}

// Key is one key of an order. Nulls is "", first or last.
type Key struct {
	At
	Expr  Expr
	Order string // "", asc, desc
	Nulls string
}

// Sort is sort by and order by.
type Sort struct {
	At
	Options []Option
	Keys    []Key
}

// Top is top n by key.
type Top struct {
	At
	Options []Option
	N       Expr
	Key     Key
}

// Take is take, limit, sample and sample-distinct (Of).
type Take struct {
	At
	Kind string
	N    Expr
	Of   Expr
}

// Join is join and lookup.
type Join struct {
	At
	Lookup  bool
	Options []Option
	Right   Expr
	On      []Expr
}

// Union is union.
type Union struct {
	At
	Options []Option
	Tables  []Expr
}

// ParseText is parse and parse-where.
type ParseText struct {
	At
	Must    bool
	Options []Option
	Expr    Expr
	Parts   []Part
}

// Part is a piece of a pattern: a *Lit of type string, a *Star, or a column.
type Part struct {
	At
	Text   *Lit
	Star   bool
	Column *Ident
	Kind   table.Kind // of the column, Unknown when none is written
}

// ParseKV is parse-kv.
type ParseKV struct {
	At
	Expr    Expr
	Columns []Param
	Options []Option
}

// Expand is mv-expand and mv-apply; On is nil for mv-expand.
type Expand struct {
	At
	Apply   bool
	Options []Option
	Columns []ExpandColumn
	Limit   Expr
	On      Expr
}

// ExpandColumn is one column of mv-expand; Kind is Unknown without "to typeof(…)".
type ExpandColumn struct {
	At
	Expr Expr // may be *Named
	Kind table.Kind
}

// MakeSeries is make-series.
type MakeSeries struct {
	At
	Options        []Option
	Aggs           []SeriesAgg
	Axis           Expr
	From, To, Step Expr
	InRange        []Expr // the older form: in range(from, to, step)
	By             []Expr
}

// SeriesAgg is an aggregate of make-series with its default.
type SeriesAgg struct {
	At
	Expr    Expr
	Default Expr
}

// TopNested is top-nested.
type TopNested struct {
	At
	Levels []Level
}

// Level is one level of top-nested.
type Level struct {
	At
	N      Expr
	Of     Expr
	Others Expr
	By     Key
}

// TopHitters is top-hitters.
type TopHitters struct {
	At
	N, Of, By Expr
}

// As is as name.
type As struct {
	At
	Options []Option
	Name    Ident
}

// Evaluate is evaluate plugin(…) with an optional schema; Rest is true when the schema
// begins with a star.
type Evaluate struct {
	At
	Options []Option
	Call    *Call
	Schema  []Param
	Typed   bool
	Rest    bool
}

// Reduce is reduce by.
type Reduce struct {
	At
	By      Expr
	Options []Option
}

// Plain is an operator without arguments: getschema, consume.
type Plain struct {
	At
	Kind string
}

// Search is search.
type Search struct {
	At
	Options []Option
	Tables  []Expr
	Pred    Expr
}

// Find is find.
type Find struct {
	At
	Options []Option
	Tables  []Expr
	Pred    Expr
	Project []Expr // *Ident, *Path, or *Call pack(*)
	Kinds   []table.Kind
	Pack    bool
	Smart   bool
	Away    []Expr
}

// Range is range name from a to b step c.
type Range struct {
	At
	Name           Ident
	From, To, Step Expr
}

// Datatable is datatable (schema) [values].
type Datatable struct {
	At
	Columns []Param
	Values  []Expr
}

// Partition is partition by; Sub is a *Pipe without a source.
type Partition struct {
	At
	Options []Option
	By      Expr
	Sub     *Pipe
}

// Scan is scan.
type Scan struct {
	At
	Options []Option
	OrderBy []Key
	By      []Expr
	Declare []Param
	Steps   []Step
}

// Step is one step of scan.
type Step struct {
	At
	Name     Ident
	Optional bool
	Output   string
	Cond     Expr
	Assign   []Named
}

// Invoke is invoke f(…).
type Invoke struct {
	At
	Call *Call
}

// Render is render chart with (…).
type Render struct {
	At
	Chart   string
	Options []Option
}

// Refused is an operator that is known by name but not supported.
type Refused struct {
	At
	Name string
}
