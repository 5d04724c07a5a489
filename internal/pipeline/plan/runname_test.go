package plan_test

import (
	"testing"
	"time"

	"towpath.dev/towpath/internal/pipeline/plan"
)

func TestRunNameX031(t *testing.T) {
	now := time.Date(2026, 3, 9, 7, 5, 4, 0, time.UTC)
	values := plan.Values{}
	values.Set(plan.Value{Name: "Build.SourceBranchName", Text: "feature/x"})
	values.Set(plan.Value{Name: "Secret", Text: "hidden", Secret: true})
	tests := []struct{ format, want string }{
		{"", "20260309.7"},
		{"$(Date:yyyyMMdd)$(Rev:.r)", "20260309.7"},
		{"$(Date:yyyyMMdd)$(Rev:.rr)", "20260309.07"},
		{"$(SourceBranchName)_$(rev:rrr)", "feature_x_007"},
		{"$(Year:yy).$(Month).$(DayOfMonth) $(DayOfYear) $(Hours)$(Minutes)$(Seconds)", "26.3.9 68 754"},
		{"1.0.$(Secret)$(none)", "1.0.$(Secret)$(none)"},
		{"a.", "a"},
	}
	for _, tt := range tests {
		t.Run(tt.format, func(t *testing.T) {
			got, err := plan.RunName(tt.format, now, values, func(string, string) (int, error) { return 7, nil })
			if err != nil || got != tt.want {
				t.Errorf("RunName(%q) = %q, %v; want %q", tt.format, got, err, tt.want)
			}
		})
	}
}
