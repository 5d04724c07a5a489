package sql

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

// DuckDB is the dialect of the lake.
func DuckDB() Dialect { return duck{} }

type duck struct{}

func (duck) Name() string { return "duckdb" }

// Text doubles quotes: a plain literal of DuckDB has no other escape.
func (duck) Text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (duck) Number(k table.Kind, v int64) string {
	switch k {
	case table.Bool:
		return strings.ToUpper(strconv.FormatBool(v != 0))
	case table.Int:
		return fmt.Sprintf("CAST(%d AS INTEGER)", v)
	}
	if v > math.MaxInt32 {
		return strconv.FormatInt(v, 10)
	}
	// A small literal would be an INTEGER, whose arithmetic overflows sooner.
	return fmt.Sprintf("CAST(%d AS BIGINT)", v)
}

// Real goes through text: a literal with a point is a DECIMAL, which rounds differently.
func (duck) Real(v float64) string {
	return "CAST('" + strconv.FormatFloat(v, 'g', -1, 64) + "' AS DOUBLE)"
}

func (duck) Null(k table.Kind) string { return "CAST(NULL AS " + sqltype.DuckDB(k) + ")" }

func (duck) Cast(x string, to table.Kind) string {
	return "CAST(" + x + " AS " + sqltype.DuckDB(to) + ")"
}

func (duck) GiveUp(k table.Kind, _ string) string {
	return "CAST(error('left to the executor') AS " + sqltype.DuckDB(k) + ")"
}

func (duck) Digits(x string) string           { return "CAST(" + x + " AS VARCHAR)" }
func (duck) Lower(x string) string            { return "lower(" + x + ")" }
func (duck) Length(x string) string           { return "length(" + x + ")" }
func (d duck) Contains(x, part string) string { return "contains(" + x + ", " + d.Text(part) + ")" }

// ContainsFold is an expression: lowering every text to look into it takes twice the time.
func (d duck) ContainsFold(x, _, pattern string) string { return d.Matches(x, pattern) }

func (duck) Starts(x, part string) string     { return "starts_with(" + x + ", " + part + ")" }
func (duck) Ends(x, part string) string       { return "suffix(" + x + ", " + part + ")" }
func (duck) Matches(x, pattern string) string { return "regexp_matches(" + x + ", " + pattern + ")" }

func (duck) Extract(x, pattern string, group int) string {
	return fmt.Sprintf("regexp_extract(%s, %s, %d)", x, pattern, group)
}

func (duck) Substring(x, from, length string) string {
	if length == "" {
		return "substring(" + x + ", " + from + ")"
	}
	return "substring(" + x + ", " + from + ", " + length + ")"
}

func (duck) Replace(x, old, with string) string {
	return "replace(" + x + ", " + old + ", " + with + ")"
}

func (duck) Divide(a, b string) string { return "(" + a + " // " + b + ")" }
func (duck) Modulo(a, b string) string { return "(" + a + " % " + b + ")" }

// Computed: `x + 1 < y` would become `x < y - 1`.
func (duck) Computed(x string) string { return "coalesce(" + x + ", NULL)" }

func (duck) IsNaN(x string) string { return "isnan(" + x + ")" }
func (duck) Floor(x string) string { return "floor(" + x + ")" }

func duckPath(path []Step) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, s := range path {
		if s.Name != nil {
			b.WriteString(`."` + *s.Name + `"`)
		} else {
			fmt.Fprintf(&b, "[%d]", s.Index)
		}
	}
	return duck{}.Text(b.String())
}

// duckJSON keeps "", the null of a dynamic, from the JSON reader, which refuses it.
func duckJSON(x string) string { return "nullif(" + x + ", '')" }

func (duck) MemberText(x string, path []Step) string {
	return "json_extract_string(" + duckJSON(x) + ", " + duckPath(path) + ")"
}

func (duck) MemberType(x string, path []Step) string {
	return "(CASE json_type(" + duckJSON(x) + ", " + duckPath(path) + ") WHEN 'VARCHAR' THEN 'string' WHEN 'BIGINT' THEN 'integer' WHEN 'UBIGINT' THEN 'integer'" +
		" WHEN 'HUGEINT' THEN 'big' WHEN 'DOUBLE' THEN 'real' WHEN 'BOOLEAN' THEN 'bool' WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'NULL' THEN 'null' END)"
}

func (duck) Valid(x string) string { return "json_valid(" + x + ")" }

func (duck) Compact(x string) string { return "CAST(json(" + x + ") AS VARCHAR)" }

func (duck) CountDistinct(x string) string { return "count(DISTINCT " + x + ")" }

// Quantile takes the share as a DECIMAL, with which ranks are counted in whole numbers.
func (d duck) Quantile(x, share string) string { return "quantile_disc(" + x + ", " + share + ")" }

func (duck) Any(x string) string { return "any_value(" + x + ")" }

func (duck) ArgBest(max bool, values []string, key, filter string) string {
	name := "arg_min"
	if max {
		name = "arg_max"
	}
	var fields []string
	for i, v := range values {
		fields = append(fields, fmt.Sprintf("'f%d': %s", i, v))
	}
	row := "{" + strings.Join(fields, ", ") + "}"
	return "coalesce(" + name + "(" + row + ", " + key + ")" + filter + ", any_value(" + row + ")" + filter + ")"
}

func (duck) Field(tuple string, n int) string { return fmt.Sprintf("%s.f%d", tuple, n) }

func (duck) Join(kind string) string {
	return map[string]string{"inner": "JOIN", "left": "LEFT JOIN", "semi": "SEMI JOIN", "anti": "ANTI JOIN"}[kind]
}

func (duck) Same(a, b string) string { return a + " IS NOT DISTINCT FROM " + b }

// Result has nothing to do: every expression has its type already.
func (duck) Result(x string, _ table.Kind) string { return x }

func (duck) Suffix() string { return "" }
