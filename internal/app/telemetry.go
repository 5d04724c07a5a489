package app

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/clickhouse"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/kql/sql"
	"towpath.dev/towpath/internal/monitor/kube"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/metric/virtual"
	"towpath.dev/towpath/internal/monitor/otlp"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/tail"
	"towpath.dev/towpath/internal/monitor/turn"
)

// telemetry is what takes telemetry in and keeps it.
type telemetry struct {
	rows    rowStore     // of logs and traces: the lake, or a ClickHouse
	dialect sql.Dialect  // that rows speaks
	lake    *lake.Client // nil when rows is a ClickHouse
	metrics *metric.Store
	kube    *kube.Watcher
	ingest  *ingest.Service
	otlp    *otlp.Receiver
	own     http.Handler // the server's own metrics
	parcels http.Handler // of the agents on nodes
	token   string       // of the agents on nodes; it opens nothing else
	http    net.Listener // nil when OTLP has no listener of its own
	grpc    net.Listener
}

// rowStore keeps rows and answers questions about them.
type rowStore interface {
	ingest.Sink
	query.Engine
}

// questions is how many questions in KQL are answered at a time: as many as the lake works
// on, each with a budget of memory.
const questions = 8

func (a *App) openTelemetry(ctx context.Context) error {
	t := &telemetry{}
	a.telemetry = t
	var err error
	if t.token, err = a.keepToken("telemetry-token", "twt_"); err != nil {
		return err
	}
	if err := a.openStores(ctx); err != nil {
		return err
	}
	installation, err := a.installation()
	if err != nil {
		return err
	}
	owners := owners{deploy: a.Deploy}
	t.kube = kube.New(kube.Options{
		Cluster: a.Cluster, Name: a.cfg.Cluster, Installation: installation, Owners: owners, Sink: inventory{t}, Clock: a.clock, Logger: a.logger,
		Direct: a.cfg.Cluster == cluster.KindEmbedded, Meter: t.metrics, Memory: filepath.Join(a.cfg.Data, "cluster-events.json"),
	})
	t.ingest = ingest.New(ingest.Parts{
		Sink: t.rows, Metrics: pushed{t.metrics}, Places: t.kube, Owners: t.kube, Clock: a.clock, Logger: a.logger, Installation: installation, Cluster: a.cfg.Cluster,
	})
	t.own = metric.Exposition(metric.Process(), t.metrics.Metrics(), gathered(t.ingest.Collector()), metric.Counts(t.lakeCounts))
	if t.parcels, err = t.ingest.Handler(t.fromAgent); err != nil {
		return err
	}
	t.otlp, err = otlp.New(otlp.Parts{
		Rows: t.ingest, Resolver: &otlp.Gate{Agent: t.isAgent, Authority: a.Identity, Places: t.kube}, Clock: a.clock, Problem: insight.Problem, Logger: a.logger,
	})
	if err != nil {
		return err
	}
	if err := a.bindOTLP(); err != nil {
		return err
	}
	queries := query.New(query.Options{Clock: a.clock, Engine: t.rows, Dialect: t.dialect, Tables: virtual.Tables{Store: t.metrics, Clock: a.clock, Installation: installation, Cluster: a.cfg.Cluster}})
	// Rules have turns of their own, so that what people ask does not keep them waiting.
	people := turn.Queries{Next: queries, Turns: turn.New(questions, questions/2)}
	rules := turn.Queries{Next: queries, Turns: turn.New(questions, questions/2)}
	a.Insight = insight.New(insight.Parts{
		DB: a.db, Log: a.Log, Auth: a.Identity, Clock: a.clock, Queries: people, Intake: t.ingest, Releases: rollouts{a.Deploy}, Logger: a.logger,
	}, insight.Options{})
	a.Deploy.Operations = operations{a.Insight}
	a.Monitor = monitor.New(monitor.Parts{
		DB: a.db, Log: a.Log, Auth: a.Identity, Clock: a.clock, Queries: people, Metrics: t.metrics, Cluster: t.kube, Stream: t.ingest, Releases: marks{a.Insight}, Logger: a.logger,
	})
	a.Alerts, err = alert.New(alert.Parts{
		DB: a.db, Log: a.Log, Auth: a.Identity, Clock: a.clock, Vault: a.vault, Series: t.metrics.Storage(), PromQL: t.metrics.Engine(),
		Queries: rules, Places: t.kube, Releases: running{a.Deploy}, Logger: a.logger,
	}, alert.Options{URL: a.URL, Allow: a.cfg.NotifyAllow, Jobs: metric.PlatformJobs()})
	if err != nil {
		return err
	}
	return a.Alerts.Seed(ctx)
}

