package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"shop/internal/hop"
	"shop/internal/rest"
	"shop/internal/telemetry"
)

// Frame is a configured service that does not listen yet.
type Frame struct {
	Config
	Log *slog.Logger
	// Sleep passes the drain; it is time.Sleep unless a test watches what happens meanwhile.
	Sleep func(time.Duration)
	// Crash ends the process as a bug would; tests put something else in its place.
	Crash func()

	telemetry *telemetry.Telemetry
	leaving   atomic.Bool
}

// App is what one service adds to the frame.
type App struct {
	// HTTP answers everything but the probes and the fault endpoint. Nil answers 404.
	HTTP http.Handler
	// GRPC registers the service's gRPC side. Nil means that it has none and no gRPC port is opened.
	GRPC func(grpc.ServiceRegistrar)
}

// NewFrame starts the tracing of a service and returns its frame. The options are for tests that record spans.
func NewFrame(ctx context.Context, cfg Config, getenv func(string) string, log *slog.Logger, options ...sdktrace.TracerProviderOption) (*Frame, error) {
	tel, err := telemetry.New(ctx, cfg.Self, getenv, options...)
	if err != nil {
		return nil, err
	}
	log = tel.Log(log).With("service", cfg.Self.Service, "build", cfg.Self.Build)
	return &Frame{Config: cfg, Log: log, Sleep: time.Sleep, Crash: crash, telemetry: tel}, nil
}

// Client returns the HTTP client for calls to the other services; it passes trace context and baggage on.
func (f *Frame) Client() *http.Client {
	return &http.Client{Transport: f.telemetry.Client(http.DefaultTransport), Timeout: 5 * time.Second}
}

// Meter returns the meter for what the service counts itself.
func (f *Frame) Meter() metric.Meter { return f.telemetry.Meter() }

// Dial returns a gRPC connection to another service; it passes trace context and baggage on. The connection is made on first use.
func (f *Frame) Dial(address string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(f.telemetry.GRPCClient()))
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to %s: %w", address, err)
	}
	return conn, nil
}

// handler puts the frame around the service's own handler.
func (f *Frame) handler(app http.Handler) http.Handler {
	if app == nil {
		app = http.NotFoundHandler()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { rest.Write(w, http.StatusOK, f.probe("alive")) })
	mux.HandleFunc("GET /readyz", f.readyz)
	mux.Handle("GET /metrics", f.telemetry.Metrics())
	mux.Handle("/-/faults", f.Faults)
	mux.HandleFunc("POST /-/faults/crash", f.crashNow)
	mux.Handle("/", f.telemetry.Server(f.observe(f.Faults.Middleware(app))))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(hop.BuildHeader, f.Self.Build)
		mux.ServeHTTP(w, r)
	})
}

// probe is the answer to a probe.
func (f *Frame) probe(state string) map[string]string {
	return map[string]string{"state": state, "service": f.Self.Service, "build": f.Self.Build}
}

func (f *Frame) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case f.FailReady:
		rest.Write(w, http.StatusServiceUnavailable, f.probe("not ready: FAIL_READY is set"))
	case f.leaving.Load():
		rest.Write(w, http.StatusServiceUnavailable, f.probe("not ready: shutting down"))
	default:
		rest.Write(w, http.StatusOK, f.probe("ready"))
	}
}

// grpcServer makes the gRPC server: tracing, build id and fault switch, as over HTTP.
func (f *Frame) grpcServer(register func(grpc.ServiceRegistrar)) *grpc.Server {
	server := grpc.NewServer(
		grpc.StatsHandler(f.telemetry.GRPCServer()),
		grpc.MaxRecvMsgSize(64<<10),
		grpc.UnaryInterceptor(f.intercept))
	register(server)
	return server
}

// answer gives the build id, applies the fault switch and calls the service.
func (f *Frame) answer(ctx context.Context, req any, next grpc.UnaryHandler) (any, error) {
	if err := grpc.SetHeader(ctx, metadata.Pairs(hop.BuildHeader, f.Self.Build)); err != nil {
		return nil, fmt.Errorf("setting the build id: %w", err)
	}
	if err := f.Faults.Apply(ctx); err != nil {
		return nil, unavailable(err)
	}
	return next(ctx, req)
}
