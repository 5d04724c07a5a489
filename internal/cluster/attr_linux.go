package cluster

import "syscall"

// childAttr puts the supervisor in a process group of its own and has the kernel tell
// it when we die, however we die.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
