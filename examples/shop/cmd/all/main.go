// Command all runs the four services in one process, to look at the shop without a cluster:
//
//	go run ./cmd/all          then open http://127.0.0.1:8080
//
// The web service listens on LISTEN (default 127.0.0.1:8080), the others on free ports. FAULTS and the other switches of the
// environment apply to all four.
package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"shop/internal/service"
	"shop/internal/shop"
	"shop/internal/telemetry"
)

// buildID is set by the linker: -ldflags "-X main.buildID=…".
var buildID string

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	telemetry.LogErrors(log, time.Minute, time.Now)
	if err := run(ctx, log); err != nil {
		log.Error("stopped", "error", err)
		os.Exit(1)
	}
}

// run starts the services in the order of their dependencies, each told where the earlier ones listen.
func run(ctx context.Context, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	var services sync.WaitGroup
	var mu sync.Mutex
	var failed error
	defer services.Wait()
	defer cancel()

	env := map[string]string{"LISTEN": "127.0.0.1:0", "LISTEN_GRPC": "127.0.0.1:0"}
	getenv := func(name string) string { return cmp.Or(env[name], os.Getenv(name)) }
	launch := func(name string, compose service.Compose) (*service.Running, error) {
		running, err := service.Launch(ctx, name, buildID, getenv, log, compose)
		if err != nil {
			return nil, err
		}
		services.Go(func() {
			defer cancel()
			if err := running.Run(ctx); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
		return running, nil
	}
	catalog, err := launch("catalog", shop.Catalog)
	if err != nil {
		return err
	}
	env["CATALOG_ADDR"] = catalog.AddrGRPC()
	pricing, err := launch("pricing", shop.Pricing)
	if err != nil {
		return err
	}
	env["PRICING_URL"] = "http://" + pricing.Addr()
	cart, err := launch("cart", shop.Cart)
	if err != nil {
		return err
	}
	env["CART_URL"] = "http://" + cart.Addr()
	env["LISTEN"] = cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:8080")
	if _, err := launch("web", shop.Web); err != nil {
		return err
	}
	services.Wait()
	return failed
}
