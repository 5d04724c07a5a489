package cart_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"shop/internal/cart"
	"shop/internal/hop"
	"shop/internal/pricing"
	"shop/internal/rest"
)

func line(sku string, quantity int) pricing.Line { return pricing.Line{SKU: sku, Quantity: quantity} }

func TestStoreArithmetic(t *testing.T) {
	s := cart.NewStore(10)
	steps := []struct {
		name string
		err  error
		want []pricing.Line
	}{
		{"first", s.Add("a", line("rope", 3)), nil},
		{"same again", s.Add("a", line("rope", 4)), nil},
		{"another", s.Add("a", line("bell", 1)), nil},
		{"set", s.Set("a", line("bell", 5)), nil},
		{"other cart", s.Add("b", line("rope", 1)), nil},
		{"take out what is not there", s.Set("a", line("lamp", 0)), nil},
	}
	for _, step := range steps {
		if step.err != nil {
			t.Errorf("%s: %v", step.name, step.err)
		}
	}
	if got, want := s.Lines("a"), []pricing.Line{line("rope", 7), line("bell", 5)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := s.Set("a", line("rope", 0)); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Lines("a"), []pricing.Line{line("bell", 5)}; !slices.Equal(got, want) {
		t.Errorf("after taking rope out: got %v, want %v", got, want)
	}
	if got, want := s.Lines("b"), []pricing.Line{line("rope", 1)}; !slices.Equal(got, want) {
		t.Errorf("the other cart: got %v, want %v", got, want)
	}
}

func TestStoreRefusesAndStaysAsItWas(t *testing.T) {
	s := cart.NewStore(10)
	if err := s.Add("a", line("rope", 990)); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"add none":      s.Add("a", line("rope", 0)),
		"add negative":  s.Add("a", line("rope", -5)),
		"add too many":  s.Add("a", line("rope", 10)),
		"set negative":  s.Set("a", line("rope", -1)),
		"set too many":  s.Set("a", line("rope", 1000)),
		"huge quantity": s.Add("b", line("rope", 1<<40)),
	} {
		if rest.StatusOf(err, 0) != http.StatusBadRequest {
			t.Errorf("%s: got %v, want status 400", name, err)
		}
	}
	if got, want := s.Lines("a"), []pricing.Line{line("rope", 990)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i := range pricing.MaxLines {
		if err := s.Add("c", line(fmt.Sprint("sku-", i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add("c", line("one-more", 1)); rest.StatusOf(err, 0) != http.StatusBadRequest {
		t.Errorf("line %d: got %v, want status 400", pricing.MaxLines+1, err)
	}
}

func TestStoreForgetsTheCartLongestUntouched(t *testing.T) {
	s := cart.NewStore(2)
	for _, id := range []string{"old", "kept", "old", "new"} { // "old" is touched again, so "kept" is the oldest
		if err := s.Add(id, line("rope", 1)); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]int{"old": 1, "kept": 0, "new": 1} {
		if got := len(s.Lines(id)); got != want {
			t.Errorf("%s has %d lines, want %d", id, got, want)
		}
	}
}

func TestStoreLinesAreACopy(t *testing.T) {
	s := cart.NewStore(2)
	if err := s.Add("a", line("rope", 1)); err != nil {
		t.Fatal(err)
	}
	s.Lines("a")[0].Quantity = 99
	if got := s.Lines("a")[0].Quantity; got != 1 {
		t.Errorf("a caller changed the store: quantity %d", got)
	}
}

func TestStoreAddsFromManySides(t *testing.T) {
	s := cart.NewStore(2)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := s.Add("a", line("rope", 2)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := s.Lines("a"); len(got) != 1 || got[0].Quantity != 200 {
		t.Errorf("got %v, want 200 pieces of rope", got)
	}
}

// id is a well-formed cart id.
var id = strings.Repeat("0a", 16)

// quoterFunc lets a function answer for pricing.
type quoterFunc func([]pricing.Line) (pricing.Quote, error)

func (f quoterFunc) Quote(_ context.Context, lines []pricing.Line) (pricing.Quote, error) {
	return f(lines)
}

func client(t *testing.T, quoter cart.Quoter) *cart.Client {
	t.Helper()
	server := httptest.NewServer(cart.Handler(hop.Self{Service: "cart", Build: "b3"}, cart.NewStore(5), quoter))
	t.Cleanup(server.Close)
	return cart.NewClient(server.URL, server.Client())
}

func TestCartOverHTTP(t *testing.T) {
	c := client(t, quoterFunc(pricing.List().Quote))
	if got, err := c.Get(t.Context(), id); err != nil || got.Pieces != 0 || len(got.Lines) != 0 || got.ServedBy.Build != "b3" {
		t.Errorf("a new cart: got %+v, %v", got, err)
	}
	if _, err := c.Add(t.Context(), id, line("rope-12", 10)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Add(t.Context(), id, line("bell-brass", 3))
	if err != nil {
		t.Fatal(err)
	}
	if got.Pieces != 13 || got.Subtotal != 2366+9999 || got.VAT != 2061 {
		t.Errorf("got %d pieces for %s with %s VAT, want 13 for 123.65 with 20.61", got.Pieces, got.Subtotal, got.VAT)
	}
	if got, err = c.Set(t.Context(), id, line("rope-12", 0)); err != nil || got.Pieces != 3 || got.Subtotal != 9999 {
		t.Errorf("after taking rope out: got %+v, %v", got, err)
	}
}

func TestCartRefusals(t *testing.T) {
	good := quoterFunc(pricing.List().Quote)
	down := quoterFunc(func([]pricing.Line) (pricing.Quote, error) { return pricing.Quote{}, errors.New("connection refused") })
	tests := map[string]struct {
		quoter cart.Quoter
		id     string
		line   pricing.Line
		code   int
	}{
		"unknown product":  {good, id, line("anchor", 1), 404},
		"no quantity":      {good, id, line("rope-12", 0), 400},
		"id too short":     {good, "0a", line("rope-12", 1), 400},
		"id with a path":   {good, "../" + id[3:], line("rope-12", 1), 400},
		"pricing is away":  {down, id, line("rope-12", 1), 502},
		"pricing says 503": {quoterFunc(func([]pricing.Line) (pricing.Quote, error) { return pricing.Quote{}, rest.Errorf(503, "busy") }), id, line("rope-12", 1), 502},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := client(t, tt.quoter)
			got, err := c.Add(t.Context(), tt.id, tt.line)
			if rest.StatusOf(err, 0) != tt.code {
				t.Errorf("got %+v, %v; want status %d", got, err, tt.code)
			}
		})
	}
}

func TestABrokenCartFailsWhenItIsRead(t *testing.T) {
	for share, want := range map[float64]int{0: http.StatusOK, 1: http.StatusInternalServerError} {
		h := cart.Handler(hop.Self{Service: "cart"}, cart.NewStore(5), nil, cart.Broken(share))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/carts/00000000000000000000000000000000", nil))
		if rec.Code != want {
			t.Errorf("a share of %v answers %d, not %d", share, rec.Code, want)
		}
	}
}

func TestASlowAndALeakingCartAnswerStill(t *testing.T) {
	h := cart.Handler(hop.Self{Service: "cart"}, cart.NewStore(5), nil, cart.Slow(1), cart.Leaking(1<<10), cart.Panicking(0), cart.Broken(0))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/carts/"+strings.Repeat("a", 32), nil))
	if w.Code != http.StatusOK {
		t.Errorf("got status %d", w.Code)
	}
}

func TestTheRegressionsAddUp(t *testing.T) {
	h := cart.Handler(hop.Self{Service: "cart"}, cart.NewStore(5), nil, cart.Broken(1), cart.Panicking(1))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/carts/"+strings.Repeat("a", 32), nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("got status %d; the first regression answers, and the second is not reached", w.Code)
	}
}
