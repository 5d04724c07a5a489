package warden

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// terminalWithin is how long a warden may take to make a terminal.
const terminalWithin = 10 * time.Second

// StartTerminal starts a process with a terminal of its own: its standard streams and its
// controlling terminal. The terminal is made by the warden, so that it is one of the container
// that the process runs in. The file is the other end of it, which the caller closes.
func (w *Warden) StartTerminal(c Command) (*Process, *os.File, error) {
	c.Terminal = true
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket for a terminal: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "screen"), os.NewFile(uintptr(fds[1]), "screen")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("making a socket for a terminal: %w", err), theirs.Close())
	}
	defer conn.Close()
	id, ch, err := w.send(request{Op: "start", Command: c}, theirs)
	if err = errors.Join(err, theirs.Close()); err != nil {
		return nil, nil, err
	}
	p := &Process{w: w, id: id, c: ch}
	screen, err := receiveScreen(conn.(*net.UnixConn))
	if err != nil {
		// Why there is none is what the process has to say.
		select {
		case r := <-ch:
			_, xerr := r.exit()
			return nil, nil, errors.Join(xerr, err)
		case <-w.done:
			return nil, nil, ErrGone
		case <-time.After(terminalWithin):
			return nil, nil, errors.Join(err, p.Kill())
		}
	}
	return p, screen, nil
}

// receiveScreen takes the terminal that comes over a socket.
func receiveScreen(conn *net.UnixConn) (*os.File, error) {
	if err := conn.SetReadDeadline(time.Now().Add(terminalWithin)); err != nil {
		return nil, err
	}
	one, oob := make([]byte, 1), make([]byte, syscall.CmsgSpace(4))
	_, oobn, _, _, err := conn.ReadMsgUnix(one, oob)
	if err != nil {
		return nil, fmt.Errorf("waiting for a terminal: %w", err)
	}
	parts, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(parts) != 1 {
		return nil, errors.Join(errors.New("no terminal came"), err)
	}
	fds, err := syscall.ParseUnixRights(&parts[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("no terminal came"), err)
	}
	syscall.CloseOnExec(fds[0])
	// Reads and writes wait in the runtime, which Close then ends.
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		return nil, errors.Join(err, syscall.Close(fds[0]))
	}
	return os.NewFile(uintptr(fds[0]), "screen"), nil
}
