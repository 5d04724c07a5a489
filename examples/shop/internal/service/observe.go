package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"shop/internal/rest"
)

// observe writes a line for each request and notes on its span why it failed: the error that the handler met, or a panic, with the
// stack. A panic is answered with status 500 and does not end the service.
func (f *Frame) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, rec := time.Now(), &recorder{ResponseWriter: w, span: trace.SpanFromContext(r.Context())}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { // that is how a handler breaks off on purpose
					panic(p)
				}
				rest.Fail(rec, fmt.Errorf("panic: %v", p))
			}
			f.line(r.Context(), r.Method+" "+r.URL.Path, rec.cause, rec.status >= http.StatusInternalServerError,
				slog.Int("status", rec.status), slog.Duration("took", time.Since(began)))
		}()
		next.ServeHTTP(rec, r)
	})
}

// line logs one request.
func (f *Frame) line(ctx context.Context, what string, cause error, failed bool, attrs ...slog.Attr) {
	level := slog.LevelInfo
	if failed {
		level = slog.LevelError
	}
	if cause != nil {
		attrs = append(attrs, slog.String("error", cause.Error()))
	}
	f.Log.LogAttrs(ctx, level, what, attrs...)
}

// recorder notes what a handler answers. It is a rest.Witness.
type recorder struct {
	http.ResponseWriter
	span   trace.Span
	status int
	cause  error
}

// Failed notes an error on the span.
func (r *recorder) Failed(err error) {
	r.cause = err
	note(r.span, err)
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// note records an error with its stack.
func note(span trace.Span, err error) {
	span.RecordError(err, trace.WithStackTrace(true))
	span.SetStatus(codes.Error, err.Error())
}

// intercept is observe for gRPC, with the build id and the fault switch.
func (f *Frame) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	began := time.Now()
	out, err := f.answer(ctx, req, next)
	if err != nil {
		note(trace.SpanFromContext(ctx), err)
	}
	f.line(ctx, info.FullMethod, err, err != nil, slog.Duration("took", time.Since(began)))
	return out, err
}
