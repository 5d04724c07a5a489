// Command towpath is the command line and the server. See `towpath --help`.
package main

import (
	"os"

	"towpath.dev/towpath/internal/cli"
)

// version is stamped by the build.
var version = "dev"

func main() { os.Exit(cli.Main(version, os.Args[1:])) }