// openStores opens the metric store and starts the lake.
func (a *App) openStores(ctx context.Context) error {
	t := a.telemetry
	var err error
	if t.metrics, err = metric.Open(filepath.Join(a.cfg.Data, "metrics"), metric.Options{}, a.clock, a.logger); err != nil {
		return err
	}
	a.close = append(a.close, t.metrics.Close)
	if a.cfg.ClickHouse != "" {
		return a.openClickHouse(ctx)
	}
	o := lake.Options{
		Program: filepath.Join(a.cfg.Programs, "towpath-lake"), Dir: filepath.Join(a.cfg.Data, "lake"), Socket: filepath.Join(a.cfg.Data, "run", "lake.sock"),
		MemoryLimit: a.cfg.LakeMemory, Retention: map[string]time.Duration{"": a.cfg.Retention}, MaxBytes: a.cfg.LakeBytes,
	}
	if a.cfg.Blobs.Driver != "filesystem" {
		o.Blob = a.cfg.Blobs
		o.Blob.Root = filepath.Join(o.Blob.Root, "lake")
	} else {
		o.Blob = blob.Config{Driver: "filesystem", Root: filepath.Join(o.Dir, "segments")}
	}
	// The lake ends with Close, after everything that writes to it, not with ctx.
	t.lake, err = lake.Start(context.WithoutCancel(ctx), o, a.logger)
	if err != nil {
		// Code, runs and deployments go on without telemetry; its pages say why there is none.
		a.logger.Error("the log and trace engine does not run", "error", err)
		t.lake = lake.Dial(o.Socket)
	}
	t.rows, t.dialect = t.lake, sql.DuckDB()
	a.close = append(a.close, func() error { t.lake.Close(); return nil })
	return nil
}

// openClickHouse takes the ClickHouse of the configuration in place of the lake.
func (a *App) openClickHouse(ctx context.Context) error {
	dsn, err := os.ReadFile(a.cfg.ClickHouse)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The file %s with the address of the ClickHouse cannot be read.", a.cfg.ClickHouse)
	}
	store, err := clickhouse.Open(ctx, clickhouse.Options{DSN: strings.TrimSpace(string(dsn)), Keep: a.cfg.Retention})
	if err != nil {
		return err
	}
	a.telemetry.rows, a.telemetry.dialect = store, sql.ClickHouse()
	a.close = append(a.close, store.Close)
	return nil
}

func (a *App) bindOTLP() error {
	t := a.telemetry
	for _, l := range []struct {
		flag, addr string
		into       *net.Listener
	}{{"otlp-http-listen", a.cfg.OTLPHTTP, &t.http}, {"otlp-grpc-listen", a.cfg.OTLPGRPC, &t.grpc}} {
		if l.addr == "" {
			continue
		}
		var err error
		if *l.into, err = listen(l.flag, l.addr); err != nil {
			return err
		}
		a.close = append(a.close, closed(*l.into))
	}
	return nil
}

// isAgent compares in constant time.
func (t *telemetry) isAgent(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(t.token)) == 1
}

// fromAgent lets agents of nodes in.
func (t *telemetry) fromAgent(r *http.Request) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !t.isAgent(token) {
		return fault.New(fault.Unauthentic, "The token of the agent is wrong.").WithNext("give the agent the file telemetry-token of this server's data folder with --token-file")
	}
	return nil
}

// telemetryHandler takes what comes on the main listener: parcels of agents, and OTLP over
// HTTP below /otlp.
func (a *App) telemetryHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(tail.Path, a.telemetry.parcels)
	mux.Handle("/otlp/", http.StripPrefix("/otlp", a.telemetry.otlp.HTTP()))
	return mux
}

// telemetryParts are what runs.
func (a *App) telemetryParts() []part {
	t := a.telemetry
	parts := []part{
		{"telemetry", a.Monitor.Run},
		{"alerts", a.Alerts.Run},
		{"insight", a.Insight.Run},
		{"scrape", func(ctx context.Context) error {
			own := metric.Own()
			handlers := t.kube.Handlers()
			handlers[own.Address] = t.own
			return t.metrics.Scrape(ctx, metric.ScrapeOptions{
				Interval: a.cfg.ScrapeEvery, Targets: []metric.Targets{t.kube, metric.Fixed{own}}, Owners: t.kube, Handlers: handlers,
			})
		}},
	}
	if len(a.cfg.RemoteWrite) > 0 {
		parts = append(parts, part{"remote write", a.forward})
	}
	if t.http != nil {
		parts = append(parts, part{"otlp http", func(ctx context.Context) error { return serve(ctx, t.http, t.otlp.HTTP()) }})
	}
	if t.grpc != nil {
		parts = append(parts, part{"otlp grpc", func(ctx context.Context) error { return t.otlp.ServeGRPC(ctx, t.grpc) }})
	}
	if a.cfg.Cluster != cluster.KindNone {
		parts = append(parts, part{"cluster state", t.kube.Run})
	}
	if a.cfg.Cluster == cluster.KindEmbedded {
		parts = append(parts, part{"node agent", a.runNode})
	}
	return parts
}

