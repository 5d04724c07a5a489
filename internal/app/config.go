package app

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/fault"
	signals "towpath.dev/towpath/internal/work/insight"
)

// Config is what a server is started with. The zero value of a field takes the default
// that Default shows.
type Config struct {
	// Data is the folder that holds everything: database, key, blobs, repositories, logs.
	Data string
	// Listen is host:port of the one HTTP listener; port 0 takes a free one.
	Listen string
	// PublicURL is the address that people and image names use; "" means the listener's.
	PublicURL string
	// IssuerListen is host:port of the TLS listener for the cluster's API server: it serves
	// the issuer's two documents and the policy webhook. It stays on loopback.
	IssuerListen string
	// SSHListen is host:port of Git over SSH; "" serves none.
	SSHListen string
	// Database is a PostgreSQL URL; "" means SQLite in the data folder.
	Database string
	// Blobs says where images, artifacts and reports are kept; the zero value means the
	// data folder.
	Blobs blob.Config

	// Cluster is embedded, none, or adopted; the last with Kubeconfig.
	Cluster    string
	Kubeconfig string
	// PodsListen is host:port of a listener for agents in pods of an adopted cluster, as they reach
	// it; "" has them come to PublicURL. The embedded cluster's come to its node.
	PodsListen string
	// Kube are the settings of the embedded cluster that differ from its defaults.
	Kube cluster.Settings

	// Programs is the folder of towpath's own executables: towpath, towpath-agent,
	// towpath-kube and the folder kube beside them.
	Programs string
	// Agents is how many host agents the server runs as child processes; each takes one
	// job at a time.
	Agents int

	// OTLPHTTP and OTLPGRPC are host:port of the listeners for OpenTelemetry; "" serves none.
	OTLPHTTP, OTLPGRPC string
	// ClickHouse is a file with the DSN of a ClickHouse that keeps logs and traces in place of
	// the lake; "" takes the lake.
	ClickHouse string
	// LakeMemory is the memory in bytes that the log and trace engine may take, LakeBytes
	// what its segments may take on disk; 0 takes the engine's default, and no bound.
	LakeMemory, LakeBytes int64
	// Retention is how long logs and traces are kept.
	Retention time.Duration
	// ScrapeEvery is how often metrics are scraped.
	ScrapeEvery time.Duration
	// RemoteWrite are addresses that all metrics are written to as well, by Prometheus remote
	// write; RemoteWriteToken is a file with the bearer token for them, "" sends none.
	RemoteWrite      []string
	RemoteWriteToken string
	// NotifyAllow are hosts and networks to which alerts may be sent although their
	// addresses are not public.
	NotifyAllow []string
	// KeepDefault and KeepMost are for how long a failed job is kept when nobody says, and at
	// most; 0 is the product's.
	KeepDefault, KeepMost time.Duration

	// Signals are the windows after which signals become items, and items close; zero values
	// are the product's.
	Signals signals.Options

	// AdminTokenFile holds a token that the user admin is given; "" means that
	// Data/admin-token is made at the first start.
	AdminTokenFile string
	// Version is the program's version, for people.
	Version string
}

// Default returns the configuration of `towpath up` but for Data.
func Default() Config {
	return Config{
		Listen:       "127.0.0.1:7080",
		IssuerListen: "127.0.0.1:7081",
		SSHListen:    "127.0.0.1:7022",
		Cluster:      cluster.KindEmbedded,
		Kube:         cluster.Settings{FrontDoorAddr: "127.0.0.1:7480"},
		Agents:       1,
		OTLPHTTP:     "127.0.0.1:4318",
		OTLPGRPC:     "127.0.0.1:4317",
		Retention:    30 * 24 * time.Hour,
		ScrapeEvery:  15 * time.Second,
	}
}

// check fills in defaults and refuses what cannot work.
func (c *Config) check() error {
	if c.Data == "" {
		return fault.New(fault.Invalid, "No data folder is given.").WithNext("add --data DIR")
	}
	abs, err := filepath.Abs(c.Data)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The data folder %q cannot be used.", c.Data)
	}
	c.Data = abs
	switch c.Cluster {
	case cluster.KindEmbedded, cluster.KindNone:
	case cluster.KindAdopted:
		if c.Kubeconfig == "" {
			return fault.New(fault.Invalid, "An adopted cluster needs a kubeconfig.").WithNext("add --kubeconfig FILE")
		}
	default:
		return fault.New(fault.Invalid, "There is no cluster of kind %q.", c.Cluster).WithNext("use --cluster embedded, adopted or none")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return fault.New(fault.Invalid, "The public URL %q is none that browsers can open.", c.PublicURL).
				WithNext("write it as https://towpath.example.com, without a path")
		}
		c.PublicURL = u.Scheme + "://" + u.Host
	}
	if c.Programs == "" {
		exe, err := os.Executable()
		if err != nil {
			return fault.Wrap(fault.Internal, err, "The program's own path is unknown.")
		}
		if exe, err = filepath.EvalSymlinks(exe); err != nil {
			return fault.Wrap(fault.Internal, err, "The program's own path is unknown.")
		}
		c.Programs = filepath.Dir(exe)
	}
	if c.Blobs.Driver == "" {
		c.Blobs = blob.Config{Driver: "filesystem", Root: filepath.Join(c.Data, "blobs")}
	}
	return nil
}

// publicOf is the URL of a listener: a listener on every address or on loopback is
// known as localhost.
func publicOf(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
