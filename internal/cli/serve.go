package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/app"
	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/cluster"
)

// defaultData is where an installation lives when nobody says: the system's place for
// root, the user's own otherwise.
func (e *env) defaultData() string {
	if d := e.getenv("TOWPATH_DATA"); d != "" {
		return d
	}
	if os.Geteuid() == 0 {
		return "/var/lib/towpath"
	}
	if d := e.getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "towpath")
	}
	return filepath.Join(e.getenv("HOME"), ".local", "share", "towpath")
}

// serverFlags binds the flags that serve and up share.
type serverFlags struct {
	cfg   app.Config
	blobs string
	s3    map[string]string

	signals              map[string]string
	lakeMiB, lakeDiskMiB int64
	logLevel             string
}

func (e *env) bind(c *cobra.Command) *serverFlags {
	f := &serverFlags{cfg: app.Default()}
	f.cfg.Version = e.version
	fl := c.Flags()
	fl.StringVar(&f.cfg.Data, "data", e.defaultData(), "folder that holds everything")
	fl.StringVar(&f.cfg.Listen, "listen", f.cfg.Listen, "address to listen on, HOST:PORT; port 0 takes a free one")
	fl.StringVar(&f.cfg.PublicURL, "public-url", "", "address that people and image names use (default: the listener's)")
	fl.StringVar(&f.cfg.IssuerListen, "issuer-listen", f.cfg.IssuerListen, "loopback address for the cluster to check job identities and policies at")
	fl.StringVar(&f.cfg.SSHListen, "ssh-listen", f.cfg.SSHListen, "address of Git over SSH, HOST:PORT; empty serves none")
	fl.StringVar(&f.cfg.Database, "database", "", "PostgreSQL URL (default: SQLite in the data folder)")
	fl.StringVar(&f.blobs, "blobs", "filesystem", "where bytes are kept: filesystem or s3")
	fl.StringToStringVar(&f.s3, "s3", nil, "parameters of the s3 driver: bucket=…,region=…,regionendpoint=…")
	fl.StringVar(&f.cfg.Cluster, "cluster", f.cfg.Cluster, "embedded, adopted or none")
	fl.StringVar(&f.cfg.Kubeconfig, "kubeconfig", "", "use the cluster of this kubeconfig (adopted)")
	fl.StringVar(&f.cfg.PodsListen, "pods-listen", "", "adopted: address of this host, HOST:PORT, at which agents in pods reach the server (default: they use the public URL)")
	fl.StringVar(&f.cfg.Kube.FrontDoorAddr, "front-door", f.cfg.Kube.FrontDoorAddr, "address of the embedded cluster's ingress")
	fl.StringVar(&f.cfg.Kube.Bridge, "kube-bridge", "", "network device of the embedded cluster, at most 10 characters; a second cluster on a host needs its own (default tp0)")
	fl.StringVar(&f.cfg.Kube.NodeIP, "kube-node-ip", "", "address of the embedded cluster's node on that device (default 10.41.0.1)")
	fl.StringVar(&f.cfg.Kube.PodCIDR, "kube-pod-cidr", "", "address range of the embedded cluster's pods (default 10.42.0.0/16)")
	fl.StringVar(&f.cfg.Kube.ServiceCIDR, "kube-service-cidr", "", "address range of the embedded cluster's Services (default 10.43.0.0/16)")
	fl.StringVar(&f.cfg.OTLPHTTP, "otlp-http-listen", f.cfg.OTLPHTTP, "address for OpenTelemetry over HTTP, HOST:PORT; empty serves none (it is below /otlp of the server as well)")
	fl.StringVar(&f.cfg.OTLPGRPC, "otlp-grpc-listen", f.cfg.OTLPGRPC, "address for OpenTelemetry over gRPC, HOST:PORT; empty serves none")
	fl.DurationVar(&f.cfg.Retention, "retention", f.cfg.Retention, "how long logs and traces are kept")
	fl.Int64Var(&f.lakeMiB, "lake-memory", 0, "memory in MiB that the log and trace engine may take (default 384)")
	fl.Int64Var(&f.lakeDiskMiB, "lake-disk", 0, "MiB that logs and traces may take on disk; the oldest go first (default: no bound)")
	fl.StringVar(&f.cfg.ClickHouse, "clickhouse-dsn-file", "", "file with the DSN of a ClickHouse that keeps logs and traces in place of the lake")
	fl.DurationVar(&f.cfg.ScrapeEvery, "scrape-every", f.cfg.ScrapeEvery, "how often metrics are scraped")
	fl.StringToStringVar(&f.signals, "signal-windows", nil, "windows of signals and items: every, debounce, window, hold, alert, error, crash, policy, storm, flush; e.g. alert=1m,error=5m")
	fl.StringSliceVar(&f.cfg.RemoteWrite, "remote-write", nil, "URLs that all metrics are written to as well, by Prometheus remote write")
	fl.StringVar(&f.cfg.RemoteWriteToken, "remote-write-token-file", "", "file with the bearer token for them")
	fl.StringSliceVar(&f.cfg.NotifyAllow, "notify-allow", nil, "hosts and networks to which alerts may be sent although they are not public, e.g. 127.0.0.1 or 10.0.0.0/8")
	fl.DurationVar(&f.cfg.KeepDefault, "keep-default", 30*time.Minute, "how long a failed job is kept when it is asked for without a time")
	fl.DurationVar(&f.cfg.KeepMost, "keep-most", 4*time.Hour, "how long a failed job may be kept at most")
	fl.StringVar(&f.cfg.AdminTokenFile, "admin-token-file", "", "file with the token of the user admin (default: made in the data folder)")
	fl.IntVar(&f.cfg.Agents, "agents", f.cfg.Agents, "host agents to run; each takes one job at a time")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return f
}

func (f *serverFlags) config() (app.Config, slog.Level, error) {
	c := f.cfg
	if c.Kubeconfig != "" {
		c.Cluster = cluster.KindAdopted
	}
	if f.blobs != "filesystem" {
		p := make(map[string]any, len(f.s3))
		for k, v := range f.s3 {
			p[k] = v
		}
		c.Blobs = blob.Config{Driver: f.blobs, Parameters: p}
	}
	c.LakeMemory, c.LakeBytes = f.lakeMiB<<20, f.lakeDiskMiB<<20
	var level slog.Level
	if err := signalWindows(f.signals, &c.Signals); err != nil {
		return c, level, err
	}
	err := level.UnmarshalText([]byte(f.logLevel))
	return c, level, err
}

func (e *env) serve() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Run the server in the foreground", Args: cobra.NoArgs,
		Long: "Runs the server until SIGTERM or Ctrl-C. When it serves, it prints one line: ready URL.\n" +
			"`towpath up` does the same in the background and waits for the cluster.",
		Example: "  towpath serve --data /var/lib/towpath\n  towpath serve --data DIR --listen 127.0.0.1:0 --cluster none --admin-token-file FILE",
	}
	f := e.bind(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, level, err := f.config()
		if err != nil {
			return err
		}
		return e.serveUntil(c.Context(), cfg, level)
	}
	return c
}

func (e *env) serveUntil(ctx context.Context, cfg app.Config, level slog.Level) error {
	log := slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: level}))
	a, err := app.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := a.Close(); err != nil {
			log.Error("closing", "error", err)
		}
	}()
	// The listener is bound: whoever reads this line may connect at once.
	if _, err := fmt.Fprintf(e.out, "ready %s\n", a.URL); err != nil {
		return err
	}
	return a.Run(ctx)
}
