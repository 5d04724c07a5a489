package router

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

const usage = `towpath-agent router sends the requests of a namespace's routed services to their tracks and to developers' sessions.

  towpath-agent router --admin :9902 --configmap towpath-routes    in a pod, with POD_NAMESPACE set
  towpath-agent router --table table.json --host 127.0.0.1         outside a cluster

`

// Command parses the arguments behind "towpath-agent router" and serves until ctx ends.
// What it has to say goes to stderr.
func Command(ctx context.Context, args []string, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	flags := flag.NewFlagSet("towpath-agent router", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	cfg := Config{Now: time.Now, Log: log}
	flags.StringVar(&cfg.Admin, "admin", fmt.Sprintf(":%d", route.AdminPort), "`address` for metrics, health and what the router knows")
	flags.StringVar(&cfg.Host, "host", "", "`address` without a port that routed ports listen on; empty is all")
	flags.DurationVar(&cfg.Grace, "grace", 5*time.Second, "how long to go on accepting when told to stop")
	flags.DurationVar(&cfg.Drain, "drain", 20*time.Second, "how long requests may take after that")
	name := flags.String("configmap", route.ConfigMap, "`name` of the ConfigMap with the table, in the namespace POD_NAMESPACE")
	table := flags.String("table", "", "`file` with the table, instead of a ConfigMap")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is not understood; see towpath-agent router --help", flags.Arg(0))
	}
	if *table != "" {
		cfg.Source = &File{Path: *table, Log: log}
	} else {
		source, err := NewCluster(os.Getenv("POD_NAMESPACE"), *name, os.Getenv, log)
		if err != nil {
			return err
		}
		cfg.Source = source
	}
	r, err := New(cfg)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}
