// Command towpath-hook is the program that git runs as a hook of a hosted repository.
// It passes the refs that a push wants to move to the server and prints the answer. It
// is separate from towpath because git starts it at every push: it must start at once.
package main

import (
	"fmt"
	"os"

	"towpath.dev/towpath/internal/source/hook"
)

func main() {
	name, ok := hook.Invoked(os.Args[0])
	if !ok {
		fmt.Fprintln(os.Stderr, "towpath-hook is run by git on a Towpath server; there is nothing to do by hand.")
		os.Exit(2)
	}
	os.Exit(hook.Main(name, os.Stdin, os.Stderr, os.Getenv))
}
