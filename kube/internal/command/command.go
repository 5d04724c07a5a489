package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/frontdoor"
	"towpath.dev/towpath/kube/internal/image"
	"towpath.dev/towpath/kube/internal/netpolicy"
	"towpath.dev/towpath/kube/internal/node"
	"towpath.dev/towpath/kube/internal/preflight"
	"towpath.dev/towpath/kube/internal/provisioner"
	"towpath.dev/towpath/kube/internal/supervise"
)

const usage = `towpath-kube runs an embedded Kubernetes on this machine.

  towpath-kube up --config FILE               start the cluster and stay in the foreground; JSON lines tell what happens
  towpath-kube check [--config FILE] [-o json]  say what this host lacks
  towpath-kube image import --config FILE ARCHIVE  bring an image archive into the node without a registry
  towpath-kube reset --config FILE            remove the cluster and everything it left on this host
  towpath-kube kubectl …                      Kubernetes' own command line (set KUBECONFIG to DATA/admin.kubeconfig)
  towpath-kube config                         print the default configuration

Example:
  echo '{"data":"/var/lib/towpath/cluster"}' > cluster.json
  towpath-kube up --config cluster.json

SIGTERM ends the cluster in order and keeps its state; up again brings everything back.
The upstream components are subcommands too: etcd, kube-apiserver, kubelet and so on; up starts them itself.
`

// errUsage means that the command line is wrong.
var errUsage = errors.New("see: towpath-kube help")

// Run runs the command line (without the program's own name) and returns the exit code.
func Run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := dispatch(ctx, args, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "towpath-kube:", err)
		return 2
	}
	fmt.Fprintln(stderr, "towpath-kube:", err)
	return 1
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return errUsage
	}
	name, rest := args[0], args[1:]
	if name == "image" && len(rest) > 0 && rest[0] == "import" {
		return importImage(ctx, rest[1:], stdout, stderr)
	}
	switch name {
	case "up":
		return up(ctx, rest, stdout, stderr)
	case "check":
		return check(rest, stdout, stderr)
	case "reset":
		return reset(ctx, rest, stdout, stderr)
	case "front-door":
		return frontDoor(ctx, rest, stderr)
	case "storage":
		return storage(ctx, rest, stderr)
	case "network-policy":
		return networkPolicy(ctx, rest, stderr)
	case "config":
		return writeIndented(stdout, config.Default())
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return nil
	}
	return fmt.Errorf("there is no command %q; %w", name, errUsage)
}

// settings are what every command reads from its flags.
type settings struct {
	config config.Config
	layout config.Layout
	file   string
	format string
	rest   []string
}

// read parses the flags of a command. Where the configuration is optional its absence means the defaults.
func read(name string, args []string, stderr io.Writer, optional bool) (settings, error) {
	flags := flag.NewFlagSet("towpath-kube "+name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	var s settings
	flags.StringVar(&s.file, "config", "", "the cluster's configuration `file`")
	flags.StringVar(&s.format, "o", "", "output `format`: json, or empty for text")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return settings{}, err
		}
		return settings{}, fmt.Errorf("%w; %w", err, errUsage)
	}
	s.rest = flags.Args()
	switch {
	case s.file != "":
		var err error
		if s.config, err = config.Load(s.file); err != nil {
			return settings{}, err
		}
		if s.file, err = filepath.Abs(s.file); err != nil {
			return settings{}, fmt.Errorf("finding the configuration file: %w", err)
		}
	case optional:
		var err error
		if s.config, err = config.Parse([]byte(`{"data":"/var/lib/towpath/cluster"}`)); err != nil {
			return settings{}, err
		}
	default:
		return settings{}, fmt.Errorf("--config FILE is missing; %w", errUsage)
	}
	executable, err := os.Executable()
	if err != nil {
		return settings{}, fmt.Errorf("finding this program's own file: %w", err)
	}
	s.layout = s.config.Layout(executable)
	return s, nil
}

func check(args []string, stdout, stderr io.Writer) error {
	s, err := read("check", args, stderr, true)
	if err != nil {
		return err
	}
	checks := preflight.Run(s.config, s.layout)
	if s.format == "json" {
		err = writeIndented(stdout, checks)
	} else {
		preflight.Print(stdout, checks)
	}
	if err == nil && preflight.Failed(checks) {
		err = errors.New("this host cannot run the embedded Kubernetes yet: see the checks that fail")
	}
	return err
}

