// Package catalog knows what the shop sells and finds it. It is the one service that speaks gRPC.
//
// Nouns: Shelf (the products, in display order), Server (the gRPC side). Invariant: a search result keeps the order of the shelf
// among equally good matches. It knows no prices. Must not import cart, pricing or web.
package catalog
