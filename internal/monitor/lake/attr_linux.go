package lake

import "syscall"

// childAttr puts the child in a process group of its own and has the kernel end it when
// this process ends, however that happens.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
