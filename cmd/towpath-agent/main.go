// Command towpath-agent runs jobs of a Towpath server on this host.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"towpath.dev/towpath/internal/agent/command"
	"towpath.dev/towpath/internal/agent/warden"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == warden.Argument {
		os.Exit(warden.Main())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command.Run(ctx, os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "towpath-agent:", err)
		stop()
		os.Exit(1)
	}
}
