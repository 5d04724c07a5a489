package lake

import "syscall"

// childAttr puts the child in a process group of its own and has the kernel kill it when the
// thread that started it ends, as it does with this process, however that happens. Nothing
// is lost: what is acknowledged is synced, and the lake of the next server needs the lock at
// once.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
