package work_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"towpath.dev/towpath/internal/work"
)

func TestBetween(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"", "", "500000000000000"},
		{"500000000000000", "", "500000001000000"},
		{"", "500000000000000", "499999999000000"},
		{"500000000000000", "500000001000000", "500000000500000"},
		{"500000000000000", "500000000000001", "5000000000000005"},
		{"499999999999999", "500000000000000", "4999999999999995"},
		{"500000000000000", "5000000000000001", "50000000000000005"},
		{"5000000000000005", "50000000000000051", "500000000000000505"},
		{"5000000000000009", "500000000000001", "50000000000000095"},
		{"5000000000000001", "50000000000000021", "5000000000000002"},
	} {
		got, err := work.Between(tt.a, tt.b)
		if err != nil || got != tt.want {
			t.Errorf("Between(%q, %q) = %q, %v; want %q", tt.a, tt.b, got, err, tt.want)
		}
	}
	for _, tt := range [][2]string{
		{"500000000000001", "500000000000000"}, {"500000000000000", "500000000000000"}, {"x", ""}, {"5000000000000000", ""},
		{"999999999999999", ""}, {"", "000000000000000"},
	} {
		if got, err := work.Between(tt[0], tt[1]); err == nil {
			t.Errorf("Between(%q, %q) = %q, want an error", tt[0], tt[1], got)
		}
	}
}

// TestPlacesStayInOrder inserts at random gaps, at one gap for ever, and at the ends: each
// new place must lie strictly between its neighbours.
func TestPlacesStayInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, gap := range map[string]func(n int) int{
		"random": func(n int) int { return r.IntN(n + 1) },
		"top":    func(int) int { return 0 },
		"bottom": func(n int) int { return n },
		"second": func(n int) int { return min(n, 1) },
		"zigzag": func(n int) int { return min(n, 1+n%2) },
	} {
		t.Run(name, func(t *testing.T) {
			var list []string
			longest := 0
			for range 2000 {
				i := gap(len(list))
				a, b := "", ""
				if i > 0 {
					a = list[i-1]
				}
				if i < len(list) {
					b = list[i]
				}
				got, err := work.Between(a, b)
				if err != nil {
					t.Fatal(err)
				}
				if a != "" && got <= a || b != "" && got >= b {
					t.Fatalf("%q is not between %q and %q", got, a, b)
				}
				longest = max(longest, len(got))
				list = slices.Insert(list, i, got)
			}
			if !slices.IsSorted(list) {
				t.Error("the list is not in order")
			}
			if most := map[string]int{"random": 20, "top": 15, "bottom": 15}[name]; most > 0 && longest > most {
				t.Errorf("the longest place has %d digits, at most %d are right", longest, most)
			}
		})
	}
}

func FuzzBetween(f *testing.F) {
	f.Add("500000000000000", "500000000000001")
	f.Add("", "5000000000000001")
	f.Add("0000000000000009", "000000000000001")
	f.Fuzz(func(t *testing.T, a, b string) {
		got, err := work.Between(a, b)
		if err != nil {
			return
		}
		if a != "" && got <= a || b != "" && got >= b {
			t.Fatalf("%q is not between %q and %q", got, a, b)
		}
		if _, err := work.Between(got, ""); err != nil && len(got) == 15 && got[0] != '9' {
			t.Fatalf("%q is no place itself: %v", got, err)
		}
	})
}
