// Package cart keeps what visitors want to buy, in memory: a restart empties every cart, and that is fine for a sample.
//
// Nouns: Store (lines by cart), Cart (lines with their price). Invariants: a line has 1 to 999 pieces; a cart has at most 50 lines;
// the store has a bounded number of carts and forgets the one that was longest untouched. Must not import catalog or web.
package cart
