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
