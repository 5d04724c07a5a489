package syntax

import "towpath.dev/towpath/internal/monitor/table"

// Node is a piece of the tree.
type Node interface {
	// Where returns the node's place in the text.
	Where() Span
}

// At gives a node its place.
type At struct{ Span Span }

// Where returns the place.
func (a At) Where() Span { return a.Span }

// Query is a text: its statements in order.
type Query struct {
	At
	Statements []Statement
}

// Statement is *Let, *Set, *Declare or *Ask.
type Statement interface{ Node }

// Let names an expression or a function.
type Let struct {
	At
	Name  Ident
	Value Expr
}

// Set is an option of the request; a value may be missing.
type Set struct {
	At
	Name  Ident
	Value Expr
}

// Declare is declare query_parameters.
type Declare struct {
	At
	Params []Param
}

// Ask is an expression as a statement: the question.
type Ask struct {
	At
	Expr Expr
}

// Expr is an expression, scalar or tabular.
type Expr interface{ Node }

// Ident is a name. Bracketed is true for ['…'].
type Ident struct {
	At
	Name      string
	Bracketed bool
}

// Wild is a pattern of names with stars: "App*".
type Wild struct {
	At
	Pattern string
}

// Star is * where a value is expected.
type Star struct{ At }

// Lit is a constant; Value as in ir.Lit. Dynamic holds JSON.
type Lit struct {
	At
	Kind  table.Kind
	Value any
}

// Unary is -x or +x.
type Unary struct {
	At
	Op string
	X  Expr
}

// Binary is x op y; Op is the operator's spelling, "matches regex" included.
type Binary struct {
	At
	Op     string
	OpSpan Span
	X, Y   Expr
}

// In is x op (a, b, …) for in, !in, in~, !in~, has_any and has_all.
type In struct {
	At
	Op   string
	X    Expr
	List []Expr
}

// Between is x between (lo .. hi).
type Between struct {
	At
	Not       bool
	X, Lo, Hi Expr
}

// Call is name(arguments). An argument may be a *Named. On is what stands before a dot, as
// in cluster("x").database("y"), and nil otherwise.
type Call struct {
	At
	On   Expr
	Name Ident
	Args []Expr
}

// Path is x.name.
type Path struct {
	At
	X    Expr
	Name Ident
}

// Index is x[i].
type Index struct {
	At
	X, I Expr
}

// Named is name = x, or (a, b) = x.
type Named struct {
	At
	Names []Ident // one, or as many as stand in the parentheses
	Tuple bool    // written in parentheses
	X     Expr
}

// Paren is an expression in parentheses.
type Paren struct {
	At
	X Expr
}

// TypeOf is typeof(…): one type, or columns.
type TypeOf struct {
	At
	Kind    table.Kind
	Columns []Param
}

// Param is a parameter of a function or a column of a schema. Table is true for a tabular
// parameter, whose Columns are nil for (*).
type Param struct {
	At
	Name    Ident
	Kind    table.Kind
	Table   bool
	Columns []Param
	Default Expr
}

// Func is a user function: (parameters) { statements }.
type Func struct {
	At
	View   bool
	Params []Param
	Body   *Query
}

// Pipe is a table expression: the source (nil when the first operator is one itself, as
// print and union are), then operators.
type Pipe struct {
	At
	Source Expr
	Ops    []Op
}

// Op is an operator of a pipe.
type Op interface{ Node }

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
