//go:build cgo

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/serve"
)

// maxOptions bounds the options in bytes.
const maxOptions = 1 << 20

// goShare is how much of the memory limit Go's own heap may have on top of it before it is
// collected harder.
const goShare = 4

// Main is the program towpath-lake: it reads its options as JSON from in, answers on their
// socket until ctx ends, and logs to out.
func Main(ctx context.Context, in io.Reader, out io.Writer) error {
	var o lake.Options
	d := json.NewDecoder(io.LimitReader(in, maxOptions))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return fmt.Errorf("reading the options from the standard input (towpath runs this program, it is not for people): %w", err)
	}
	if o.Dir == "" || o.Socket == "" {
		return errors.New("the options name no folder or no socket")
	}
	debug.SetMemoryLimit(complete(o).MemoryLimit / goShare)
	logger := slog.New(slog.NewTextHandler(out, nil))
	e, err := Open(ctx, o, clock.System(), logger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-e.Fatal():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err = serve.Run(ctx, o.Socket, e, logger)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return errors.Join(err, e.Close())
}
