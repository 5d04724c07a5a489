// Command towpath-agent runs jobs of a Towpath server on this host; as "towpath-agent node"
// it brings what the containers of a node write, and the OTLP of its pods, to the server;
// as "towpath-agent router" it sends the requests of a namespace to tracks and sessions;
// as "towpath-agent pod" it runs the one job of a pod;
// as "towpath-agent session" it stands in a namespace for a developer's program.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"towpath.dev/towpath/internal/agent/command"
	"towpath.dev/towpath/internal/agent/node"
	"towpath.dev/towpath/internal/agent/router"
	"towpath.dev/towpath/internal/agent/session"
	"towpath.dev/towpath/internal/agent/warden"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == warden.Argument {
		os.Exit(warden.Main())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "towpath-agent:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "node":
			return node.Command(ctx, args[1:], os.Stdout, os.Stderr)
		case "router":
			return router.Command(ctx, args[1:], os.Stderr)
		case "pod":
			return command.Pod(ctx, args[1:], os.Stderr)
		case "install":
			return command.Install(args[1:])
		case "session":
			return session.Command(ctx, args[1:], os.Stderr)
		}
	}
	return command.Run(ctx, args, os.Stderr)
}
