package expr_test

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// FuzzExpr checks that no text makes the engine panic, that errors lie inside
// the text, and that what parses keeps its meaning when spaces are added around.
func FuzzExpr(f *testing.F) {
	file, err := os.Open("testdata/expressions.txt")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.SplitN(lines.Text(), " | ", 3); len(fields) == 3 {
			f.Add(fields[1])
		}
	}
	env := testEnv()
	f.Fuzz(func(t *testing.T, source string) {
		e, err := expr.Parse(source)
		if err != nil {
			if fault, ok := err.(*expr.Error); !ok || fault.Offset > len(source) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		first, firstErr := e.Evaluate(env)
		second, secondErr := expr.Evaluate(" "+source+"\n", env)
		if len(source) < expr.MaxLength-2 && ((firstErr == nil) != (secondErr == nil) || firstErr == nil && describe(first) != describe(second)) {
			t.Fatalf("%q: %v, %v; with spaces %v, %v", source, first, firstErr, second, secondErr)
		}
	})
}

// FuzzMacro checks that expansion without variables changes nothing, and that
// with them it stays within its bound.
func FuzzMacro(f *testing.F) {
	for _, seed := range []string{"$(a)", "$($(a))", "$(a", "$()", "x$(b)y$(a)", "$$$((a))"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := expr.ExpandMacros(text, func(string) (string, bool) { return "", false }); got != text {
			t.Fatalf("%q became %q", text, got)
		}
		got, _ := expr.ExpandVariables(map[string]string{"a": text, "b": "$(a)$(a)", "c": "$(b)" + text})
		if len(got["c"]) > 3*expr.MaxResult+len(text) {
			t.Fatalf("%d bytes", len(got["c"]))
		}
	})
}
