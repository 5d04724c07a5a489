package router

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

// File is a Source that reads a table from a file, and again when the file has changed.
// It is for tests and for a router outside a cluster.
type File struct {
	Path  string
	Every time.Duration // between two looks; 0 means a second
	Log   *slog.Logger
}

// Watch reads the file until ctx ends.
func (f *File) Watch(ctx context.Context, apply func(route.Table)) error {
	every := f.Every
	if every <= 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last []byte
	for {
		if raw, err := f.read(); err != nil {
			f.Log.Warn("the route table was not read", "err", err)
		} else if last == nil || !bytes.Equal(raw, last) {
			last = raw
			if t, err := route.Decode(raw); err != nil {
				f.Log.Error("the route table was refused; the last good one stays", "file", f.Path, "err", err)
			} else {
				apply(t)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (f *File) read() ([]byte, error) {
	info, err := os.Stat(f.Path)
	if err != nil {
		return nil, fmt.Errorf("reading the route table: %w", err)
	}
	if info.Size() > route.MaxTable {
		return nil, fmt.Errorf("the route table %s has %d bytes, more than the %d that are read", f.Path, info.Size(), route.MaxTable)
	}
	return os.ReadFile(f.Path)
}
