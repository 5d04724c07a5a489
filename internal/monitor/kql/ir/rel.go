package ir

import "towpath.dev/towpath/internal/monitor/table"

// Rel is a table-valued operator.
type Rel interface {
	Columns() []table.Column
	Where() Span
}

// Out holds the result schema of an operator; every operator embeds it.
type Out struct {
	At
	Cols []table.Column
}

// Columns returns the result schema.
func (o Out) Columns() []table.Column { return o.Cols }

// Scan reads a table of the catalogue; Cols are all its columns.
type Scan struct {
	Out
	Table string
}

// Given is a table that lies there already. The binder never makes one: the planner puts
// it in the place of a sub-tree that an engine answers, and fills in Batch before the
// executor begins. The columns of Batch are Cols, in order.
type Given struct {
	Out
	Batch *table.Batch
}

// Rows is datatable, print and other constants. Each row has a Lit or another constant
// expression per column.
type Rows struct {
	Out
	Rows [][]Expr
}

// Range is the range operator: one column.
type Range struct {
	Out
	From, To, Step Expr
}

// Shared is a table that is computed once per query, whatever number of times it is used:
// equal ID means the same table.
type Shared struct {
	Out
	ID int
	In Rel
}

// Filter keeps the rows for which Pred is true.
type Filter struct {
	Out
	In   Rel
	Pred Expr
}

// Project makes one column per expression: extend, project, project-away, -keep, -rename
// and -reorder all arrive as this.
type Project struct {
	Out
	In    Rel
	Exprs []Named
}

// Summarize groups by Keys and makes the keys' columns, then those of the aggregates.
// Without keys there is exactly one row. Distinct arrives as a Summarize without Aggs.
type Summarize struct {
	Out
	In   Rel
	Keys []Named
	Aggs []Agg
}

// SortKey is one key of an order.
type SortKey struct {
	Expr       Expr
	Asc        bool
	NullsFirst bool
}

// Sort orders rows; the result is serialized.
type Sort struct {
	Out
	In   Rel
	Keys []SortKey
}

// Serialize marks the order of the input as given, so that row_number and prev may be used.
type Serialize struct {
	Out
	In Rel
}

// Take keeps N rows, the first ones if the input is ordered. top arrives as Sort and Take.
type Take struct {
	Out
	In Rel
	N  Expr
}

// Sample keeps N random rows, or for SampleDistinct N random values of one column.
type Sample struct {
	Out
	In       Rel
	N        Expr
	Distinct Expr // nil for sample
}

// Join joins by equality. Kind is one of innerunique, inner, leftouter, rightouter,
// fullouter, leftsemi, rightsemi, leftanti, rightanti, lookup-inner, lookup-leftouter.
// LeftKeys and RightKeys are over the left and the right input. The result has the left
// columns, then the right ones (semi and anti: one side; lookup: without the right keys);
// Kusto's numbered names are in Cols already.
type Join struct {
	Out
	Kind                string
	Left, Right         Rel
	LeftKeys, RightKeys []Expr
}

// Union appends tables. Each input has been projected by the binder to Cols; the column of
// `withsource=`, if any, is in that projection.
type Union struct {
	Out
	Inputs []Rel
}

// Expand is mv-expand: each of Cells is expanded in step with the others; the rest of the
// row is repeated. IndexName is the column of with_itemindex, "" for none. The result has
// the columns of the input, an expanded one in the place of its source or at the end, as
// Kusto has it: Place[k] is the place of cell k in the result.
type Expand struct {
	Out
	In        Rel
	Cells     []Cell
	Index     int // place of the index column, -1 for none
	Limit     Expr
	ArrayMode bool // kind=array: a bag becomes [key, value] pairs
}

// Cell is one column of mv-expand or mv-apply: the array, the type to which each element is
// converted, and its place in the result.
type Cell struct {
	Expr  Expr
	To    table.Kind
	Place int
}

// Apply is mv-apply: for each row, the rows that Expand makes of it go through Sub, whose
// leaf is the Ref named Ref; the result has the columns of the input that are not expanded, then Sub's.
// Outer[k] is the place in the input of the k-th column that is kept.
type Apply struct {
	Out
	Expand *Expand
	Ref    int
	Sub    Rel
	Outer  []int
}

// Ref is the table that an enclosing operator (Apply, Partition) puts in.
type Ref struct {
	Out
	ID int
}

// Partition splits the input by a key and runs Sub on each part; leaf as in Apply.
type Partition struct {
	Out
	In  Rel
	By  Expr
	Ref int
	Sub Rel
}

// Parse is parse, parse-where and their kinds. Kind is simple, relaxed or regex. Parts
// alternate as written.
type Parse struct {
	Out
	In    Rel
	Expr  Expr
	Kind  string
	Flags string // of regex
	Must  bool   // parse-where: rows that do not match are dropped
	Parts []Part
}

// Part is a piece of a parse pattern: a text, a star, or a column.
type Part struct {
	Text  string
	Star  bool
	Place int // of the column in the result, -1 for a text or a star
	To    table.Kind
}

// ParseKV is parse-kv: Keys[k] is the key whose value goes into column Places[k].
type ParseKV struct {
	Out
	In                         Rel
	Expr                       Expr
	Keys                       []string
	Places                     []int
	PairDelimiter, KVDelimiter string
	Quotes                     []string // opening and closing, in turns
	Escape                     string
	Greedy                     bool
}

// MakeSeries is make-series. The result has the keys, the axis, then the aggregates, each
// an array. From and To are nil when they follow from the data.
type MakeSeries struct {
	Out
	In             Rel
	Keys           []Named
	Axis           Named
	From, To, Step Expr
	Aggs           []Agg
	Defaults       []Expr // one per aggregate, nil for the default of its type
	NonEmpty       bool   // kind=nonempty
}

// TopNested is top-nested: levels from the outside in.
type TopNested struct {
	Out
	In     Rel
	Levels []Level
}

// Level is one level of top-nested. N is nil for all. Others is nil without "with others".
type Level struct {
	N      Expr
	By     Named
	Agg    Agg
	Asc    bool
	Others Expr
}

// TopHitters is top-hitters, computed exactly.
type TopHitters struct {
	Out
	In     Rel
	N      Expr
	Of, By Expr // By is nil for count
}

// Reduce is reduce by: the executor's log patterns.
type Reduce struct {
	Out
	In        Rel
	Expr      Expr
	Threshold Expr
	Chars     string
}

// Evaluate is a plugin: pivot, bag_unpack, narrow and others that return a table.
//
// The input of pivot is a Summarize of three parts: the columns that stay, then $pivot, the
// column whose values become columns, and $value, what stands under them; its one argument
// is what stands where there are no rows.
// The Args of bag_unpack are always four: the bag, the prefix, what to do where names clash
// ("error", "replace_source", "keep_source"), and an array of keys to leave out, or null.
type Evaluate struct {
	Out
	In     Rel
	Plugin string
	Args   []Expr
	// Open is true when Cols cannot be known before the data is (pivot without a schema);
	// the executor's result then has other columns than Cols.
	Open bool
}

// ScanSteps is the scan operator. The result has the columns of the input, those declared,
// and with MatchID a last one of type long that numbers the matches from zero.
type ScanSteps struct {
	Out
	In      Rel
	Declare []Named
	Steps   []Step
	MatchID bool
}

// Step is one step of the scan operator. Conditions and assignments see the columns of the
// input, then the declared ones; StepCol names a column of the state of a step.
type Step struct {
	Name     string
	Optional bool
	Output   string // all, last, none
	Cond     Expr
	Assign   map[int]Expr // place among the declared columns
}
