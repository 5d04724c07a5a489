package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	"shop/internal/cart"
	"shop/internal/catalog/catalogpb"
	"shop/internal/hop"
	"shop/internal/pricing"
	"shop/internal/rest"
)

//go:embed static page.html art.html
var files embed.FS

// Catalog finds products; see proto/catalog.proto.
type Catalog interface {
	Search(ctx context.Context, req *catalogpb.SearchRequest, opts ...grpc.CallOption) (*catalogpb.SearchResponse, error)
}

// Pricing prices lines, in their order.
type Pricing interface {
	Quote(ctx context.Context, lines []pricing.Line) (pricing.Quote, error)
}

// Cart keeps what a visitor put aside. An unknown cart is an empty one. Errors carry the status of the service (rest.StatusOf).
type Cart interface {
	Get(ctx context.Context, id string) (cart.Cart, error)
	Add(ctx context.Context, id string, line pricing.Line) (cart.Cart, error)
	Set(ctx context.Context, id string, line pricing.Line) (cart.Cart, error)
}

// cookie holds the id of the visitor's cart.
const cookie = "shop_cart"

// idForm is what the cookie must look like; any other value is replaced by a fresh id.
var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Neighbours are the services that the storefront asks.
type Neighbours struct {
	Catalog Catalog
	Pricing Pricing
	Cart    Cart
}

// Shop is the storefront's handler.
type Shop struct {
	self    hop.Self
	catalog Catalog
	pricing Pricing
	cart    Cart
	log     *slog.Logger
	page    *template.Template
	count   counters
}

// Handler returns the storefront:
//
//	GET  /           the page, ?q= searches
//	POST /cart       form sku, quantity: put pieces aside, then back to the page
//	POST /cart/set   form sku, quantity: set the quantity; 0 takes it out
//	POST /checkout   buy what is in the cart, then back to the page
//	GET  /api/shop   the page's content as JSON
//
// Forms that come from another site are refused.
func Handler(self hop.Self, next Neighbours, log *slog.Logger, meter metric.Meter) (http.Handler, error) {
	page, err := template.New("page.html").ParseFS(files, "page.html", "art.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the page: %w", err)
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, fmt.Errorf("opening the static files: %w", err)
	}
	count, err := newCounters(meter)
	if err != nil {
		return nil, err
	}
	s := &Shop{self: self, catalog: next.Catalog, pricing: next.Pricing, cart: next.Cart, log: log, page: page, count: count}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.showPage)
	mux.HandleFunc("GET /api/shop", s.showJSON)
	mux.HandleFunc("POST /cart", s.change(next.Cart.Add))
	mux.HandleFunc("POST /cart/set", s.change(next.Cart.Set))
	mux.HandleFunc("POST /checkout", s.checkout)
	mux.Handle("GET /static/", http.StripPrefix("/static", http.FileServerFS(static)))
	return secure(http.NewCrossOriginProtection().Handler(mux)), nil
}

// secure adds the headers that keep a page to its own files.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func (s *Shop) showPage(w http.ResponseWriter, r *http.Request) {
	page, err := s.compose(r.Context(), r.URL.Query().Get("q"), s.cartID(w, r))
	code := http.StatusOK
	if err != nil {
		code = rest.StatusOf(err, http.StatusBadGateway)
		page.Notice = "The shop cannot show its shelves at the moment: " + err.Error()
		rest.Report(w, err)
	}
	var body bytes.Buffer
	if err := s.page.Execute(&body, page); err != nil {
		s.log.ErrorContext(r.Context(), "rendering the page", "error", err)
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = body.WriteTo(w)
}

func (s *Shop) showJSON(w http.ResponseWriter, r *http.Request) {
	page, err := s.compose(r.Context(), r.URL.Query().Get("q"), s.cartID(w, r))
	if err != nil {
		rest.Fail(w, err)
		return
	}
	rest.Write(w, http.StatusOK, page)
}

// change handles a cart form: it does the change and sends the visitor back to the page.
func (s *Shop) change(do func(context.Context, string, pricing.Line) (cart.Cart, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		quantity, err := strconv.Atoi(r.PostFormValue("quantity"))
		if err != nil {
			http.Error(w, "the quantity must be a whole number", http.StatusBadRequest)
			return
		}
		if _, err := do(r.Context(), s.cartID(w, r), pricing.Line{SKU: r.PostFormValue("sku"), Quantity: quantity}); err != nil {
			rest.Report(w, err)
			http.Error(w, err.Error(), rest.StatusOf(err, http.StatusBadGateway))
			return
		}
		s.count.aside.Add(r.Context(), 1)
		http.Redirect(w, r, "/#cart", http.StatusSeeOther)
	}
}

// cartID returns the id in the visitor's cookie, or sets a cookie with a fresh one.
func (s *Shop) cartID(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(cookie); err == nil && idForm.MatchString(c.Value) {
		return c.Value
	}
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails: the standard library ends the program instead
	id := hex.EncodeToString(bits[:])
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: "/", MaxAge: 7 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return id
}
