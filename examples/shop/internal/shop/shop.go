// Package shop composes the four services: the one place that knows both the frame and a particular service.
//
// Each function is a service.Compose. It may import everything; only commands and tests import it.
package shop

import (
	"cmp"

	"google.golang.org/grpc"

	"shop/internal/cart"
	"shop/internal/catalog"
	"shop/internal/catalog/catalogpb"
	"shop/internal/pricing"
	"shop/internal/service"
	"shop/internal/web"
)

// maxCarts limits the carts in memory.
const maxCarts = 10_000

// Pricing composes the price service.
func Pricing(f *service.Frame, _ func(string) string) (service.App, error) {
	return service.App{HTTP: pricing.Handler(f.Self, pricing.List())}, nil
}

// Catalog composes the catalogue, the service with a gRPC side.
func Catalog(f *service.Frame, _ func(string) string) (service.App, error) {
	server := catalog.NewServer(f.Self, catalog.Stock())
	return service.App{GRPC: func(r grpc.ServiceRegistrar) { catalogpb.RegisterCatalogServer(r, server) }}, nil
}

// Cart composes the cart service; PRICING_URL names the price service.
func Cart(f *service.Frame, getenv func(string) string) (service.App, error) {
	return CartWith()(f, getenv)
}

// CartWith is Cart with options.
func CartWith(options ...cart.Option) service.Compose {
	return func(f *service.Frame, getenv func(string) string) (service.App, error) {
		quoter := pricing.NewClient(pricingURL(getenv), f.Client())
		return service.App{HTTP: cart.Handler(f.Self, cart.NewStore(maxCarts), quoter, options...)}, nil
	}
}

// Web composes the storefront; CATALOG_ADDR, PRICING_URL and CART_URL name its neighbours.
func Web(f *service.Frame, getenv func(string) string) (service.App, error) {
	conn, err := f.Dial(cmp.Or(getenv("CATALOG_ADDR"), "catalog:9090"))
	if err != nil {
		return service.App{}, err
	}
	client := f.Client()
	handler, err := web.Handler(f.Self, web.Neighbours{
		Catalog: catalogpb.NewCatalogClient(conn),
		Pricing: pricing.NewClient(pricingURL(getenv), client),
		Cart:    cart.NewClient(cmp.Or(getenv("CART_URL"), "http://cart:8080"), client),
	}, f.Log, f.Meter())
	if err != nil {
		return service.App{}, err
	}
	return service.App{HTTP: handler}, nil
}

func pricingURL(getenv func(string) string) string {
	return cmp.Or(getenv("PRICING_URL"), "http://pricing:8080")
}
