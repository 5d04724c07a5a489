package cli

import (
	"io"

	"github.com/spf13/cobra"
)

// Commands returns the tree of all commands as the reference describes it: nothing of this
// machine is in it, and running one of them prints nothing.
func Commands() *cobra.Command {
	e := &env{in: eof{}, out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
	return e.root()
}

// eof is an input without anything.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
