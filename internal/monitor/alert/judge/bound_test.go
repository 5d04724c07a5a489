package judge_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert/judge"
)

// TestBounded holds a rule at its bounds, and one group beyond each of them.
func TestBounded(t *testing.T) {
	tests := []struct {
		name   string
		groups int
		bytes  int // of each group's dimension
		bad    int // evaluations that must be bad
		want   string
	}{
		{"as many as may fire", 500, 8, 1, ""},
		{"one more fires", 501, 8, 1, "501 combinations of Path would fire at once"},
		{"as many as are remembered", 2000, 8, 2, ""},
		{"one more is remembered", 2001, 8, 2, "2001 combinations of Path"},
		{"as much text as is remembered", 2000, 512, 2, ""},
		{"more text is remembered", 2000, 530, 2, "at most 2000 with 1024 KiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := judge.Condition{Operator: ">", Threshold: 0, Bad: test.bad, Of: test.bad}
			var groups []judge.Group
			for i := range test.groups {
				n := strconv.Itoa(i)
				text := n + strings.Repeat("x", test.bytes-len(n))
				groups = append(groups, judge.Group{Labels: map[string]string{"Path": text}, Value: 1})
			}
			never := func(map[string]string) bool { return false }
			verdicts, memory := c.Judge(nil, groups, time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), never)
			err := judge.Bounded(verdicts, memory, []string{"Path"})
			if test.want == "" && err != nil || test.want != "" && (!fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
