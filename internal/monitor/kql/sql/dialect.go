package sql

import "towpath.dev/towpath/internal/monitor/table"

// Dialect is how an engine spells what both can say. Arguments and results are SQL
// expressions of the types that package lake names; where the meaning of a function of an
// engine is not the one that is written here, the dialect spells out a longer one.
type Dialect interface {
	// Name is "duckdb" or "clickhouse".
	Name() string

	// Text writes a constant string. The string is valid UTF-8 without NUL.
	Text(s string) string
	// Number writes a constant of the kinds bool, int, long, datetime and timespan.
	Number(k table.Kind, v int64) string
	// Real writes a constant, infinities and NaN included.
	Real(v float64) string
	// Null writes the null of a kind; a string has none.
	Null(k table.Kind) string
	// Cast converts between bool, int, long and real, null to null. From real it cuts off
	// what is behind the point; what does not fit is an error of the engine or wraps.
	Cast(x string, to table.Kind) string
	// GiveUp is an expression that ends the query with an error, so that the executor answers
	// instead. It stands in a branch that is taken when the condition holds, and repeats it
	// for engines that may compute a branch that is not taken.
	GiveUp(k table.Kind, when string) string
	// Digits writes an integer as decimal text.
	Digits(x string) string

	// Lower folds case rune by rune; Length counts code points.
	Lower(x string) string
	Length(x string) string
	// Contains, Starts and Ends compare bytes; part of Contains is the text itself, not SQL.
	Contains(x, part string) string
	// ContainsFold is Contains of a part in lower-case ASCII whose letters stand in either
	// case; pattern is the same as a constant RE2 expression. It may hold for a letter beyond
	// ASCII too that is lowered to one of the part's.
	ContainsFold(x, part, pattern string) string
	Starts(x, part string) string
	Ends(x, part string) string
	// Matches looks for an RE2 expression anywhere in x; pattern is a constant.
	Matches(x, pattern string) string
	// Extract is the group of the first match, "" without one.
	Extract(x, pattern string, group int) string
	// Substring counts code points from one; length is "" for the rest.
	Substring(x, from, length string) string
	// Replace replaces every occurrence.
	Replace(x, old, with string) string

	// Divide and Modulo are integer operations that truncate toward zero; null for zero.
	Divide(a, b string) string
	Modulo(a, b string) string
	// Computed keeps the engine from moving what is computed to the other side of a
	// comparison, where it would not overflow.
	Computed(x string) string
	// IsNaN is about a real.
	IsNaN(x string) string
	// Floor rounds a real down, to a real.
	Floor(x string) string

	// MemberText is the text of a member of JSON text x, null or "" when there is none:
	// without quotes when it is a string, otherwise its JSON. MemberType is one
	// of the words string, integer, big (a whole number of more than 64 bits), real, bool,
	// null, object, array, or null.
	MemberText(x string, path []Step) string
	MemberType(x string, path []Step) string
	// Valid reports whether text is JSON. Compact writes JSON text without spaces, and its
	// strings with the fewest escapes.
	Valid(x string) string
	Compact(x string) string

	// CountDistinct, Quantile (nearest rank, share is a decimal in 0…1) and Any (a value
	// that is not null) are aggregates, behind which a FILTER may stand.
	CountDistinct(x string) string
	Quantile(x, share string) string
	Any(x string) string
	// ArgBest returns, for the row with the greatest (or least) key, the tuple of values;
	// of any row when all keys are null. Field takes the n-th of them, counted from zero.
	ArgBest(max bool, values []string, key, filter string) string
	Field(tuple string, n int) string

	// Join returns the words between two inputs: kind is inner, left, semi or anti.
	Join(kind string) string
	// Same compares, null equal to null, in the condition of a join.
	Same(a, b string) string
	// Result gives an expression of the outermost SELECT the exact type of its kind.
	Result(x string, k table.Kind) string
	// Suffix ends the whole statement.
	Suffix() string
}

// Step is a step of a path into JSON: a name, or with Name nil an index from zero.
type Step struct {
	Name  *string
	Index int64
}
