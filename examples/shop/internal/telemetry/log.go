package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
)

// handler writes records locally with the ids of their span, and hands them to the remote handler as they are: that one takes the
// ids from the context itself.
type handler struct {
	local  slog.Handler
	remote slog.Handler // nil without a collector
}

// Enabled follows the local handler, so that both get the same records.
func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.local.Enabled(ctx, l) }

// Handle writes one record.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if h.remote != nil && h.remote.Enabled(ctx, r.Level) {
		_ = h.remote.Handle(ctx, r.Clone()) // it only queues; what goes wrong later comes to LogErrors
	}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.local.Handle(ctx, r)
}

// WithAttrs returns a handler that adds attributes to each record.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.local = h.local.WithAttrs(attrs)
	if h.remote != nil {
		h.remote = h.remote.WithAttrs(attrs)
	}
	return h
}

// WithGroup returns a handler that puts the attributes of each record into a group.
func (h handler) WithGroup(name string) slog.Handler {
	h.local = h.local.WithGroup(name)
	if h.remote != nil {
		h.remote = h.remote.WithGroup(name)
	}
	return h
}

// LogErrors sends OpenTelemetry's own errors to the log, at most one in every interval. The SDK reports through a global and once
// per failed batch: a collector that is away must not fill the log of a service that works.
func LogErrors(log *slog.Logger, interval time.Duration, now func() time.Time) {
	otel.SetErrorHandler(&limited{log: log, interval: interval, now: now})
}

// limited is an error handler with a rate limit.
type limited struct {
	log      *slog.Logger
	interval time.Duration
	now      func() time.Time

	mu     sync.Mutex
	next   time.Time
	unsaid int
}

// Handle logs the error, or counts it when the last line is too recent.
func (l *limited) Handle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.now(); at.Before(l.next) {
		l.unsaid++
	} else {
		l.log.Warn("telemetry", "error", err, "unsaid", l.unsaid)
		l.next, l.unsaid = at.Add(l.interval), 0
	}
}