// forward writes metrics to other servers as well, until ctx ends.
func (a *App) forward(ctx context.Context) error {
	bearer := ""
	if a.cfg.RemoteWriteToken != "" {
		b, err := os.ReadFile(a.cfg.RemoteWriteToken)
		if err != nil {
			return fmt.Errorf("reading the token for remote write: %w", err)
		}
		bearer = strings.TrimSpace(string(b))
	}
	var to []metric.Remote
	for _, url := range a.cfg.RemoteWrite {
		to = append(to, metric.Remote{URL: url, Bearer: bearer})
	}
	return a.telemetry.metrics.Forward(ctx, to)
}

// ownMetrics serves the server's own metrics to administrators: a Prometheus scrapes them
// with a token.
func (a *App) ownMetrics(w http.ResponseWriter, r *http.Request) {
	actor, err := a.who(r)
	if err == nil {
		err = a.Identity.RequireAdmin(r.Context(), actor)
	}
	if err != nil {
		message, next := fault.Public(err)
		http.Error(w, strings.TrimSpace(message+" "+next), fault.KindOf(err).Status())
		return
	}
	a.telemetry.own.ServeHTTP(w, r)
}

// keepToken returns a token in a file of the data folder, made at the first start.
func (a *App) keepToken(name, prefix string) (string, error) {
	path := filepath.Join(a.cfg.Data, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(prefix + randomWord(40) + "\n")
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// installation returns the identifier of this installation, a GUID made at the first start.
func (a *App) installation() (string, error) {
	path := filepath.Join(a.cfg.Data, "installation")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(uuid.NewString() + "\n")
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		return "", fmt.Errorf("keeping the installation's identifier: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// pushed gives the metric store what came by OTLP, with what the platform knows of its
// origin.
type pushed struct{ store *metric.Store }

var _ ingest.Metrics = pushed{}

// AppendOTLP stores metrics.
func (p pushed) AppendOTLP(ctx context.Context, from place.Place, md pmetric.Metrics) (ingest.Outcome, error) {
	o, err := p.store.AppendOTLP(ctx, metric.Origin{
		Project: from.Project, Environment: from.Environment, Namespace: from.Namespace, Pod: from.Pod, Node: from.Node,
	}, md)
	return ingest.Outcome{Taken: o.Taken, Refused: o.Refused, Reasons: o.Reasons, Message: o.Message}, err
}

// inventory hands the cluster's rows to ingest, which is made after the watcher that has them.
type inventory struct{ telemetry *telemetry }

var _ kube.Sink = inventory{}

// Append stores rows of the platform's own.
func (i inventory) Append(ctx context.Context, batches []*table.Batch) error {
	return i.telemetry.ingest.Append(ctx, batches)
}

// lakeCounts are the lake's own numbers as metrics.
func (t *telemetry) lakeCounts() []metric.Count {
	if t.lake == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	u, err := t.lake.Stats(ctx)
	if err != nil {
		return []metric.Count{{Name: "towpath_lake_up", Help: "1 when the log and trace engine answers.", Value: 0}}
	}
	out := []metric.Count{
		{Name: "towpath_lake_up", Help: "1 when the log and trace engine answers.", Value: 1},
		{Name: "towpath_lake_wal_bytes", Help: "Size of the write-ahead log.", Value: float64(u.WALBytes)},
		{Name: "towpath_lake_resident_bytes", Help: "Memory of the engine.", Value: float64(u.RSS)},
		{Name: "towpath_lake_appended_rows_total", Help: "Rows stored since the engine started.", Value: float64(u.Appended)},
		{Name: "towpath_lake_refused_appends_total", Help: "Appends refused because the disk is full or too much came at once.", Value: float64(u.Refused)},
		{Name: "towpath_lake_unsent_segments", Help: "Segments that are not in the bucket yet.", Value: float64(u.Unsent)},
		{Name: "towpath_lake_refused_queries_total", Help: "Queries refused beyond memory or time.", Value: float64(u.TooLarge)},
	}
	for _, name := range slices.Sorted(maps.Keys(u.Tables)) {
		one := u.Tables[name]
		labels := map[string]string{"table": name}
		out = append(out,
			metric.Count{Name: "towpath_lake_rows", Help: "Rows of a table.", Labels: labels, Value: float64(one.HotRows + one.SealedRows)},
			metric.Count{Name: "towpath_lake_stored_bytes", Help: "Size of the segments of a table.", Labels: labels, Value: float64(one.Stored)})
	}
	return out
}

// gathered registers a collector alone.
func gathered(c prometheus.Collector) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	return r
}
