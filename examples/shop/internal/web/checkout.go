package web

import (
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/metric"

	"shop/internal/pricing"
	"shop/internal/rest"
)

// counters are what the shop earns by.
type counters struct {
	aside, checkouts, pieces, revenue metric.Int64Counter
}

func newCounters(m metric.Meter) (c counters, err error) {
	for _, x := range []struct {
		to              *metric.Int64Counter
		name, unit, doc string
	}{
		{&c.aside, "shop.cart.changes", "{change}", "Changes of carts by visitors"},
		{&c.checkouts, "shop.checkouts", "{checkout}", "Carts that were bought"},
		{&c.pieces, "shop.pieces.sold", "{piece}", "Pieces that were bought"},
		{&c.revenue, "shop.revenue", "{cent}", "What was paid, in cents"},
	} {
		if *x.to, err = m.Int64Counter(x.name, metric.WithUnit(x.unit), metric.WithDescription(x.doc)); err != nil {
			return c, fmt.Errorf("making the counter %s: %w", x.name, err)
		}
	}
	return c, nil
}

// checkout sells what is in the cart: it empties the cart and counts. An empty cart is refused.
func (s *Shop) checkout(w http.ResponseWriter, r *http.Request) {
	ctx, id := r.Context(), s.cartID(w, r)
	got, err := s.cart.Get(ctx, id)
	if err == nil && len(got.Lines) == 0 {
		err = rest.Errorf(http.StatusConflict, "the cart is empty; put something aside first")
	}
	for _, line := range got.Lines {
		if err == nil {
			_, err = s.cart.Set(ctx, id, pricing.Line{SKU: line.SKU})
		}
	}
	if err != nil {
		rest.Report(w, err)
		http.Error(w, err.Error(), rest.StatusOf(err, http.StatusBadGateway))
		return
	}
	s.count.checkouts.Add(ctx, 1)
	s.count.pieces.Add(ctx, int64(got.Pieces))
	s.count.revenue.Add(ctx, int64(got.Subtotal))
	s.log.InfoContext(ctx, "checkout", "pieces", got.Pieces, "cents", int64(got.Subtotal))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
