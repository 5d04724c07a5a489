package app

import (
	"maps"
	"slices"
	"testing"

	"towpath.dev/towpath/internal/pipeline/validate"
)

// TestHelmCommandsAreValid shows that no command that runs here is an error of the file.
func TestHelmCommandsAreValid(t *testing.T) {
	for major := range 2 {
		task, ok := validate.Builtin().Task("HelmDeploy", major)
		if !ok {
			t.Fatalf("there is no HelmDeploy@%d", major)
		}
		command, ok := task.Input("command")
		if !ok {
			t.Fatalf("HelmDeploy@%d has no command", major)
		}
		for _, name := range slices.Sorted(maps.Keys(helmCommands)) {
			if !slices.Contains(command.Options, name) {
				t.Errorf("command: %s of HelmDeploy@%d is refused by the compiler", name, major)
			}
		}
	}
}
