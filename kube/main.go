// Command towpath-kube is the embedded Kubernetes of Towpath: one program with the upstream components as subcommands, and a
// supervisor that runs them. See `towpath-kube help`.
package main

import (
	"os"

	"towpath.dev/towpath/kube/internal/command"
	"towpath.dev/towpath/kube/internal/component"
)

func main() {
	if len(os.Args) > 1 {
		if code, known := component.Run(os.Args[1], os.Args[2:]); known {
			os.Exit(code)
		}
	}
	os.Exit(command.Run(os.Args[1:], os.Stdout, os.Stderr))
}
