package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"shop/internal/telemetry"
)

// closing is how long requests in flight may take after the drain.
const closing = 4 * time.Second

// Compose builds a service's App from its frame. It is called once, before the service listens.
type Compose func(f *Frame, getenv func(string) string) (App, error)

// Running is a service whose ports are open.
type Running struct {
	frame *Frame
	http  *http.Server
	grpc  *grpc.Server
	lis   net.Listener
	lisG  net.Listener
}

// Start opens the ports. Nothing is answered before Run.
func (f *Frame) Start(ctx context.Context, app App) (*Running, error) {
	r := &Running{frame: f}
	var lc net.ListenConfig
	var err error
	if r.lis, err = lc.Listen(ctx, "tcp", f.Listen); err != nil {
		return nil, fmt.Errorf("opening the HTTP port %s (LISTEN): %w", f.Listen, err)
	}
	r.http = &http.Server{
		Handler: f.handler(app.HTTP), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(f.Log.Handler(), slog.LevelWarn),
	}
	if app.GRPC == nil {
		return r, nil
	}
	if r.lisG, err = lc.Listen(ctx, "tcp", f.ListenGRPC); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the gRPC port %s (LISTEN_GRPC): %w", f.ListenGRPC, err), r.lis.Close())
	}
	r.grpc = f.grpcServer(app.GRPC)
	return r, nil
}

// Addr returns the HTTP address as host:port.
func (r *Running) Addr() string { return r.lis.Addr().String() }

// AddrGRPC returns the gRPC address as host:port, or "" for a service without a gRPC side.
func (r *Running) AddrGRPC() string {
	if r.lisG == nil {
		return ""
	}
	return r.lisG.Addr().String()
}

// Run serves until ctx ends, then leaves in order: /readyz fails, the drain passes, requests in flight finish, ports close, traces
// are flushed. It returns nil after such an end and an error if a port failed before.
func (r *Running) Run(ctx context.Context) error {
	if r.frame.CrashLoop {
		r.frame.Log.Error("ending at once", "why", "CRASH is set")
		r.frame.Crash()
	}
	failed := make(chan error, 2)
	go func() { failed <- r.http.Serve(r.lis) }()
	if r.grpc != nil {
		go func() { failed <- r.grpc.Serve(r.lisG) }()
	}
	r.frame.Log.Info("serving", "http", r.Addr(), "grpc", r.AddrGRPC())
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serving: %w", err), r.close())
	case <-ctx.Done():
	}
	r.frame.leaving.Store(true)
	r.frame.Log.Info("draining", "for", r.frame.Drain)
	r.frame.Sleep(r.frame.Drain)
	return r.close()
}

// close ends what runs. It has a deadline of its own because the context that asked for the end is over.
func (r *Running) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if r.grpc != nil {
		stop := context.AfterFunc(ctx, r.grpc.Stop)
		r.grpc.GracefulStop()
		stop()
	}
	err := r.http.Shutdown(ctx)
	if flush := r.frame.telemetry.Close(ctx); flush != nil {
		r.frame.Log.Warn("telemetry lost", "error", flush)
	}
	if err != nil {
		return fmt.Errorf("closing the HTTP port: %w", err)
	}
	return nil
}

// Launch reads the environment, composes the service and opens its ports.
func Launch(ctx context.Context, name, linked string, getenv func(string) string, log *slog.Logger, compose Compose) (*Running, error) {
	cfg, err := NewConfig(name, linked, getenv)
	if err != nil {
		return nil, fmt.Errorf("reading the environment of %s: %w", name, err)
	}
	frame, err := NewFrame(ctx, cfg, getenv, log)
	if err != nil {
		return nil, err
	}
	app, err := compose(frame, getenv)
	if err != nil {
		return nil, fmt.Errorf("composing %s: %w", name, err)
	}
	return frame.Start(ctx, app)
}

// Main is the whole main function of a service: it runs until SIGTERM or SIGINT and returns the exit code.
func Main(name, linked string, compose Compose) int {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	telemetry.LogErrors(log, 10*time.Minute, time.Now)
	running, err := Launch(ctx, name, linked, os.Getenv, log, compose)
	if err == nil {
		err = running.Run(ctx)
	}
	if err != nil {
		log.Error("stopped", "service", name, "error", err)
		return 1
	}
	return 0
}

// unavailable is the gRPC form of an injected fault; a caller that left gets the code for that.
func unavailable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Unavailable, err.Error())
}
