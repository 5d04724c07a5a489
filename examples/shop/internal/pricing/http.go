package pricing

import (
	"context"
	"fmt"
	"net/http"

	"shop/internal/hop"
	"shop/internal/rest"
)

// request is the body of POST /v1/quote.
type request struct {
	Lines []Line `json:"lines"`
}

// Handler serves POST /v1/quote: {"lines":[{"sku","quantity"}]} in, a Quote out.
func Handler(self hop.Self, prices Prices) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/quote", func(w http.ResponseWriter, r *http.Request) {
		var in request
		if err := rest.Read(w, r, &in); err != nil {
			rest.Fail(w, err)
			return
		}
		quote, err := prices.Quote(in.Lines)
		if err != nil {
			rest.Fail(w, err)
			return
		}
		quote.ServedBy = self.Here(r.Context())
		rest.Write(w, http.StatusOK, quote)
	})
	return mux
}

// Client asks a pricing service.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client for the pricing service at base, such as "http://pricing:8080".
func NewClient(base string, client *http.Client) *Client { return &Client{base: base, http: client} }

// Quote prices lines. An answer other than 2xx is a *rest.Error with the service's status.
func (c *Client) Quote(ctx context.Context, lines []Line) (Quote, error) {
	var quote Quote
	if err := rest.Call(ctx, c.http, http.MethodPost, c.base+"/v1/quote", request{Lines: lines}, &quote); err != nil {
		return Quote{}, fmt.Errorf("asking pricing for a quote: %w", err)
	}
	return quote, nil
}
