package cli_test

import (
	"testing"

	"towpath.dev/towpath/internal/cli"
)

// TestCommandsCanBeBuilt makes every command with its flags: two flags of one command that
// share a letter end the program before it does anything.
func TestCommandsCanBeBuilt(t *testing.T) {
	root := cli.Commands()
	if n := len(root.Commands()); n < 20 {
		t.Errorf("there are %d commands", n)
	}
	for _, c := range root.Commands() {
		for _, verb := range c.Commands() {
			if !verb.HasSubCommands() && !verb.Hidden && verb.Example == "" {
				t.Errorf("%s has no example", verb.CommandPath())
			}
		}
	}
}
