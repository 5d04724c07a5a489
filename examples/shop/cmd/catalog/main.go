// Command catalog is the shop's catalogue.
package main

import (
	"os"

	"shop/internal/service"
	"shop/internal/shop"
)

// buildID is set by the linker: -ldflags "-X main.buildID=…".
var buildID string

func main() { os.Exit(service.Main("catalog", buildID, shop.Catalog)) }
