package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"shop/internal/cart"
	"shop/internal/catalog/catalogpb"
	"shop/internal/hop"
	"shop/internal/pricing"
	"shop/internal/rest"
)

// Product is one product as the storefront shows it.
type Product struct {
	SKU     string        `json:"sku"`
	Name    string        `json:"name"`
	Blurb   string        `json:"blurb"`
	Unit    string        `json:"unit"`
	Picture string        `json:"-"`
	Price   pricing.Cents `json:"price_cents"`
}

// Item is one line of the cart with the product's name.
type Item struct {
	pricing.PricedLine
	Name string `json:"name"`
}

// Page is everything that one view of the storefront shows.
type Page struct {
	Build    string    `json:"build"`
	Query    string    `json:"query"`
	Products []Product `json:"products"`
	Items    []Item    `json:"items"`
	Cart     cart.Cart `json:"cart"`
	// Notice tells the visitor what does not work at the moment.
	Notice string `json:"notice,omitempty"`
	// Baggage is the W3C baggage of the request, as web received it.
	Baggage string `json:"baggage,omitempty"`
	// Services says who answered: web, catalog, pricing, cart, in this order.
	Services []hop.Hop `json:"services"`
	TraceID  string    `json:"trace_id"`
}

// compose asks the other services for one page. An error carries the status to answer with.
func (s *Shop) compose(ctx context.Context, query, cartID string) (Page, error) {
	here := s.self.Here(ctx)
	page := Page{
		Build: s.self.Build, Query: query, Baggage: here.Baggage, Services: []hop.Hop{here},
		TraceID: trace.SpanContextFromContext(ctx).TraceID().String(),
		Items:   []Item{},
	}
	found, err := s.catalog.Search(ctx, &catalogpb.SearchRequest{Query: query})
	if err != nil {
		return page, catalogError(err)
	}
	by := found.GetServedBy()
	page.Services = append(page.Services, hop.Hop{Service: by.GetService(), Build: by.GetBuild(), Baggage: by.GetBaggage()})
	if err := s.addPrices(ctx, &page, found.GetProducts()); err != nil {
		return page, err
	}
	s.addCart(ctx, &page, cartID)
	return page, nil
}

// addPrices asks pricing for one piece of everything found.
func (s *Shop) addPrices(ctx context.Context, page *Page, found []*catalogpb.Product) error {
	lines := make([]pricing.Line, 0, len(found))
	for _, p := range found {
		lines = append(lines, pricing.Line{SKU: p.GetSku(), Quantity: 1})
	}
	quote, err := s.pricing.Quote(ctx, lines)
	if err == nil && len(quote.Lines) != len(found) {
		err = errors.New("pricing left products out")
	}
	if err != nil {
		return rest.Errorf(http.StatusBadGateway, "%v", err)
	}
	page.Services = append(page.Services, quote.ServedBy)
	page.Products = make([]Product, 0, len(found))
	for i, p := range found {
		page.Products = append(page.Products, Product{
			SKU: p.GetSku(), Name: p.GetName(), Blurb: p.GetBlurb(), Unit: p.GetUnit(), Picture: p.GetPicture(), Price: quote.Lines[i].Unit,
		})
	}
	return nil
}

// addCart asks for the cart. The shop works without: the page then has an empty one and says so.
func (s *Shop) addCart(ctx context.Context, page *Page, cartID string) {
	got, err := s.cart.Get(ctx, cartID)
	if err != nil {
		s.log.WarnContext(ctx, "cart does not answer", "error", err)
		page.Notice = "The cart is out of reach at the moment. You can look around, and what you put aside earlier is kept."
		return
	}
	page.Cart = got
	page.Services = append(page.Services, got.ServedBy)
	for _, line := range got.Lines {
		page.Items = append(page.Items, Item{PricedLine: line, Name: s.name(line.SKU, page.Products)})
	}
}

// name returns what a cart line is called. A line whose product the search left out is shown by its SKU.
func (s *Shop) name(sku string, shown []Product) string {
	for _, p := range shown {
		if p.SKU == sku {
			return p.Name
		}
	}
	return strings.ReplaceAll(sku, "-", " ")
}

// catalogError turns a gRPC error into one with an HTTP status.
func catalogError(err error) error {
	told := status.Convert(err)
	if told.Code() == codes.InvalidArgument {
		return rest.Errorf(http.StatusBadRequest, "%s", told.Message())
	}
	return rest.Errorf(http.StatusBadGateway, "asking catalog: %s", told.Message())
}
