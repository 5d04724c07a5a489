package warden

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Beyond is the argument after [Argument] with which a warden waits for its agent at a socket:
// "warden listen PATH". It is the program of a container whose processes an agent in another
// container of the pod starts.
const Beyond = "listen"

// Dial connects to a warden in another container, waiting up to within for it to be there.
// The files that Start passes go to the other container with it.
func Dial(path string, within time.Duration) (*Warden, error) {
	deadline := time.Now().Add(within)
	for {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil {
			w := &Warden{conn: conn, done: make(chan struct{}), waiting: map[int]chan reply{}}
			go w.read()
			return w, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("waiting for the container of the step: %w", err)
		}
		time.Sleep(10 * time.Millisecond) // The other container starts in its own time and announces nothing.
	}
}

// Environ returns the environment that the warden itself was started with: for a container
// that of its image.
func (w *Warden) Environ() ([]string, error) {
	_, c, err := w.send(request{Op: "environ"})
	if err != nil {
		return nil, err
	}
	select {
	case r := <-c:
		return r.Env, nil
	case <-w.done:
		return nil, ErrGone
	}
}

// accept waits for the one agent of this warden at a socket. The name goes with the first
// connection, so that no step can connect as well.
func accept(path string) (*net.UnixConn, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening for the agent: %w", err)
	}
	l.SetUnlinkOnClose(true)
	// Who may write to the socket is the user of the pod's containers.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for the agent: %w", err), l.Close())
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for the agent: %w", err), l.Close())
	}
	return conn, l.Close()
}
