package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
)

const usage = `towpath-agent node brings the logs of the containers of this node, and the OTLP of its pods, to a Towpath server.

  towpath-agent node --server http://127.0.0.1:7080 --token-file /etc/towpath/agent.token --logs /var/log/pods --state /var/lib/towpath-node
  towpath-agent node manifest --help    print a DaemonSet that runs it on every node of a cluster

`

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// Command parses the arguments behind "towpath-agent node" and works until ctx ends. A
// manifest goes to stdout, everything else to stderr.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "manifest" {
		return manifestCommand(args[1:], stdout, stderr)
	}
	cfg, err := parse(args, stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	n, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

func parse(args []string, stderr io.Writer) (Config, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	flags := flag.NewFlagSet("towpath-agent node", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	cfg := Config{Log: slog.New(slog.NewTextHandler(stderr, nil))}
	var exclude, listen list
	flags.StringVar(&cfg.Server, "server", "http://127.0.0.1:7080", "base `URL` of the server")
	flags.StringVar(&cfg.TokenFile, "token-file", "", "`file` with the agent token")
	flags.StringVar(&cfg.Logs, "logs", "/var/log/pods", "`folder` of pod logs; empty reads none")
	flags.StringVar(&cfg.State, "state", "", "`folder` for what must survive a restart, owned by the agent alone")
	flags.StringVar(&cfg.Name, "node", host, "`name` of this node in its cluster")
	flags.StringVar(&cfg.Self, "self", "", "`namespace/pod` of the agent itself, whose logs are not read")
	flags.Var(&exclude, "exclude-namespace", "`namespace` whose logs are not read; may be given several times")
	flags.Var(&listen, "otlp-listen", "`address` without a port on which pods reach the relay; may be given several times")
	grpcPort := flags.String("otlp-grpc-port", "4317", "`port` of the relay for gRPC")
	httpPort := flags.String("otlp-http-port", "4318", "`port` of the relay for HTTP")
	flags.StringVar(&cfg.Relay.ToHTTP, "otlp-http", "127.0.0.1:4318", "`address` of the server's OTLP listener for HTTP")
	flags.StringVar(&cfg.Relay.ToGRPC, "otlp-grpc", "127.0.0.1:4317", "`address` of the server's OTLP listener for gRPC")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("%q is not understood; see towpath-agent node --help", flags.Arg(0))
	}
	if cfg.TokenFile == "" || cfg.State == "" {
		return cfg, errors.New("--token-file and --state are needed; see towpath-agent node --help")
	}
	for _, folder := range []*string{&cfg.Logs, &cfg.State} {
		if *folder == "" {
			continue
		}
		if *folder, err = filepath.Abs(*folder); err != nil {
			return cfg, err
		}
	}
	cfg.Server, cfg.Exclude = strings.TrimRight(cfg.Server, "/"), exclude
	for _, address := range listen {
		cfg.Relay.HTTP = append(cfg.Relay.HTTP, net.JoinHostPort(address, *httpPort))
		cfg.Relay.GRPC = append(cfg.Relay.GRPC, net.JoinHostPort(address, *grpcPort))
	}
	return cfg, nil
}
