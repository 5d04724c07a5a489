// Command towpath is the command line and the server. See `towpath --help`.
package main

import (
	"os"

	"towpath.dev/towpath/internal/cli"
	"towpath.dev/towpath/internal/local"
)

// version is stamped by the build.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == local.WardenProgram {
		os.Exit(local.RunWarden()) // A local run watches over the processes of its jobs.
	}
	os.Exit(cli.Main(version, os.Args[1:]))
}
