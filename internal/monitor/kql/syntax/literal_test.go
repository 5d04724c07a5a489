package syntax_test

import (
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/syntax"
)

func TestQuoteIsReadBack(t *testing.T) {
	for _, s := range []string{"", "cart", `say "hi" \n`, "a\nb\tc\r", "\x00\x1f\x7f", "héllo 日本", `'`, `C:\temp\`} {
		q := syntax.Quote(s)
		if _, errs := syntax.Parse("print " + q); len(errs) > 0 {
			t.Errorf("%q is written as %s: %v", s, q, errs)
		}
		if got, ok := syntax.Unquote(q); got != s || !ok {
			t.Errorf("%q is written as %s, and read back as %q", s, q, got)
		}
	}
}

// What a literal spells and what a conversion reads are the same.
func TestLiteralsOfTime(t *testing.T) {
	for _, text := range []string{"print 1millisec", "print 3microsec", "print datetime(2024-05-01T10)", "print datetime(max)", "print timespan(1.02:03:04.5)"} {
		if _, errs := syntax.Parse(text); len(errs) > 0 {
			t.Errorf("%s: %v", text, errs)
		}
	}
	for _, text := range []string{"print timespan(25:00)", "print datetime(2024-02-30)", "print guid({74be27de-1e4e-49d9-b579-fe0b331d3642)"} {
		if _, errs := syntax.Parse(text); len(errs) == 0 {
			t.Errorf("%s is taken", text)
		}
	}
}
