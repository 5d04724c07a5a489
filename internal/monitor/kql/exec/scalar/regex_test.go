package scalar_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/scalar"
)

// TestALongTextHasTheMatchesOfAShortOne compares the search that can be stopped, which long
// texts get, with that of package regexp.
func TestALongTextHasTheMatchesOfAShortOne(t *testing.T) {
	texts := []string{
		strings.Repeat("ab a\nb,aab  éa1\xff\xe2\x82b_", 400), strings.Repeat("a", 6000), strings.Repeat("\n", 6000) + "a", strings.Repeat("né", 3000) + "\xff",
	}
	for _, pattern := range []string{
		`a+`, `a*`, `a*?`, ``, `\b`, `\B`, `(?m)^`, `(?m)$`, `(?m)^(a)|(b)$`, `\Aa|b\z`, `(a)(b)?`, `(?i)A(?P<x>B*)`, `\Qa\nb`, `.`, `(?s).`, `[^a]+`, `é|\x{FFFD}`, `^a`, `(a|ab)(c|b|)`, `a{2,3}`, `$`, `\Qb`,
	} {
		re := regexp.MustCompile(pattern)
		x, err := scalar.NewRegex("extract_all", pattern, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range texts {
			var got [][]int
			x.Each(s, func(m []int) bool { got = append(got, m); return true })
			if diff := cmp.Diff(re.FindAllStringSubmatchIndex(s, -1), got); diff != "" {
				t.Errorf("%q in text %d:\n%.600s", pattern, i, diff)
			}
			if diff := cmp.Diff(re.FindStringSubmatchIndex(s), x.Find(s)); diff != "" {
				t.Errorf("the first %q in text %d:\n%s", pattern, i, diff)
			}
		}
	}
}

// TestASearchEndsWithItsQuery looks for what would take from half a minute to days. Whether it ends is the test.
func TestASearchEndsWithItsQuery(t *testing.T) {
	mega := strings.Repeat("a", 1<<20)
	for _, pattern := range []string{`a*b|a`, `(?:a?){1000}b`, `(a|aa|aaa){1,900}b`, `(?:a?){1000}a{1000}b`} {
		looks := 0
		x, err := scalar.NewRegex("extract_all", pattern, func() error {
			if looks++; looks > 20 {
				return context.DeadlineExceeded
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		x.Each(mega, func([]int) bool { return true })
		if looks <= 20 {
			t.Errorf("%s: it looked at the time %d times", pattern, looks)
		}
	}
}

func TestAnExpressionThatIsTooLargeIsRefused(t *testing.T) {
	for pattern, want := range map[string]fault.Kind{
		`(?:` + strings.Repeat(`\w`, 20) + `){1000}`: fault.TooLarge,
		strings.Repeat("a", 65<<10):                  fault.TooLarge,
		`(`:                                          fault.Invalid,
		`(?:\w{100}){100}`:                           fault.Invalid,
	} {
		if _, err := scalar.NewRegex("extract", pattern, nil); !fault.Is(err, want) {
			t.Errorf("%.40s: %v", pattern, err)
		}
	}
}
