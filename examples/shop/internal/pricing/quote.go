package pricing

import (
	"net/http"

	"shop/internal/hop"
	"shop/internal/rest"
)

// Limits of a quote; above them the answer is status 400.
const (
	MaxLines    = 50
	MaxQuantity = 999
)

// vatPercent is the value-added tax that every list price contains.
const vatPercent = 20

// Line asks for a quantity of one product.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// PricedLine is a Line with its price.
type PricedLine struct {
	Line
	// Unit is the list price of one piece.
	Unit Cents `json:"unit_cents"`
	// DiscountPercent is taken off for the quantity.
	DiscountPercent int64 `json:"discount_percent"`
	// Total is the price of the line, discount taken off.
	Total Cents `json:"total_cents"`
}

// Quote is the price of a list of lines.
type Quote struct {
	Lines []PricedLine `json:"lines"`
	// Subtotal is the sum of the lines, tax included.
	Subtotal Cents `json:"subtotal_cents"`
	// VAT is the tax that Subtotal contains.
	VAT      Cents   `json:"vat_cents"`
	Currency string  `json:"currency"`
	ServedBy hop.Hop `json:"served_by"`
}

// Prices is a price list: list price by SKU, tax included.
type Prices map[string]Cents

// List returns the shop's price list.
func List() Prices {
	return Prices{
		"rope-12": 249, "lantern-brass": 6450, "paint-bridge-green": 2895, "fender-rope": 1849, "windlass": 2195,
		"pin-mooring": 899, "ring-life": 5499, "kettle-painted": 4275, "bell-brass": 3333,
	}
}

// Quote prices lines in their order. An unknown SKU is status 404, a list or quantity outside the limits status 400.
func (p Prices) Quote(lines []Line) (Quote, error) {
	if len(lines) > MaxLines {
		return Quote{}, rest.Errorf(http.StatusBadRequest, "a quote has at most %d lines", MaxLines)
	}
	quote := Quote{Lines: make([]PricedLine, 0, len(lines)), Currency: "EUR"}
	for _, line := range lines {
		unit, known := p[line.SKU]
		if !known {
			return Quote{}, rest.Errorf(http.StatusNotFound, "there is no price for %q", line.SKU)
		}
		if line.Quantity < 1 || line.Quantity > MaxQuantity {
			return Quote{}, rest.Errorf(http.StatusBadRequest, "the quantity of %s is %d; it must be from 1 to %d", line.SKU, line.Quantity, MaxQuantity)
		}
		priced := PricedLine{Line: line, Unit: unit, DiscountPercent: Discount(line.Quantity)}
		priced.Total = (unit * Cents(line.Quantity)).Share(100-priced.DiscountPercent, 100)
		quote.Lines = append(quote.Lines, priced)
		quote.Subtotal += priced.Total
	}
	quote.VAT = quote.Subtotal.Share(vatPercent, 100+vatPercent)
	return quote, nil
}

// Discount returns the percentage taken off a line of that many pieces.
func Discount(quantity int) int64 {
	switch {
	case quantity >= 50:
		return 12
	case quantity >= 10:
		return 5
	default:
		return 0
	}
}
