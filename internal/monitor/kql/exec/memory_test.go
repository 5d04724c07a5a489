package exec_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec"
)

// numbered is a list of what write makes of the numbers up to n.
func numbered(n int, write string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, strings.ReplaceAll(write, "#", "%[1]d"), i)
	}
	return b.String()
}

// TestTheBudgetIsACeiling asks for tables that are many times what a query may hold: they
// are refused, and what was made until then is a few times the budget, garbage included.
func TestTheBudgetIsACeiling(t *testing.T) {
	const budget, most = 32 << 20, 10 * 32 << 20
	for name, text := range map[string]string{
		"range":           `range i from 1 to 100000000 step 1`,
		"range of reals":  `range i from 1.5 to 100000000.0 step 1.0`,
		"join":            `range i from 1 to 9000 step 1 | extend k=1 | join kind=inner (range j from 1 to 9000 step 1 | extend k=1) on k`,
		"mv-expand":       `range i from 1 to 100 step 1 | extend d=range(1,100000) | mv-expand d`,
		"mv-expand a bag": `range i from 1 to 20000 step 1 | extend d=bag_pack(` + numbered(100, `"k#",i`) + `) | mv-expand d`,
		"mv-apply":        `range i from 1 to 100000 step 1 | extend d=range(1,100) | mv-apply d on (extend e=i)`,
		"percentiles":     `range i from 1 to 100000 step 1 | summarize percentiles(i, ` + numbered(100, "#") + `) by i`,
		"weighted":        `range i from 1 to 100000 step 1 | summarize percentilesw(i, i, ` + numbered(100, "#") + `) by i`,
		"aggregates":      `range i from 1 to 100000 step 1 | summarize ` + numbered(400, "a#=sum(i+#)") + ` by i`,
		"make_set":        `range i from 1 to 1000000 step 1 | summarize make_set(i) by i`,
		"columns":         `range i from 1 to 200000 step 1 | extend ` + numbered(400, "c#=i+#"),
		"arguments":       `range i from 1 to 200000 step 1 | extend m=max_of(` + numbered(400, "i*#") + `)`,
		"tables":          lets(40) + `union ` + numbered(40, "(t# | count)"),
		"union":           `union ` + numbered(60, "(range i from # to 200000 step 1)"),
		"make-series":     `range i from 1 to 20 step 1 | make-series ` + numbered(50, "s#=sum(i)") + ` on i from 0 to 1000000 step 1 by i`,
		"narrow":          `range i from 1 to 200000 step 1 | extend ` + numbered(10, "c#=i") + ` | evaluate narrow()`,
		"an array each":   `range i from 1 to 100000 step 1 | extend ` + numbered(3, "d#=range(i,i+20)"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := exec.Run(t.Context(), bound(t, text), exec.Env{Now: now, MaxRows: 2_000_000, MaxBytes: budget})
		runtime.ReadMemStats(&after)
		if !fault.Is(err, fault.TooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Errorf("%s: %d MiB were made with a budget of %d MiB", name, n>>20, budget>>20)
		}
	}
}

// lets are tables that are kept for all of a query.
func lets(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "let t%d=materialize(range i from %d to 400000 step 1);", i, i)
	}
	return b.String()
}
