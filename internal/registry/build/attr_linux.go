package build

import (
	"os"
	"syscall"
)

// childAttr puts the daemon in a process group of its own and has the kernel end it when
// we die, however we die.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
