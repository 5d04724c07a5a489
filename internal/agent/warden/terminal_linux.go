package warden

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// winsize is struct winsize of ioctl_tty(2).
type winsize struct{ rows, columns, x, y uint16 }

// Resize says how large a terminal is, in characters.
func Resize(screen *os.File, columns, rows uint16) error {
	size := winsize{rows: rows, columns: columns}
	return control(screen, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
}

// control is ioctl(2) on a file that stays with the runtime.
func control(f *os.File, op uintptr, arg unsafe.Pointer) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var e syscall.Errno
	err = raw.Control(func(fd uintptr) { _, _, e = syscall.Syscall(syscall.SYS_IOCTL, fd, op, uintptr(arg)) })
	if err == nil && e != 0 {
		err = e
	}
	return err
}

// openTerminal makes a terminal: the end that prints show on, and the one that a process has.
func openTerminal() (screen, process *os.File, err error) {
	// In the flags of the file alone: this end goes to the agent, who reads it in its own way.
	screen, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a terminal: %w", err)
	}
	var number, unlock int32
	err = control(screen, syscall.TIOCGPTN, unsafe.Pointer(&number))
	if err == nil {
		err = control(screen, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	}
	if err == nil {
		process, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("making a terminal: %w", err), screen.Close())
	}
	return screen, process, nil
}

// startTerminal starts a process with a terminal, whose other end goes to the agent over the
// one file of the request.
func (s *server) startTerminal(m message) error {
	if len(m.files) != 1 {
		return errors.New("starting a terminal needs one file")
	}
	screen, process, err := openTerminal()
	if err != nil {
		return err
	}
	defer screen.Close()
	defer process.Close()
	c := m.Command
	attr := &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if c.UID != nil && c.GID != nil {
		attr.Credential = &syscall.Credential{Uid: *c.UID, Gid: *c.GID}
		// Programs open the terminal by its name, too.
		if err := process.Chown(int(*c.UID), int(*c.GID)); err != nil {
			return fmt.Errorf("giving a terminal to its user: %w", err)
		}
	}
	fd := process.Fd()
	pid, err := syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Sys: attr, Files: []uintptr{fd, fd, fd}})
	if err != nil {
		return fmt.Errorf("starting %s in %s: %w", c.Path, c.Dir, err)
	}
	s.byPID[pid], s.byID[m.ID] = m.ID, pid
	// An agent that is gone has taken the end of everything with it.
	_ = syscall.Sendmsg(int(m.files[0].Fd()), []byte{0}, syscall.UnixRights(int(screen.Fd())), nil, 0)
	return nil
}
