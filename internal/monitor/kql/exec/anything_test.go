package exec_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/exec"
)

// mixed is a table with a column of every type, nulls among the values.
const mixed = `datatable(s: string, i: int, l: long, r: real, d: dynamic, t: datetime, p: timespan, b: bool, g: guid) [
"", int(null), long(null), real(null), dynamic(null), datetime(null), timespan(null), bool(null), guid(null),
"abc", -1, 5, real(nan), dynamic([1, "x", null, 2.5]), datetime(0001-01-01), -1tick, true, guid(6f9619ff-8b86-d011-b42d-00cf4fc964ff),
"ü(", 2147483647, 9223372036854775807, real(+inf), dynamic({"k": {"v": [1]}}), datetime(9999-12-31 23:59:59.9999999), 10000000d, false, guid(00000000-0000-0000-0000-000000000000),
"1.2.3.4", 0, -9223372036854775807, -0.5, dynamic("text"), datetime(2024-02-29 12:00), 1h, true, guid(null)]
`

// columns that fit the type of a parameter.
func columnsFor(param string) []string {
	_, kind, _ := strings.Cut(strings.TrimSuffix(strings.TrimSuffix(param, "..."), "?"), ":")
	switch kind {
	case "string", "stringish":
		return []string{"s", "'a'", "d"}
	case "integer", "int", "long", "integerorarray":
		return []string{"l", "i", "2"}
	case "number", "real", "decimal", "summable", "orderable", "notreal", "numberorarray":
		return []string{"r", "l"}
	case "dynamic", "array", "bag":
		return []string{"d", "dynamic([1, 2, 3, 4])"}
	case "datetime":
		return []string{"t"}
	case "timespan":
		return []string{"p"}
	case "bool":
		return []string{"b"}
	case "guid":
		return []string{"g"}
	}
	return []string{"s", "l", "d", "t", "p", "b", "g", "r"}
}

// calls writes calls of a function with columns for its parameters.
func calls(f bind.Function) []string {
	out := []string{""}
	for _, p := range f.Params {
		var next []string
		for _, head := range out {
			for _, c := range columnsFor(p) {
				sep := ", "
				if head == "" {
					sep = ""
				}
				next = append(next, head+sep+c)
			}
		}
		if len(next) > 64 {
			next = next[:64]
		}
		out = next
	}
	for i := range out {
		out[i] = f.Name + "(" + out[i] + ")"
	}
	return out
}

// TestEveryFunctionTakesAnything runs each function over values of every kind, at the ends
// of their ranges and null, and over no rows. It must give a result or a refusal.
func TestEveryFunctionTakesAnything(t *testing.T) {
	ran := 0
	for _, f := range bind.Functions() {
		if f.Class == "plugin" {
			continue
		}
		list := calls(f)
		if f.Name == "range" { // each makes a million values
			list = list[:min(3, len(list))]
		}
		for _, call := range list {
			query := " | sort by l asc | extend x = " + call
			if f.Class == "aggregate" {
				query = " | summarize x = " + call + " by b"
			}
			for _, rows := range []string{mixed, mixed + " | where l == 77"} {
				q, errs := bind.Bind(rows+query, nothing{})
				if len(errs) > 0 {
					continue
				}
				ran++
				func() {
					defer func() {
						if p := recover(); p != nil {
							t.Errorf("%s: %v", call, p)
						}
					}()
					if b, err := exec.Run(t.Context(), q.Rel, exec.Env{Now: now}); err == nil {
						render(b)
					}
				}()
			}
		}
	}
	if ran < 1000 {
		t.Errorf("only %d calls bound", ran)
	}
}
