package exec

import (
	"fmt"
	"slices"
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// FuzzScanParts: where the scan is sure, the regular expression finds the same.
func FuzzScanParts(f *testing.F) {
	f.Add("user=ann id=42 ms", "=", " id=", " ms", uint8(0))
	f.Add("a=1, b=2", "a=", ", b=", "", uint8(7))
	f.Add("xx--y--", "--", "--", "", uint8(3))
	f.Fuzz(func(t *testing.T, text, a, b, c string, shape uint8) {
		if a == "" || b == "" {
			return
		}
		kinds := []table.Kind{table.String, table.Long}
		parts := []ir.Part{{Text: a, Place: -1}, {Place: 0, To: kinds[shape&1]}, {Text: b, Place: -1}, {Place: 1, To: kinds[shape>>1&1]}}
		if shape&4 != 0 {
			parts = append([]ir.Part{{Star: true, Place: -1}}, parts...)
		}
		if c != "" {
			parts = append(parts, ir.Part{Text: c, Place: -1})
		}
		if shape&8 != 0 {
			parts = append(parts, ir.Part{Star: true, Place: -1})
		}
		x := &ir.Parse{Kind: []string{"simple", "relaxed"}[shape>>4&1], Parts: parts}
		re, err := parsePattern(x, nil)
		if err != nil {
			return
		}
		groups := make([]int, len(parts))
		for i := range parts {
			groups[i] = re.Group(fmt.Sprintf("c%d", i))
		}
		m, sure := scanParts(x, groups, text)
		if !sure {
			return
		}
		want := re.Find(text)
		if (m == nil) != (want == nil) {
			t.Fatalf("%q with %v: scan %v, expression %v", text, parts, m, want)
		}
		if m != nil && !slices.Equal(m[2:len(want)], want[2:]) {
			t.Fatalf("%q with %v: scan %v, expression %v", text, parts, m, want)
		}
	})
}
