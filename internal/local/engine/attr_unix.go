//go:build unix

package engine

import (
	"os"
	"strconv"
	"syscall"
)

// ownGroup keeps the signals of the terminal from the engine's client: an interrupt ends the
// run in order, and its containers are still to be removed.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// groupOf is the number of the group of a file.
func groupOf(path string) (string, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", false
	}
	return strconv.FormatUint(uint64(stat.Gid), 10), true
}
