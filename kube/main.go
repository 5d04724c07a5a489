package main

import (
	"os"

	"towpath.dev/towpath/kube/internal/component"
)

func main() {
	code, _ := component.Run(os.Args[1], os.Args[2:])
	os.Exit(code)
}
