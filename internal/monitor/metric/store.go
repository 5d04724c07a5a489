package metric

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/turn"
)

// Store keeps series. It is safe for concurrent use.
type Store struct {
	dir    string
	o      Options
	clock  clock.Clock
	logger *slog.Logger

	reg      *prometheus.Registry
	db       *tsdb.DB
	engine   *promql.Engine // of people
	ruler    *promql.Engine // of rules: people's questions do not keep it waiting
	turns    *turn.Turns    // of people
	parser   parser.Parser
	limit    *limiter
	disk     *disk
	gauge    *gauges
	meta     *metadataBook
	pools    pools // what is scraped now
	forwards forwards
	opened   time.Time
}

var _ Meter = (*Store)(nil)

func (o Options) withDefaults() Options {
	o.Retention = cmp.Or(o.Retention, 15*24*time.Hour)
	o.MaxBytes = cmp.Or(o.MaxBytes, 8<<30)
	o.OutOfOrder = cmp.Or(o.OutOfOrder, 30*time.Minute)
	o.SeriesPerProject = cmp.Or(o.SeriesPerProject, 50_000)
	o.QueryTimeout = cmp.Or(o.QueryTimeout, 30*time.Second)
	o.QuerySamples = cmp.Or(o.QuerySamples, 10_000_000)
	o.QueryConcurrency = cmp.Or(o.QueryConcurrency, 4)
	return o
}

// Open opens the store in a folder, or makes it. What the WAL holds is read first: about a
// second per million samples.
func Open(dir string, o Options, c clock.Clock, l *slog.Logger) (*Store, error) {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	o = o.withDefaults()
	s := &Store{dir: dir, o: o, clock: c, logger: l, reg: prometheus.NewRegistry(), opened: c.Now()}
	s.parser = parser.NewParser(parser.Options{})
	s.gauge = newGauges(s.reg)
	s.limit = newLimiter(o.SeriesPerProject, s.reg)
	s.meta = newMetadataBook()

	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = o.Retention.Milliseconds()
	opts.MaxBytes = o.MaxBytes
	opts.OutOfOrderTimeWindow = o.OutOfOrder.Milliseconds()
	opts.WALCompression = compression.Snappy
	opts.SeriesLifecycleCallback = s.limit
	opts.StripeSize = 1 << 12
	db, err := tsdb.Open(dir, l.With("part", "tsdb"), s.reg, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("opening the metric store in %s: %w", dir, err)
	}
	s.db = db
	db.SetWriteNotified(&s.forwards)
	s.limit.enforce()
	s.disk = &disk{dirs: []string{dir + "/wal", dir + "/" + wlog.WblDirName}}
	s.turns = turn.New(o.QueryConcurrency, max(1, o.QueryConcurrency/2))
	s.engine, s.ruler = s.newEngine(s.reg), s.newEngine(nil)
	return s, nil
}

func (s *Store) newEngine(reg prometheus.Registerer) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: s.logger, Reg: reg, MaxSamples: s.o.QuerySamples, Timeout: s.o.QueryTimeout, ActiveQueryTracker: make(turnstile, s.o.QueryConcurrency),
		LookbackDelta: lookback, EnableAtModifier: true, EnableNegativeOffset: true, Parser: s.parser,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	})
}

// enter waits until a question of the scope may be worked on: parsing counts, too.
func (s *Store) enter(ctx context.Context, in Scope) (leave func(), err error) {
	if in.All {
		return s.turns.Enter(ctx, turn.Everything)
	}
	return s.turns.Enter(ctx, in.Project)
}

// Close seals what is open. Nothing may be asked or pushed afterwards.
func (s *Store) Close() error {
	for _, e := range []*promql.Engine{s.engine, s.ruler} {
		if err := e.Close(); err != nil {
			return fmt.Errorf("closing the query engine: %w", err)
		}
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the metric store: %w", err)
	}
	return nil
}

// Metrics returns the metrics of the store itself.
func (s *Store) Metrics() prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		s.forwards.mu.Lock()
		reg := s.forwards.reg
		s.forwards.mu.Unlock()
		if reg == nil {
			return s.reg.Gather()
		}
		return prometheus.Gatherers{s.reg, reg}.Gather()
	})
}

// Engine returns the query engine of rules.
func (s *Store) Engine() *promql.Engine { return s.ruler }

// Storage returns the storage itself, with every series, for rules to read and write.
// Closing it does nothing: that is the Store's business.
func (s *Store) Storage() storage.Storage { return whole{s.db} }

// whole is the storage without its end.
type whole struct{ *tsdb.DB }

// Close does nothing.
func (whole) Close() error { return nil }

// turnstile lets as many questions in as it has room for.
type turnstile chan struct{}

// GetMaxConcurrent returns how many questions may run at a time.
func (t turnstile) GetMaxConcurrent() int { return cap(t) }

// Insert waits for room.
func (t turnstile) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case t <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		return 0, fault.New(fault.Throttled, "%d questions to the metric store are running already.", cap(t)).WithNext("ask again in a moment")
	}
}

// Delete gives room back.
func (t turnstile) Delete(int) { <-t }

// Close does nothing.
func (t turnstile) Close() error { return nil }

var _ promql.QueryTracker = turnstile(nil)
var _ io.Closer = turnstile(nil)

// Instant evaluates an expression at a moment.
func (s *Store) Instant(ctx context.Context, in Scope, expr string, at time.Time) ([]Point, error) {
	if err := errors.Join(in.check(), short(expr)); err != nil {
		return nil, err
	}
	leave, err := s.enter(ctx, in)
	if err != nil {
		return nil, err
	}
	defer leave()
	if at.IsZero() {
		at = s.clock.Now()
	}
	q, err := s.engine.NewInstantQuery(ctx, confine(s.db, in), nil, expr, at)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The PromQL expression is not valid: %v.", err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, asFault(r.Err)
	}
	switch v := r.Value.(type) {
	case promql.Scalar:
		return []Point{{Labels: map[string]string{}, At: time.UnixMilli(v.T).UTC(), Value: v.V}}, nil
	case promql.Vector:
		out := make([]Point, 0, len(v))
		for _, p := range v {
			if p.H == nil && !value.IsStaleNaN(p.F) {
				out = append(out, Point{Labels: p.Metric.Map(), At: time.UnixMilli(p.T).UTC(), Value: p.F})
			}
		}
		return out, nil
	}
	return nil, fault.New(fault.Invalid, "The expression is a %s, not an instant vector.", r.Value.Type()).WithNext("put rate(), avg_over_time() or the like around it")
}

// lookback is how old the newest sample of a series may be to count as its value now.
const lookback = 5 * time.Minute
