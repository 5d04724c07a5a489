// Command cart is the shop's cart service.
package main

import (
	"os"

	"shop/internal/service"
	"shop/internal/shop"
)

// buildID is set by the linker: -ldflags "-X main.buildID=…".
var buildID string

func main() { os.Exit(service.Main("cart", buildID, shop.Cart)) }
