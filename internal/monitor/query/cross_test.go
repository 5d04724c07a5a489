//go:build cgo

package query_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// crossed returns expressions: every operator with every column and every value.
func crossed() (tables []string, expressions [][]string) {
	needles := []string{
		"error", "Error", "disk", "DISK", "K", "k", "i", "s", "S", "ß", "ẞ", "é", "É", "ſ", "\u212A", "\u0130", "a", " ", "  ", "-", "_", "cart", "cart-", "-0", "0", "art", "'", "\"", "\\", "\n", "\t",
		"%", "a_b", "100%", "“", "error”", "\u00A0", "null", "42", "true", "{", "}", "level", "\"level\"", "nerror", "n", "took 12", "12 ms", "ok", "straße", "STRASSE", "o", "refused", "used", "(", "[", ".", ".*", "$", "^", "é-error-é", "東", "x\u0301", "level\":\"error", "level\": \"error", "two words", "2.5", "éA/b", "&", "<'", "[1,",
	}
	operators := []string{
		"has", "has_cs", "contains", "contains_cs", "startswith", "startswith_cs", "endswith", "endswith_cs", "hasprefix", "hasprefix_cs", "hassuffix", "hassuffix_cs", "=~", "==",
	}
	var text []string
	for _, op := range operators {
		for _, n := range needles {
			column := "LogMessage"
			if op == "==" || op == "=~" {
				column = "tostring(LogMessage)"
			}
			text = append(text, column+" "+op+" "+strconv.Quote(n))
			if op != "has_cs" {
				text = append(text, "PodName "+op+" "+strconv.Quote(n))
			}
		}
	}
	for _, op := range []string{"!has", "!contains", "!startswith", "!endswith", "!hasprefix", "!hassuffix", "!~", "!="} {
		for _, n := range needles[:12] {
			text = append(text, "PodName "+op+" "+strconv.Quote(n))
		}
	}
	return []string{"ContainerLogV2", "AppRequests"}, [][]string{text, numbers()}
}

func numbers() []string {
	var out []string
	columns := []string{"ItemCount", "DurationMs", "tolong(ItemCount)", "strlen(Name)", "toint(ResultCode)"}
	values := []string{"0", "1", "-1", "2.5", "-0.0", "100", "3000000000", "12.5", "ItemCount", "DurationMs", "9223372036854775807"}
	for _, a := range columns {
		for _, b := range values {
			for _, op := range []string{"==", "!=", "<", "<=", ">", ">="} {
				out = append(out, a+" "+op+" "+b, "not("+a+" "+op+" "+b+")", b+" "+op+" "+a)
			}
		}
		for _, b := range []string{"1", "3", "-4", "2.5", "0.1", "ItemCount", "DurationMs"} {
			for _, op := range []string{"+", "-", "*", "/"} {
				out = append(out, a+" "+op+" "+b, b+" "+op+" "+a)
			}
		}
		for _, size := range []string{"1", "3", "7", "100"} {
			out = append(out, "bin("+a+", "+size+")", "("+a+") % "+size)
		}
		out = append(out, "isnull("+a+")", "coalesce("+a+", 5)", "iff("+a+" > 1, "+a+", "+a+" * 2)", "abs("+a+")", "-("+a+")")
	}
	for _, a := range []string{"Success", "ItemCount > 1", "DurationMs > 50", "Name == \"GET /\"", "isnull(ItemCount)", "Success == (ItemCount > 1)", "Success != (DurationMs > 50)"} {
		for _, b := range []string{"Success", "ItemCount > 1", "DurationMs < 50", "true", "false"} {
			out = append(out, a+" and "+b, a+" or "+b, "not("+a+" and "+b+")", "not("+a+" or not("+b+"))", "iff("+a+" and "+b+", 1, 2)")
		}
	}
	for _, unit := range []string{"1s", "7m", "1h", "1d", "7d", "10000d"} {
		out = append(out, "bin(TimeGenerated, "+unit+")", "TimeGenerated + "+unit, "TimeGenerated - "+unit, "bin(_TimeReceived - TimeGenerated, "+unit+")", "(TimeGenerated - _TimeReceived) / "+unit,
			"TimeGenerated - 1000 * "+unit, "_TimeReceived > ago("+unit+")", "_TimeReceived between (ago("+unit+") .. now())")
	}
	for _, path := range []string{"user", "n", "list", "list[0]", "list[1]", "list[7]", "deep", "deep.er", "deep.er.z", "text", "missing", "missing.too", `["user"]`} {
		member := "Properties." + path
		if path[0] == '[' {
			member = "Properties" + path
		}
		out = append(out, "tostring("+member+")", "toint("+member+")", "tolong("+member+")", "todouble("+member+")", "isempty(tostring("+member+"))")
	}
	return out
}

