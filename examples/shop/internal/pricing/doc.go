// Package pricing knows what things cost: list prices, discounts for quantity, and the tax that a total contains.
//
// Nouns: Cents, Line, Quote. Invariants: money is a whole number of cents, rounded once, half up, where a share is taken; a quote's
// subtotal is the sum of its lines' totals. Must not import cart, catalog or web.
package pricing
