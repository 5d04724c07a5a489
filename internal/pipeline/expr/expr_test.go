package expr_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// testEnv is what the rows of testdata/expressions.txt can see.
func testEnv() expr.Env {
	s := expr.NewString
	item := func(id int64, tags ...string) expr.Value {
		list := make([]expr.Value, len(tags))
		for i, tag := range tags {
			list[i] = s(tag)
		}
		return expr.NewObject(expr.NewDict().Set("id", expr.NewInt(id)).Set("tags", expr.NewList(list...)))
	}
	variables := expr.NewDict().Set("a", s("1")).Set("b", s("two")).Set("empty", s("")).Set("Build.Reason", s("Manual"))
	parameters := expr.NewDict().
		Set("list", expr.NewList(s("x"), s("y"))).
		Set("map", expr.NewObject(expr.NewDict().Set("k", s("v")).Set("l", s("w")))).
		Set("flag", expr.NewBoolean(true)).
		Set("a-b", s("minus"))
	start := time.Date(2026, 3, 9, 7, 5, 4, 0, time.UTC)
	return expr.Env{Values: map[string]expr.Value{
		"variables":  expr.NewObject(variables),
		"parameters": expr.NewObject(parameters),
		"items":      expr.NewList(item(1, "p", "q"), item(2, "r")),
		"pipeline":   expr.NewObject(expr.NewDict().Set("startTime", expr.NewDateTime(start))),
	}}
}

