package metric

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// Store keeps series. It is safe for concurrent use.
type Store struct {
	db     *tsdb.DB
	engine *promql.Engine
}

// Open opens the store in a folder, or makes it.
func Open(dir string, o Options, c clock.Clock, l *slog.Logger) (*Store, error) { return nil, errSoon }

// Close seals what is open. Nothing may be asked or pushed afterwards.
func (s *Store) Close() error { return errSoon }

// Append stores pushed samples and returns after they lie fsynced in the WAL. An error
// means that nothing can be said of any of them: send them again.
func (s *Store) Append(ctx context.Context, from Origin, samples []Sample) (Outcome, error) {
	return Outcome{}, errSoon
}

// AppendOTLP stores metrics as they come by OTLP; Outcome counts data points as series
// samples (a histogram of ten buckets is twelve). Delta temporality is refused by name.
func (s *Store) AppendOTLP(ctx context.Context, from Origin, md pmetric.Metrics) (Outcome, error) {
	return Outcome{}, errSoon
}

// Instant evaluates an expression at a moment.
func (s *Store) Instant(ctx context.Context, in Scope, expr string, at time.Time) ([]Point, error) {
	return nil, errSoon
}

// Rows answers the virtual tables Perf, InsightsMetrics and AppMetrics; see query.Virtual.
func (s *Store) Rows(ctx context.Context, v query.VirtualScan) (*table.Batch, error) {
	return nil, errSoon
}

// Storage returns the storage itself, with every series, for rules to read and write.
func (s *Store) Storage() storage.Storage { return s.db }

// Engine returns the query engine, for rules to evaluate with.
func (s *Store) Engine() *promql.Engine { return s.engine }

// API answers Prometheus' HTTP API below /api/v1/: what Grafana's data source and promtool
// ask. scope says whose series the request may see; its error becomes the answer. A rules
// of nil has none.
func (s *Store) API(scope func(*http.Request) (Scope, error), rules Rules) http.Handler {
	return http.NotFoundHandler()
}

// WriteAPI takes remote write 1.0 and 2.0. origin says whose the series are.
func (s *Store) WriteAPI(origin func(*http.Request) (Origin, error)) http.Handler {
	return http.NotFoundHandler()
}

// Scrape scrapes until ctx ends.
func (s *Store) Scrape(ctx context.Context, o ScrapeOptions) error { return errSoon }

// Forward writes everything that comes in to other servers too, until ctx ends.
func (s *Store) Forward(ctx context.Context, to []Remote) error { return errSoon }

// Metrics returns the metrics of the store itself.
func (s *Store) Metrics() prometheus.Gatherer { return prometheus.NewRegistry() }

var errSoon = fault.New(fault.Unavailable, "Metrics are not ready yet.")
