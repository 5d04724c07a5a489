//go:build !linux

package warden

import (
	"fmt"
	"os"
)

// Main says that jobs run on Linux only and returns the exit code 1.
func Main() int {
	fmt.Fprintln(os.Stderr, "warden: jobs run on Linux only")
	return 1
}
