package pricing_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"shop/internal/hop"
	"shop/internal/pricing"
	"shop/internal/rest"
)

func TestCentsString(t *testing.T) {
	for cents, want := range map[pricing.Cents]string{0: "0.00", 5: "0.05", 99: "0.99", 100: "1.00", 123456: "1234.56", -30: "-0.30", -101: "-1.01"} {
		if got := cents.String(); got != want {
			t.Errorf("%d cents: got %s, want %s", int64(cents), got, want)
		}
	}
}

func TestShareRoundsHalfAwayFromZero(t *testing.T) {
	tests := []struct {
		amount   pricing.Cents
		num, den int64
		want     pricing.Cents
	}{
		{1000, 1, 2, 500},
		{1, 1, 2, 1},              // 0.5
		{3, 1, 2, 2},              // 1.5
		{5, 1, 2, 3},              // 2.5: half to even would give 2
		{100, 1, 3, 33},           // 33.33
		{200, 1, 3, 67},           // 66.67
		{-5, 1, 2, -3},            // -2.5
		{-100, 1, 3, -33},         // -33.33
		{1849, 20, 120, 308},      // 308.17
		{249 * 10, 95, 100, 2366}, // 2365.5
		{0, 20, 120, 0},
	}
	for _, tt := range tests {
		if got := tt.amount.Share(tt.num, tt.den); got != tt.want {
			t.Errorf("%d × %d/%d: got %d, want %d", tt.amount, tt.num, tt.den, got, tt.want)
		}
	}
}

func TestDiscountSteps(t *testing.T) {
	for quantity, want := range map[int]int64{1: 0, 9: 0, 10: 5, 49: 5, 50: 12, 999: 12} {
		if got := pricing.Discount(quantity); got != want {
			t.Errorf("%d pieces: got %d %%, want %d %%", quantity, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	prices := pricing.Prices{"rope": 249, "bell": 3333}
	got, err := prices.Quote([]pricing.Line{{SKU: "rope", Quantity: 10}, {SKU: "bell", Quantity: 3}})
	if err != nil {
		t.Fatal(err)
	}
	want := pricing.Quote{
		Lines: []pricing.PricedLine{
			{Line: pricing.Line{SKU: "rope", Quantity: 10}, Unit: 249, DiscountPercent: 5, Total: 2366},
			{Line: pricing.Line{SKU: "bell", Quantity: 3}, Unit: 3333, Total: 9999},
		},
		Subtotal: 12365, // exactly the sum of what the lines say
		VAT:      2061,  // 2060.83
		Currency: "EUR",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestQuoteRefuses(t *testing.T) {
	prices := pricing.Prices{"rope": 249}
	tests := map[string]struct {
		lines []pricing.Line
		code  int
	}{
		"unknown product": {[]pricing.Line{{SKU: "anchor", Quantity: 1}}, 404},
		"nothing of it":   {[]pricing.Line{{SKU: "rope"}}, 400},
		"less than none":  {[]pricing.Line{{SKU: "rope", Quantity: -1}}, 400},
		"too many":        {[]pricing.Line{{SKU: "rope", Quantity: pricing.MaxQuantity + 1}}, 400},
		"too many lines":  {make([]pricing.Line, pricing.MaxLines+1), 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			quote, err := prices.Quote(tt.lines)
			if code := rest.StatusOf(err, 0); code != tt.code {
				t.Errorf("got %+v, %v; want status %d", quote, err, tt.code)
			}
		})
	}
}

func TestEveryListPriceIsPositive(t *testing.T) {
	for sku, price := range pricing.List() {
		if price <= 0 {
			t.Errorf("%s costs %s", sku, price)
		}
	}
}

func TestHandlerAndClient(t *testing.T) {
	server := httptest.NewServer(pricing.Handler(hop.Self{Service: "pricing", Build: "b7"}, pricing.List()))
	defer server.Close()
	client := pricing.NewClient(server.URL, server.Client())

	quote, err := client.Quote(t.Context(), []pricing.Line{{SKU: "bell-brass", Quantity: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if quote.Subtotal != 3333 || quote.ServedBy != (hop.Hop{Service: "pricing", Build: "b7"}) {
		t.Errorf("got %+v", quote)
	}
	_, err = client.Quote(t.Context(), []pricing.Line{{SKU: "anchor", Quantity: 1}})
	if rest.StatusOf(err, 0) != http.StatusNotFound || !strings.Contains(err.Error(), `no price for "anchor"`) {
		t.Errorf("an unknown product: got %v, want pricing's own words with status 404", err)
	}
}
