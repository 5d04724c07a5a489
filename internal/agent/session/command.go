package session

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

const usage = `towpath-agent session stands in a namespace for a developer's program.

  towpath-agent session --ports 8080,9000 --token-file /run/towpath/token    forwards to the developer's machine
  towpath-agent session --ports 8080 --sync /run/towpath/program             runs the developer's binary here

It takes POD_NAMESPACE, TOWPATH_SESSION_ID and, without --token-file, TOWPATH_SESSION_TOKEN from its environment.

`

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// Command parses the arguments behind "towpath-agent session" and stands until ctx ends or
// the lease is over. What it has to say goes to stderr.
func Command(ctx context.Context, args []string, stderr io.Writer) error {
	cfg, err := parse(args, stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	s, err := New(cfg)
	if err != nil {
		return err
	}
	if s.super != nil {
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
		defer signal.Stop(signals)
		go func() {
			for sig := range signals {
				s.super.forward(sig)
			}
		}()
	}
	return s.Run(ctx)
}

func parse(args []string, stderr io.Writer) (Config, error) {
	cfg := Config{
		Getenv: os.Getenv, Environ: os.Environ(), Now: time.Now, Namespace: os.Getenv("POD_NAMESPACE"),
		Log: slog.New(slog.NewTextHandler(stderr, nil)),
	}
	flags := flag.NewFlagSet("towpath-agent session", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	var allow list
	ports := flags.String("ports", "", "`ports` of the service, with commas between")
	flags.StringVar(&cfg.ID, "id", os.Getenv("TOWPATH_SESSION_ID"), "`id` of the session")
	flags.StringVar(&cfg.Host, "host", "", "`address` without a port that the ports listen on; empty is all")
	flags.StringVar(&cfg.Control, "control", fmt.Sprintf(":%d", route.ControlPort), "`address` of the tunnel")
	tokenFile := flags.String("token-file", "", "`file` with the session's token")
	flags.Var(&allow, "allow", "`target` that may be dialled besides the namespace's services: a name, *.suffix, an address or a prefix, perhaps with :port; may be given several times")
	flags.StringVar(&cfg.SyncDir, "sync", "", "`folder` for the developer's binary, which then runs here")
	flags.DurationVar(&cfg.Lease, "lease", 2*time.Minute, "how long the pod stands before the first renewal")
	flags.DurationVar(&cfg.MaxAge, "max-age", 8*time.Hour, "how long it stands at most")
	flags.StringVar(&cfg.Resolver, "resolv-conf", "/etc/resolv.conf", "`file` that names the cluster's resolver")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("%q is not understood; see towpath-agent session --help", flags.Arg(0))
	}
	cfg.Allow = allow
	var err error
	if cfg.Ports, err = parsePorts(*ports); err != nil {
		return cfg, err
	}
	if cfg.Token = os.Getenv(tokenVariable); *tokenFile != "" {
		raw, err := os.ReadFile(*tokenFile)
		if err != nil {
			return cfg, fmt.Errorf("reading the session's token: %w", err)
		}
		cfg.Token = strings.TrimSpace(string(raw))
	}
	return cfg, nil
}

func parsePorts(text string) ([]int, error) {
	var ports []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 || n > 65535 || n == route.ControlPort {
			return nil, fmt.Errorf("--ports %q: %q is no port of a service", text, part)
		}
		ports = append(ports, n)
	}
	if len(ports) > route.MaxPorts {
		return nil, fmt.Errorf("--ports names %d ports; a service has at most %d", len(ports), route.MaxPorts)
	}
	return ports, nil
}
