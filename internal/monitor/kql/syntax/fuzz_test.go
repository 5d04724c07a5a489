package syntax_test

import (
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/syntax"
)

// FuzzParse: whatever the text, the parser comes back, its errors lie within the text, and
// the tokens of an editor cover it in order.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"T | where a == 1 | summarize count() by bin(t, 5m)", "let f = (x:long) { x }; print f(1)", "print dynamic({'a': [1, 2]})",
		"T | join kind=inner (U | take 5) on $left.a == $right.b", "union *, A* | parse s with * 'x' y:long", "((((((((", "T | where a in ('x'", "'", "```", "\xff\xfe",
		"T | scan with (step s: true => x = 1;)", "datatable(a:int)[1,2", "T|mv-apply x=y on (top 1 by x)", "search in (T) 'x'", "find where * has 'x'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree, errs := syntax.Parse(text)
		if tree == nil {
			t.Fatal("no tree")
		}
		for _, e := range errs {
			if e.Span.Start < 0 || e.Span.End < e.Span.Start || e.Span.End > len(text) {
				t.Fatalf("span %v outside of a text of %d bytes: %v", e.Span, len(text), e)
			}
			if e.Line < 1 || e.Col < 1 || e.Message == "" {
				t.Fatalf("an error without place or message: %+v", e)
			}
		}
		if len(errs) > syntax.MaxErrors {
			t.Fatalf("%d errors", len(errs))
		}
		end := 0
		for _, k := range syntax.Tokens(text) {
			if k.Start < end || k.End <= k.Start || k.End > len(text) {
				t.Fatalf("token %v after %d", k, end)
			}
			end = k.End
		}
	})
}
