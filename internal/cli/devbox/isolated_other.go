//go:build !linux

package devbox

import "errors"

// Inside is the hidden command that runs inside of an isolated box.
const Inside = "inside"

// NewIsolated says that there is none on this system.
func NewIsolated(Place, Cluster, Output) (Box, error) {
	return nil, errors.New("only Linux gives a program a network namespace of its own")
}

// RunInside says that there is nothing to be inside of.
func RunInside() error {
	return errors.New("only Linux gives a program a network namespace of its own")
}
