package exec_test

import (
	"slices"
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/exec"
)

// TestEveryFunctionThatBindsRuns: what the binder lets through, the executor knows. What
// neither knows is refused by the binder, with its place.
func TestEveryFunctionThatBindsRuns(t *testing.T) {
	known := map[string][]string{"scalar": exec.Functions(), "aggregate": exec.Aggregates(), "plugin": exec.Plugins()}
	for _, f := range bind.Functions() {
		if !f.Bound && !slices.Contains(known[f.Class], f.Name) {
			t.Errorf("the %s %s binds, but does not run", f.Class, f.Name)
		}
	}
}
