// Command cart is the shop's cart service.
package main

import (
	"os"
	"time"

	"shop/internal/cart"
	"shop/internal/service"
	"shop/internal/shop"
)

// buildID is set by the linker: -ldflags "-X main.buildID=…".
var buildID string

// brokenShare is the share of requests for a cart that fail. It stands here to be changed by a commit: 0.05 is a regression that
// only traffic shows.
const brokenShare = 0.0

// More of the kind: what reading a cart takes longer, what it leaks of memory in bytes, and at which read the process panics.
const (
	slowBy     = 0 * time.Millisecond
	leakedRead = 0
	panicAt    = 0
)

func main() {
	os.Exit(service.Main("cart", buildID, shop.CartWith(cart.Broken(brokenShare), cart.Slow(slowBy), cart.Leaking(leakedRead), cart.Panicking(panicAt))))
}