// describe writes a value the way the rows do.
func describe(v expr.Value) string {
	switch v.Kind() {
	case expr.Null:
		return "null"
	case expr.String:
		text, _ := v.Text()
		return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "'", "''"), "\n", `\n`) + "'"
	case expr.Boolean:
		return fmt.Sprint(v.Truthy())
	case expr.Version:
		text, _ := v.Text()
		return "version " + text
	case expr.Array:
		items := make([]string, v.List().Len())
		for i := range items {
			items[i] = describe(v.List().At(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	text, _ := v.Text()
	return text
}

func TestExpressions(t *testing.T) {
	file, err := os.Open("testdata/expressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	env, rows := testEnv(), 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), " | ", 3)
		if len(fields) != 3 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		// The expression may hold the separator; the result never does.
		rest := fields[1] + " | " + fields[2]
		cut := strings.LastIndex(rest, " | ")
		id, source, want := fields[0], rest[:cut], rest[cut+3:]
		rows++
		t.Run(id+" "+source, func(t *testing.T) {
			v, err := expr.Evaluate(source, env)
			if message, wantError := strings.CutPrefix(want, "error: "); wantError {
				if err == nil || !strings.Contains(err.Error(), message) {
					t.Errorf("got %s, %v; want an error with %q", describe(v), err, message)
				}
				return
			}
			if err != nil || describe(v) != want {
				t.Errorf("got %s, %v; want %s", describe(v), err, want)
			}
		})
	}
	if rows < 200 {
		t.Errorf("only %d rows were read", rows)
	}
}

func TestConvertToJSONX089(t *testing.T) {
	got, err := expr.Evaluate("convertToJson(items)", testEnv())
	want := `[
  {
    "id": 1,
    "tags": [
      "p",
      "q"
    ]
  },
  {
    "id": 2,
    "tags": [
      "r"
    ]
  }
]`
	if text, _ := got.Text(); err != nil || text != want {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestLimitsX010(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat("not(", levels-1) + "true" + strings.Repeat(")", levels-1)
	}
	tests := []struct {
		name, source string
		ok           bool
	}{
		{"depth 50", nested(expr.MaxDepth), true},
		{"depth 51", nested(expr.MaxDepth + 1), false},
		{"chain of properties", "variables" + strings.Repeat(".a", expr.MaxDepth), false},
		{"length 21000", "'" + strings.Repeat("x", expr.MaxLength-2) + "'", true},
		{"length 21001", "'" + strings.Repeat("x", expr.MaxLength-1) + "'", false},
		{"length counts characters", "'" + strings.Repeat("é", expr.MaxLength-2) + "'", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := expr.Evaluate(tt.source, testEnv())
			if (err == nil) != tt.ok {
				t.Errorf("error is %v, want ok = %t", err, tt.ok)
			}
		})
	}
}

func TestErrorPosition(t *testing.T) {
	_, err := expr.Evaluate("eq(variables.a, nope)", testEnv())
	var fault *expr.Error
	if !errors.As(err, &fault) {
		t.Fatalf("error is %T", err)
	}
	if fault.Offset != 16 || fault.Syntax {
		t.Errorf("offset %d, syntax %t; want 16, false", fault.Offset, fault.Syntax)
	}
	if want := "Unrecognized value: 'nope'. Located at position 17 within expression: eq(variables.a, nope)"; err.Error() != want {
		t.Errorf("message %q, want %q", err, want)
	}
	if _, err := expr.Parse("eq(1"); !errors.As(err, &fault) || !fault.Syntax {
		t.Errorf("a syntax error must say so: %v", err)
	}
}

func TestSuppliedFunctionsX090(t *testing.T) {
	calls := 0
	env := expr.Env{Functions: map[string]expr.Function{"counter": {Min: 0, Max: 2, Call: func(args []expr.Value) (expr.Value, error) {
		calls++
		return expr.NewInt(int64(calls)), nil
	}}}}
	v, err := expr.Evaluate("format('{0}', Counter('p', 1))", env)
	if text, _ := v.Text(); err != nil || text != "1" || calls != 1 {
		t.Errorf("got %q, %v after %d calls", text, err, calls)
	}
	if _, err := expr.Evaluate("counter(1, 2, 3)", env); err == nil {
		t.Error("a third argument must be an error")
	}
}

func TestNames(t *testing.T) {
	e, err := expr.Parse("and(succeeded('A'), eq(Variables.x, dependencies.A.result), variables['y'])")
	if err != nil {
		t.Fatal(err)
	}
	values, functions := e.Names()
	if got := strings.Join(values, " ") + "|" + strings.Join(functions, " "); got != "variables dependencies|and succeeded eq" {
		t.Errorf("got %s", got)
	}
}

func TestNumbersKeepTheirText(t *testing.T) {
	n, ok := expr.ParseNumber("3.10")
	if text, _ := n.Text(); !ok || text != "3.10" {
		t.Errorf("got %q, %t", text, ok)
	}
	if whole, _ := expr.ParseNumber("3.1"); !expr.Equal(n, whole) {
		t.Error("3.10 and 3.1 are the same number")
	}
}

func TestTemplates(t *testing.T) {
	tests := []struct{ id, text, want string }{
		{"X040", "a ${{ variables.a }} b ${{variables.b}}", "a 1 b two"},
		{"X040", "${{ variables.none }}", ""},
		{"X040", "no expression", "no expression"},
		{"X040", "${{ parameters.flag }}!", "True!"},
		{"T013", "${{ 'my${{value' }}", "my${{value"},
		{"T013", "${{ 'a }} b' }}", "a }} b"},
		{"T013", "${{ 'it''s }}' }}", "it's }}"},
		{"X040", "${{ variables.a", "error"},
		{"X040", "${{ }}", "error"},
		{"X040", "${{ parameters.list }}x", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.id+" "+tt.text, func(t *testing.T) {
			got := "error"
			if template, err := expr.ParseTemplate(tt.text); err == nil {
				if text, err := template.Text(testEnv()); err == nil {
					got = text
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRuntimeExpressionX041(t *testing.T) {
	tests := []struct {
		value, want string
		ok          bool
	}{
		{"$[ variables.a ]", "variables.a", true},
		{"$[variables['a']]", "variables['a']", true},
		{" $[ a ] ", "a", true},
		{"$[ a ] b", "", false},
		{"x $[ a ]", "", false},
		{"$(a)", "", false},
	}
	for _, tt := range tests {
		if got, ok := expr.RuntimeExpression(tt.value); got != tt.want || ok != tt.ok {
			t.Errorf("RuntimeExpression(%q) = %q, %t", tt.value, got, ok)
		}
	}
}

func TestMacrosX042(t *testing.T) {
	lookup := func(name string) (string, bool) {
		value, ok := map[string]string{"a": "1", "inner": "a", "loop": "$(a)", "build.id": "7", "empty": ""}[strings.ToLower(name)]
		return value, ok
	}
	tests := []struct{ text, want string }{
		{"", ""},
		{"plain", "plain"},
		{"$(a)", "1"},
		{"$(A)-$(Build.Id)", "1-7"},
		{"[$(empty)]", "[]"},
		{"$(none)", "$(none)"},
		{"$(none) $(a)", "$(none) 1"},
		{"$(loop)", "$(a)"},
		{"$($(inner))", "$(a)"},
		{"$(", "$("},
		{"$()", "$()"},
		{"$(a", "$(a"},
		{"$$(a)", "$1"},
		{"$(pwd; $(a))", "$(pwd; 1)"},
	}
	for _, tt := range tests {
		if got := expr.ExpandMacros(tt.text, lookup); got != tt.want {
			t.Errorf("ExpandMacros(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestExpandVariablesX045(t *testing.T) {
	got, cycles := expr.ExpandVariables(map[string]string{
		"a": "$(B)!", "b": "$(c)", "c": "x", "self": "$(self)", "p": "<$(q)>", "q": "$(p)", "u": "$(unknown)",
	})
	want := map[string]string{"a": "x!", "b": "x", "c": "x", "self": "$(self)", "p": "<$(p)>", "q": "$(p)", "u": "$(unknown)"}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s = %q, want %q", name, got[name], want[name])
		}
	}
	if len(cycles) == 0 {
		t.Error("the cycles must be reported")
	}
}

func TestExpandVariablesIsBounded(t *testing.T) {
	values := map[string]string{"v0": strings.Repeat("x", 1000)}
	for i := 1; i < 45; i++ {
		values[fmt.Sprintf("v%d", i)] = strings.Repeat(fmt.Sprintf("$(v%d)", i-1), 10)
	}
	got, _ := expr.ExpandVariables(values)
	total := 0
	for _, value := range got {
		total += len(value)
	}
	if total > 4*expr.MaxResult {
		t.Errorf("%d bytes were made of 45 variables", total)
	}
}

func TestFormatTime(t *testing.T) {
	zone := time.FixedZone("", -(5*3600 + 30*60))
	at := time.Date(2026, 11, 3, 14, 5, 6, 123456700, zone)
	tests := []struct{ layout, want string }{
		{"yyyyMMdd", "20261103"}, {"yy.M.d", "26.11.3"}, {"MMM MMMM", "Nov November"}, {"ddd dddd", "Tue Tuesday"},
		{"HH:mm:ss.fff", "14:05:06.123"}, {"h:m:s tt", "2:5:6 PM"}, {"hh t", "02 P"}, {"zzz zz z", "-05:30 -05 -5"},
		{"'year' yyyy", "year 2026"}, {`\y\y`, "yy"}, {"FFFFFFF", "1234567"}, {"K", "-05:30"}, {"yyyyy", "02026"},
	}
	for _, tt := range tests {
		if got := expr.FormatTime(at, tt.layout); got != tt.want {
			t.Errorf("FormatTime(%q) = %q, want %q", tt.layout, got, tt.want)
		}
	}
}
