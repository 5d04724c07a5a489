package try

import (
	"context"
	"fmt"
	"io"
)

func (o Options) run(_ context.Context, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "policies cannot be tried yet")
	return Unjudged
}