func writeIndented(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// teller prints events as JSON lines, one at a time.
func teller(stdout io.Writer) func(supervise.Event) {
	var mu sync.Mutex
	encoder := json.NewEncoder(stdout)
	return func(event supervise.Event) {
		mu.Lock()
		defer mu.Unlock()
		_ = encoder.Encode(event) // whoever read the lines may be gone; the cluster goes on
	}
}

func up(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := read("up", args, stderr, false)
	if err != nil {
		return err
	}
	// The reader of the lines may go away; the write error is enough, the signal must not end the cluster.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	debug.SetGCPercent(50)
	emit := teller(stdout)
	if os.Geteuid() != 0 {
		return admit(s, stderr) // it says all that there is to say, before anything is tried that needs root
	}
	err = node.Up(ctx, node.Options{Config: s.config, ConfigFile: s.file, Layout: s.layout, Now: time.Now, Emit: emit, Admit: func() error { return admit(s, stderr) }})
	if err != nil {
		emit(supervise.Event{Time: time.Now().UTC(), Phase: supervise.Failed, Component: "cluster", Detail: err.Error()})
	}
	return err
}

// admit runs the preflight and turns its failures into one error.
func admit(s settings, stderr io.Writer) error {
	checks := preflight.Run(s.config, s.layout)
	if !preflight.Failed(checks) {
		return nil
	}
	preflight.Print(stderr, checks)
	var problems []error
	for _, check := range checks {
		if check.Status == preflight.Fail {
			problems = append(problems, fmt.Errorf("%s: %s (%s)", check.Name, check.Detail, check.Fix))
		}
	}
	return errors.Join(problems...)
}

func reset(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := read("reset", args, stderr, false)
	if err != nil {
		return err
	}
	return node.Reset(ctx, node.Options{Config: s.config, ConfigFile: s.file, Layout: s.layout, Now: time.Now, Emit: teller(stdout)})
}

func importImage(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := read("image import", args, stderr, false)
	if err != nil {
		return err
	}
	if len(s.rest) != 1 {
		return fmt.Errorf("image import takes one archive; %w", errUsage)
	}
	archive, err := os.Open(s.rest[0])
	if err != nil {
		return fmt.Errorf("opening the image archive: %w", err)
	}
	defer archive.Close()
	names, err := image.Import(ctx, s.layout.ContainerdSocket(), node.InspectHost(s.layout).Snapshotter, archive)
	for _, name := range names {
		fmt.Fprintln(stdout, name)
	}
	return err
}

// componentClient is the API client of one of the components that are ours.
func componentClient(layout config.Layout, component string) (kubernetes.Interface, error) {
	settings, err := clientcmd.BuildConfigFromFlags("", layout.Kubeconfig(component))
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %s: %w", component, err)
	}
	settings.ContentConfig = rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf", AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json"}
	client, err := kubernetes.NewForConfig(settings)
	if err != nil {
		return nil, fmt.Errorf("making the API client of %s: %w", component, err)
	}
	return client, nil
}

func frontDoor(ctx context.Context, args []string, stderr io.Writer) error {
	s, err := read("front-door", args, stderr, false)
	if err != nil {
		return err
	}
	client, err := componentClient(s.layout, "front-door")
	if err != nil {
		return err
	}
	return frontdoor.Run(ctx, client, s.config.FrontDoorAddr, slog.New(slog.NewTextHandler(stderr, nil)))
}

func networkPolicy(ctx context.Context, args []string, stderr io.Writer) error {
	s, err := read("network-policy", args, stderr, false)
	if err != nil {
		return err
	}
	client, err := componentClient(s.layout, "network-policy")
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(s.config.NodeIP)
	if err != nil {
		return fmt.Errorf("parsing the node's address: %w", err)
	}
	return netpolicy.Run(ctx, client, netpolicy.Options{
		Node: netpolicy.Node{Address: address, DNSPort: s.config.DNSPort}, Table: node.PolicyTable(s.config), Socket: s.layout.PolicySocket(),
		Log: slog.New(slog.NewTextHandler(stderr, nil)),
	})
}

func storage(ctx context.Context, args []string, stderr io.Writer) error {
	s, err := read("storage", args, stderr, false)
	if err != nil {
		return err
	}
	client, err := componentClient(s.layout, "storage")
	if err != nil {
		return err
	}
	made, err := provisioner.New(client, s.layout.Storage(), s.config.NodeName, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return err
	}
	defer made.Close()
	return made.Run(ctx)
}
