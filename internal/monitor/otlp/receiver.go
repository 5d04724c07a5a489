package otlp

import (
	"context"
	"log/slog"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// Signals of what comes by OTLP, in the counts of package ingest.
const (
	SignalLogs   = "logs"
	SignalTraces = "traces"
)

// Parts are what a Receiver is made of.
type Parts struct {
	Rows     Rows
	Resolver Resolver
	Clock    clock.Clock
	Problem  Problem      // nil: exceptions are grouped by their type
	Logger   *slog.Logger // nil is silent

	// MaxBody bounds a request in bytes, compressed and decompressed; 0 means 4 MiB (the
	// default of the OpenTelemetry Collector's gRPC receiver).
	MaxBody int
	// Concurrency is how many requests are worked on at a time; the others wait; 0 means 32.
	Concurrency int
}

// Receiver takes OTLP requests. It is safe for concurrent use.
type Receiver struct {
	Parts
	unpack *zstd.Decoder
	slots  chan struct{}
	delta  *accumulator
	tables map[string]*table.Table
}

// The defaults of Parts.
const (
	defaultMaxBody     = 4 << 20
	defaultConcurrency = 32
)

// New returns a receiver.
func New(p Parts) (*Receiver, error) {
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	if p.MaxBody <= 0 {
		p.MaxBody = defaultMaxBody
	}
	if p.Concurrency <= 0 {
		p.Concurrency = defaultConcurrency
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(uint64(p.MaxBody)), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &Receiver{Parts: p, unpack: unpack, slots: make(chan struct{}, p.Concurrency), delta: newAccumulator(), tables: tables()}, nil
}

// tables returns those that rows are made for.
func tables() map[string]*table.Table {
	out := map[string]*table.Table{}
	for _, t := range table.Catalog() {
		out[t.Name] = t
	}
	return out
}

// rejected says what of a request was refused for good, for the partial success.
type rejected struct {
	items   int64
	message string
}

func (r *rejected) add(items int, message string) {
	r.items += int64(items)
	if r.message == "" {
		r.message = message
	}
}

// slot waits until the request may be worked on.
func (r *Receiver) slot(ctx context.Context) (done func(), err error) {
	select {
	case r.slots <- struct{}{}:
		return func() { <-r.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// traces stores spans.
func (r *Receiver) traces(ctx context.Context, s Sender, td ptrace.Traces) (rejected, error) {
	m := newMapper(r, s, SignalTraces)
	for _, rs := range td.ResourceSpans().All() {
		items := 0
		for _, ss := range rs.ScopeSpans().All() {
			items += ss.Spans().Len()
		}
		into, err := m.resource(ctx, rs.Resource(), items)
		if err != nil {
			return rejected{}, err
		}
		if into == nil {
			continue
		}
		roots := operations(rs)
		for _, ss := range rs.ScopeSpans().All() {
			into.scope(ss.Scope())
			for _, span := range ss.Spans().All() {
				into.span(span, roots)
			}
		}
	}
	return m.store(ctx)
}

// logs stores log records.
func (r *Receiver) logs(ctx context.Context, s Sender, ld plog.Logs) (rejected, error) {
	m := newMapper(r, s, SignalLogs)
	for _, rl := range ld.ResourceLogs().All() {
		items := 0
		for _, sl := range rl.ScopeLogs().All() {
			items += sl.LogRecords().Len()
		}
		into, err := m.resource(ctx, rl.Resource(), items)
		if err != nil {
			return rejected{}, err
		}
		if into == nil {
			continue
		}
		for _, sl := range rl.ScopeLogs().All() {
			into.scope(sl.Scope())
			for _, record := range sl.LogRecords().All() {
				into.record(record)
			}
		}
	}
	return m.store(ctx)
}

// metrics stores data points.
func (r *Receiver) metrics(ctx context.Context, s Sender, md pmetric.Metrics) (rejected, error) {
	w := &whose{receiver: r, sender: s, signal: ingest.SignalMetrics, places: map[string]*answer{}}
	groups := map[string]pmetric.Metrics{}
	places := map[string]place.Place{}
	for _, rm := range md.ResourceMetrics().All() {
		items := 0
		for _, sm := range rm.ScopeMetrics().All() {
			for _, metric := range sm.Metrics().All() {
				items += points(metric)
			}
		}
		p, ok, err := w.find(ctx, rm.Resource(), items)
		if err != nil {
			return rejected{}, err
		}
		if !ok || items == 0 {
			continue
		}
		group, ok := groups[p.Project]
		if !ok {
			group = pmetric.NewMetrics()
			groups[p.Project], places[p.Project] = group, p
		}
		rm.MoveTo(group.ResourceMetrics().AppendEmpty())
	}
	for project, group := range groups {
		p := places[project]
		n, late := r.normalise(group, p)
		for reason, count := range late {
			w.rejected.add(count, reason)
			r.Rows.Drop(project, ingest.SignalMetrics, reason, count)
		}
		if n == 0 {
			continue
		}
		out, err := r.Rows.PutMetrics(ctx, p, group, n)
		if err != nil {
			return rejected{}, err
		}
		if out.Refused > 0 {
			w.rejected.add(out.Refused, out.Message)
		}
	}
	return w.result()
}

// internalFault is what a panic of a foreign library becomes.
func internalFault(reason any) error {
	return fault.New(fault.Invalid, "The request cannot be read.").WithNext("send what the OpenTelemetry protocol describes (%.80v)", reason)
}
