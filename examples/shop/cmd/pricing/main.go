// Command pricing is the shop's price service.
package main

import (
	"os"

	"shop/internal/service"
	"shop/internal/shop"
)

// buildID is set by the linker: -ldflags "-X main.buildID=…".
var buildID string

func main() { os.Exit(service.Main("pricing", buildID, shop.Pricing)) }
