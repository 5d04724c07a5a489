package sql

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

// ClickHouse is the dialect of the scale-out engine, version 24 and later. One limit is its
// own: a dynamic that holds a whole number of more than 64 bits is no JSON to it, so that
// its members are null.
func ClickHouse() Dialect { return click{} }

type click struct{}

func (click) Name() string { return "clickhouse" }

// Text escapes with backslashes, as ClickHouse's literals do.
func (click) Text(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func (click) Number(k table.Kind, v int64) string {
	switch k {
	case table.Bool:
		return strconv.FormatBool(v != 0)
	case table.Int:
		return fmt.Sprintf("toInt32(%d)", v)
	}
	return fmt.Sprintf("toInt64(%d)", v)
}

func (click) Real(v float64) string {
	switch {
	case math.IsNaN(v):
		return "nan"
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "(-inf)"
	}
	return "toFloat64('" + strconv.FormatFloat(v, 'g', -1, 64) + "')"
}

func (click) Null(k table.Kind) string { return "CAST(NULL AS " + sqltype.ClickHouse(k) + ")" }

func (click) Cast(x string, to table.Kind) string {
	return "CAST(" + x + " AS " + sqltype.ClickHouse(to) + ")"
}

// GiveUp: a branch is computed for all rows when the same expression stands elsewhere too.
func (click) GiveUp(k table.Kind, when string) string {
	return "CAST(throwIf(ifNull(" + when + ", 0), 'left to the executor') AS " + sqltype.ClickHouse(k) + ")"
}

func (click) Digits(x string) string { return "toString(" + x + ")" }
func (click) Lower(x string) string  { return "lowerUTF8(" + x + ")" }
func (click) Length(x string) string { return "CAST(lengthUTF8(" + x + ") AS Int64)" }

// Contains is a LIKE, for which the n-gram index of a column is asked.
func (d click) Contains(x, part string) string {
	return "(" + x + " LIKE " + d.Text("%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(part)+"%") + ")"
}

// ContainsFold looks into the lowered text, of which the n-gram index is.
func (d click) ContainsFold(x, part, _ string) string { return d.Contains(d.Lower(x), part) }

func (click) Starts(x, part string) string { return "startsWith(" + x + ", " + part + ")" }
func (click) Ends(x, part string) string   { return "endsWith(" + x + ", " + part + ")" }

// lines keeps a point from matching the end of a line, which it does by default.
func lines(pattern string) string { return "'(?-s)" + strings.TrimPrefix(pattern, "'") }

func (click) Matches(x, pattern string) string { return "match(" + x + ", " + lines(pattern) + ")" }

func (click) Extract(x, pattern string, group int) string {
	return fmt.Sprintf("regexpExtract(%s, %s, %d)", x, lines(pattern), group)
}

func (click) Substring(x, from, length string) string {
	if length == "" {
		return "substringUTF8(" + x + ", " + from + ")"
	}
	return "substringUTF8(" + x + ", " + from + ", " + length + ")"
}

func (click) Replace(x, old, with string) string {
	return "replaceAll(" + x + ", " + old + ", " + with + ")"
}

// constantDivisor is a number that is not zero.
var constantDivisor = regexp.MustCompile(`^(toInt(32|64)\()?-?[1-9][0-9]*\)?$`)

// Divide guards against zero, for which ClickHouse ends the query.
func (click) Divide(a, b string) string { return whole("intDiv", a, b) }
func (click) Modulo(a, b string) string { return whole("modulo", a, b) }

func whole(name, a, b string) string {
	if constantDivisor.MatchString(b) {
		return "CAST(" + name + "(" + a + ", toInt64(" + b + ")) AS Nullable(Int64))"
	}
	return "if(" + b + " = 0, NULL, CAST(" + name + "(" + a + ", toInt64(if(" + b + " = 0, 1, " + b + "))) AS Nullable(Int64)))"
}

func (click) Computed(x string) string { return x }

func (click) IsNaN(x string) string { return "isNaN(" + x + ")" }
func (click) Floor(x string) string { return "floor(" + x + ")" }

// steps writes a path: names, and places from one.
func (d click) steps(path []Step) string {
	var b strings.Builder
	for _, s := range path {
		if s.Name != nil {
			b.WriteString(", " + d.Text(*s.Name))
		} else {
			fmt.Fprintf(&b, ", %d", s.Index+1)
		}
	}
	return b.String()
}

// kind is the type at a path, "" where an element of what is no array is asked for: a
// number would take a member of an object by its place.
func (d click) kind(x string, path []Step) string {
	s := "toString(JSONType(" + x + d.steps(path) + "))"
	for i, p := range path {
		if p.Name == nil {
			s = "if(toString(JSONType(" + x + d.steps(path[:i]) + ")) = 'Array', " + s + ", '')"
		}
	}
	return s
}

func (d click) MemberText(x string, path []Step) string {
	p := d.steps(path)
	return "multiIf(" + d.kind(x, path) + " = 'String', JSONExtractString(" + x + p + "), " + d.kind(x, path) + " IN ('', 'Null'), '', JSONExtractRaw(" + x + p + "))"
}

func (d click) MemberType(x string, path []Step) string {
	return "transform(" + d.kind(x, path) + ", ['String', 'Int64', 'UInt64', 'Double', 'Bool', 'Object', 'Array', 'Null'], " +
		"['string', 'integer', 'big', 'real', 'bool', 'object', 'array', 'null'], '')"
}

func (click) Valid(x string) string         { return "isValidJSON(" + x + ")" }
func (click) Compact(x string) string       { return "JSONExtractRaw(" + x + ")" }
func (click) CountDistinct(x string) string { return "uniqExact(" + x + ")" }

// Quantile: of the exact quantiles of ClickHouse, the weighted one takes the nearest rank.
// A hair less than the share keeps a product that is whole from being rounded up.
func (click) Quantile(x, share string) string {
	p, _ := strconv.ParseFloat(share, 64)
	return fmt.Sprintf("quantileExactWeighted(%s)(%s, 1)", strconv.FormatFloat(max(0, p-1e-12), 'f', -1, 64), x)
}

func (click) Any(x string) string { return "any(" + x + ")" }

func (click) ArgBest(max bool, values []string, key, filter string) string {
	name := "argMin"
	if max {
		name = "argMax"
	}
	row := "tuple(" + strings.Join(values, ", ") + ")"
	return "if(count(" + key + ")" + filter + " = 0, any(" + row + ")" + filter + ", " + name + "(" + row + ", " + key + ")" + filter + ")"
}

func (click) Field(tuple string, n int) string {
	return fmt.Sprintf("tupleElement(%s, %d)", tuple, n+1)
}

func (click) Join(kind string) string {
	return map[string]string{"inner": "INNER JOIN", "left": "LEFT JOIN", "semi": "LEFT SEMI JOIN", "anti": "LEFT ANTI JOIN"}[kind]
}

func (click) Same(a, b string) string { return "isNotDistinctFrom(" + a + ", " + b + ")" }

// Result: comparisons make UInt8, counts UInt64, and so on.
func (click) Result(x string, k table.Kind) string {
	return "CAST(" + x + " AS " + sqltype.ClickHouse(k) + ")"
}

// Suffix sets what decides about meaning: nulls of outer joins, aggregates of nothing,
// names before aliases, and branches that are not taken are not computed.
func (click) Suffix() string {
	return " SETTINGS join_use_nulls = 1, aggregate_functions_null_for_empty = 1, prefer_column_name_to_alias = 1," +
		" short_circuit_function_evaluation = 'force_enable', union_default_mode = 'ALL', transform_null_in = 0"
}
