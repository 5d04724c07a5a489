//go:build unix

package engine

import "syscall"

// ownGroup keeps the signals of the terminal from the engine's client: an interrupt ends the
// run in order, and its containers are still to be removed.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
