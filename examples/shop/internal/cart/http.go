package cart

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"shop/internal/hop"
	"shop/internal/pricing"
	"shop/internal/rest"
)

// Cart is a cart with its price.
type Cart struct {
	Lines    []pricing.PricedLine `json:"lines"`
	Pieces   int                  `json:"pieces"`
	Subtotal pricing.Cents        `json:"subtotal_cents"`
	VAT      pricing.Cents        `json:"vat_cents"`
	ServedBy hop.Hop              `json:"served_by"`
	// PricedBy is the pricing service's hop; it is empty for an empty cart, which nobody had to price.
	PricedBy hop.Hop `json:"priced_by,omitzero"`
}

// Quoter prices lines. An unknown product is an error that carries status 404 (see rest.StatusOf).
type Quoter interface {
	Quote(ctx context.Context, lines []pricing.Line) (pricing.Quote, error)
}

// idForm is what a cart id looks like: callers draw 128 random bits, so that a cart cannot be guessed.
var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// server answers for a Store.
type server struct {
	self   hop.Self
	store  *Store
	quoter Quoter
	read   func() error // before a cart is read
}

// Handler serves carts:
//
//	GET  /v1/carts/{id}              the cart
//	POST /v1/carts/{id}/items        {"sku","quantity"}: add pieces
//	PUT  /v1/carts/{id}/items/{sku}  {"quantity"}: set the quantity; 0 takes it out
//
// Each answers with the Cart. A product that pricing does not know is refused with status 404.
func Handler(self hop.Self, store *Store, quoter Quoter, options ...Option) http.Handler {
	s := &server{self: self, store: store, quoter: quoter, read: func() error { return nil }}
	for _, o := range options {
		o(s)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/carts/{id}", s.answer(func(http.ResponseWriter, *http.Request) error { return s.read() }))
	mux.HandleFunc("POST /v1/carts/{id}/items", s.answer(s.add))
	mux.HandleFunc("PUT /v1/carts/{id}/items/{sku}", s.answer(s.set))
	return mux
}

// answer runs one change and answers with the cart after it.
func (s *server) answer(change func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		if !idForm.MatchString(id) {
			rest.Fail(w, rest.Errorf(http.StatusBadRequest, "a cart id has 32 hexadecimal digits"))
			return
		}
		if err := change(w, r); err != nil {
			rest.Fail(w, err)
			return
		}
		cart, err := s.price(r.Context(), s.store.Lines(id))
		if err != nil {
			rest.Fail(w, err)
			return
		}
		rest.Write(w, http.StatusOK, cart)
	}
}

func (s *server) add(w http.ResponseWriter, r *http.Request) error {
	var line pricing.Line
	if err := rest.Read(w, r, &line); err != nil {
		return err
	}
	if err := s.known(r.Context(), line.SKU); err != nil {
		return err
	}
	return s.store.Add(r.PathValue("id"), line)
}

func (s *server) set(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Quantity int `json:"quantity"`
	}
	if err := rest.Read(w, r, &in); err != nil {
		return err
	}
	line := pricing.Line{SKU: r.PathValue("sku"), Quantity: in.Quantity}
	if in.Quantity > 0 {
		if err := s.known(r.Context(), line.SKU); err != nil {
			return err
		}
	}
	return s.store.Set(r.PathValue("id"), line)
}

// known refuses a product that has no price, before it gets into a cart that could then never be priced again.
func (s *server) known(ctx context.Context, sku string) error {
	_, err := s.quote(ctx, []pricing.Line{{SKU: sku, Quantity: 1}})
	return err
}

func (s *server) price(ctx context.Context, lines []pricing.Line) (Cart, error) {
	cart := Cart{Lines: []pricing.PricedLine{}, ServedBy: s.self.Here(ctx)}
	if len(lines) == 0 {
		return cart, nil
	}
	quote, err := s.quote(ctx, lines)
	if err != nil {
		return Cart{}, err
	}
	cart.Lines, cart.Subtotal, cart.VAT, cart.PricedBy = quote.Lines, quote.Subtotal, quote.VAT, quote.ServedBy
	for _, line := range lines {
		cart.Pieces += line.Quantity
	}
	return cart, nil
}

// quote asks pricing. Its "unknown" and "bad request" are the caller's matter; any other failure is ours, a bad gateway.
func (s *server) quote(ctx context.Context, lines []pricing.Line) (pricing.Quote, error) {
	quote, err := s.quoter.Quote(ctx, lines)
	if err == nil {
		return quote, nil
	}
	switch rest.StatusOf(err, 0) {
	case http.StatusNotFound, http.StatusBadRequest:
		return pricing.Quote{}, err
	default:
		return pricing.Quote{}, rest.Errorf(http.StatusBadGateway, "pricing does not answer: %v", err)
	}
}

// Client asks a cart service.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client for the cart service at base, such as "http://cart:8080".
func NewClient(base string, client *http.Client) *Client { return &Client{base: base, http: client} }

// Get returns a cart; an unknown one is empty.
func (c *Client) Get(ctx context.Context, id string) (Cart, error) {
	return c.call(ctx, http.MethodGet, c.base+"/v1/carts/"+url.PathEscape(id), nil)
}

// Add puts pieces of a product into a cart and returns the cart.
func (c *Client) Add(ctx context.Context, id string, line pricing.Line) (Cart, error) {
	return c.call(ctx, http.MethodPost, c.base+"/v1/carts/"+url.PathEscape(id)+"/items", line)
}

// Set makes the quantity of a product exactly that of line, zero takes it out, and returns the cart.
func (c *Client) Set(ctx context.Context, id string, line pricing.Line) (Cart, error) {
	at := c.base + "/v1/carts/" + url.PathEscape(id) + "/items/" + url.PathEscape(line.SKU)
	return c.call(ctx, http.MethodPut, at, map[string]int{"quantity": line.Quantity})
}

func (c *Client) call(ctx context.Context, method, at string, in any) (Cart, error) {
	var cart Cart
	if err := rest.Call(ctx, c.http, method, at, in, &cart); err != nil {
		return Cart{}, fmt.Errorf("asking the cart service: %w", err)
	}
	return cart, nil
}
