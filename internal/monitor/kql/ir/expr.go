package ir

import "towpath.dev/towpath/internal/monitor/table"

// Span is where something stands in the text: bytes, End exclusive.
type Span struct{ Start, End int }

// Expr is a scalar expression.
type Expr interface {
	Kind() table.Kind
	Where() Span
}

// At gives an expression or operator its place in the text.
type At struct{ Span Span }

// Where returns the place.
func (a At) Where() Span { return a.Span }

// Lit is a constant. Value is nil for null, bool, int64 (int, long, datetime and timespan
// in ticks), float64, string (string, guid, and dynamic as JSON).
type Lit struct {
	At
	K     table.Kind
	Value any
}

// Col is a column of the input, by its place.
type Col struct {
	At
	K     table.Kind
	Index int
	Name  string
}

// Call is a scalar function or operator. Func is Kusto's own name in lower case
// ("tolower", "bin", "iff") or its spelling of an operator: + - * / % unary- == != < <= >
// >= =~ !~ and or in !in in~ !in~ between !between has !has has_cs !has_cs contains
// !contains contains_cs !contains_cs startswith … endswith … hasprefix … hassuffix …
// has_any has_all "matches regex". Legacy names are replaced by the current ones, so that
// "notempty" arrives as "isnotempty". Two more: "." and "[]" take a member of a dynamic
// (arguments: the value, and a string or a long). The arguments of in and has_any are the
// value, then each element, or one dynamic array, or one Sub of one column.
type Call struct {
	At
	K    table.Kind
	Func string
	Args []Expr
}

// Sub is a table used as a scalar: toscalar(T), or the right side of `in (T)`.
type Sub struct {
	At
	K   table.Kind // of the first column
	Rel Rel
}

// Kind returns the type of the constant.
func (e Lit) Kind() table.Kind { return e.K }

// Kind returns the type of the column.
func (e Col) Kind() table.Kind { return e.K }

// Kind returns the type that the function returns for these arguments.
func (e Call) Kind() table.Kind { return e.K }

// Kind returns the type of the table's first column.
func (e Sub) Kind() table.Kind { return e.K }

// Named is an expression with the name of the column that it makes.
type Named struct {
	Name string
	Expr Expr
}

// Agg is an aggregate: Func is Kusto's own name in lower case, legacy names replaced
// ("take_any", "arg_max", "make_list"). If is the condition of the …if forms (countif
// arrives as count with If, sumif as sum with If, and so on), nil when there is none.
// An aggregate that makes several columns (arg_max, percentiles, take_any(*)) has a name
// for each; the k-th column is named Names[k] and has the type Kinds[k].
type Agg struct {
	At
	Func  string
	Args  []Expr
	If    Expr
	Names []string
	Kinds []table.Kind
}

// Nth is one of the values of a function that makes several columns: series_fit_line,
// series_fit_2lines, series_decompose, series_decompose_anomalies, series_stats,
// series_periods_detect. N counts from 0 in the order of the documentation. The
// expressions of one operator that stand for columns of one call share its Call, so that
// it is computed once.
type Nth struct {
	At
	K    table.Kind
	Call *Call
	N    int
}

// Kind returns the type of the value.
func (e Nth) Kind() table.Kind { return e.K }

// StepCol is `step.column` inside a scan operator.
type StepCol struct {
	At
	K     table.Kind
	Step  int
	Index int
}

// Kind returns the type of the column.
func (e StepCol) Kind() table.Kind { return e.K }
