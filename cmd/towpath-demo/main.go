// Command towpath-demo is `make demo`: it builds Towpath, starts it, pushes the sample
// and shows each step of the loop with its evidence. With --once it takes everything
// down again and writes build/demo.json.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"towpath.dev/towpath/internal/demo"
)

func main() {
	var o demo.Options
	flag.BoolVar(&o.Once, "once", false, "take everything down again at the end")
	flag.StringVar(&o.Report, "report", "build/demo.json", "file for the steps as JSON")
	flag.StringVar(&o.Data, "data", "", "folder of the installation (default: /var/lib/towpath-demo, a temporary one with --once)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo.Run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
