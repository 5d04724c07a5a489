package expr_test

import (
	"testing"

	"towpath.dev/towpath/internal/pipeline/expr"
)

const benchSource = "and(succeededX, eq(variables['Build.Reason'], 'Manual'), startsWith(variables.b, 't'), in(variables.a, '2', '1'))"

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := expr.Parse(benchSource); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	env := testEnv()
	env.Values["succeededx"] = expr.NewBoolean(true)
	e, err := expr.Parse(benchSource)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if v, err := e.Evaluate(env); err != nil || !v.Truthy() {
			b.Fatal(v, err)
		}
	}
}

func BenchmarkExpandMacros(b *testing.B) {
	values := map[string]string{"build.id": "7", "a": "1"}
	lookup := func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	b.ReportAllocs()
	for b.Loop() {
		expr.ExpandMacros("docker build -t $(build.id) --label a=$(a) $(unknown) .", lookup)
	}
}