// TestEveryOperatorWithEveryValue computes thousands of expressions over awkward rows, in
// the engine and in the executor.
func TestEveryOperatorWithEveryValue(t *testing.T) {
	batches, tables := sample(7, 300)
	engine := newDuck(t, batches...)
	everyOperator(t, query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: engine}), tables, func() error {
		defer func() { engine.failed = nil }()
		return engine.failed
	})
}

// everyOperator asks a runner; failed returns the last error of its engine.
func everyOperator(t *testing.T, r *query.Runner, tables map[string]*table.Batch, failed func() error) {
	t.Helper()
	names, all := crossed()
	for i, expressions := range all {
		// One that stays keeps its neighbours in the executor too: those stand together.
		slices.SortStableFunc(expressions, func(a, b string) int {
			return map[bool]int{true: 1}[stays(a)] - map[bool]int{true: 1}[stays(b)]
		})
		for some := range slices.Chunk(expressions, 40) {
			parts := []string{"Raw = " + map[string]string{"ContainerLogV2": "LogMessage", "AppRequests": "Id"}[names[i]]}
			for k, e := range some {
				parts = append(parts, fmt.Sprintf("c%d = %s", k, e))
				if one := names[i] + " | project " + e; !stays(e) && !pushedWhole(t, one, query.Ask{}, tables) {
					t.Errorf("%s is not pushed", one)
				}
			}
			ask := query.Ask{Text: names[i] + " | project " + strings.Join(parts, ", "), Project: "shop", MaxRows: 10_000}
			want, err := reference(t.Context(), ask.Text, ask, tables)
			if err != nil {
				t.Fatalf("%s\n%v", ask.Text, err)
			}
			got, err := r.Run(t.Context(), ask)
			if engine := failed(); err != nil || engine != nil {
				t.Errorf("%v\n%v", err, engine)
				continue
			}
			for k, e := range some {
				sameColumn(t, names[i]+": "+e, want, got.Batch, k+1)
			}
		}
	}
}

// stays reports whether an expression is left to the executor: letters beyond ASCII fold in
// ways of their own with =~, and no engine has Kusto's remainder of reals.
func stays(e string) bool {
	beyond := strings.ContainsFunc(e, func(r rune) bool { return r > '~' }) || strings.Contains(e, `\u`)
	return beyond && (strings.Contains(e, " =~ ") || strings.Contains(e, " !~ ")) || strings.Contains(e, "(DurationMs) %")
}

// sameColumn compares one column, each value beside the first column of its row, because
// engines may keep rows in an order of their own.
func sameColumn(t *testing.T, what string, want, got *table.Batch, column int) {
	t.Helper()
	if want.Columns[column] != got.Columns[column] || want.Rows() != got.Rows() {
		t.Errorf("%s: %v with %d rows, not %v with %d", what, got.Columns[column], got.Rows(), want.Columns[column], want.Rows())
		return
	}
	w, g := lines(only(want, 0, column)), lines(only(got, 0, column))
	slices.Sort(w)
	slices.Sort(g)
	for i := range w {
		if w[i] != g[i] {
			t.Errorf("%s\n  executor %s\n  engine   %s", what, w[i], g[i])
			return
		}
	}
}

// only keeps some columns.
func only(b *table.Batch, columns ...int) *table.Batch {
	out := &table.Batch{}
	for _, c := range columns {
		out.Columns, out.Vectors = append(out.Columns, b.Columns[c]), append(out.Vectors, b.Vectors[c])
	}
	return out
}
