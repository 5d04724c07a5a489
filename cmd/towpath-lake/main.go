//go:build cgo

// Command towpath-lake is the log engine of a Towpath server, which runs it as a child and
// talks to it over a private socket. It reads its options, JSON of lake.Options, from its
// standard input.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"towpath.dev/towpath/internal/monitor/lake/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := engine.Main(ctx, os.Stdin, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "towpath-lake:", err)
		stop()
		os.Exit(1)
	}
}
