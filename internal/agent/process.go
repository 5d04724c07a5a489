package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// process runs a program to its end. line takes what it prints in whole lines; when
// stderr is not nil it takes what the program prints there, otherwise both streams are
// one and keep their order. When ctx ends the program is interrupted, terminated and
// killed with its children.
func (s *stepRun) process(ctx context.Context, dir string, env []string, argv []string, lines, stderr func([][]byte)) (warden.Exit, error) {
	out, outW, err := os.Pipe()
	if err != nil {
		return warden.Exit{}, err
	}
	errR, errW := out, outW
	if stderr != nil {
		if errR, errW, err = os.Pipe(); err != nil {
			return warden.Exit{}, errors.Join(err, out.Close(), outW.Close())
		}
	}
	starter := s.warden
	if s.in != nil {
		starter = s.in.warden
	}
	p, err := starter.Start(warden.Command{Path: argv[0], Args: argv, Env: env, Dir: dir, UID: s.space.uid, GID: s.space.gid}, outW, errW)
	cerr := outW.Close()
	if stderr != nil {
		cerr = errors.Join(cerr, errW.Close())
	}
	if err = errors.Join(err, cerr); err != nil {
		return warden.Exit{}, s.ofContainer(warden.Exit{}, err)
	}
	var mu sync.Mutex
	locked := func(f func([][]byte)) func([][]byte) {
		return func(l [][]byte) {
			mu.Lock()
			defer mu.Unlock()
			f(l)
		}
	}
	exited := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() { s.read(out, exited, locked(lines)) })
	if stderr != nil {
		readers.Go(func() { s.read(errR, exited, locked(stderr)) })
	}
	ended := make(chan struct{})
	go end(ctx, p, ended)
	exit, err := p.Wait()
	close(ended)
	close(exited)
	readers.Wait()
	return exit, s.ofContainer(exit, err)
}

// grace is how long a process that is to end has after SIGINT, and again after SIGTERM.
const grace = 2500 * time.Millisecond

// end ends a process when ctx ends before it has ended by itself.
func end(ctx context.Context, p *warden.Process, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	// That the warden is gone is seen by Wait.
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		_ = p.Signal(sig)
		select {
		case <-ended:
			return
		case <-time.After(grace):
		}
	}
	_ = p.Kill()
}

// drainWait is how long the reader waits for more once the process has ended: what it
// printed itself is in the pipe by then. A child that holds the pipe open keeps the
// step no longer than that.
const drainWait = 5 * time.Millisecond

// read delivers the lines of a pipe until its end, or until it is empty after the
// process has ended. A pipe that is still open then is emptied in the background, so
// that its writer does not die of it.
func (s *stepRun) read(f *os.File, exited <-chan struct{}, deliver func([][]byte)) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-exited:
			// A deadline that passes wakes a reader that waits.
			_ = f.SetReadDeadline(time.Now().Add(drainWait))
		case <-stop:
		}
	}()
	buf := make([]byte, 0, 64<<10)
	left := 64 // reads after the exit, each at most a pipe's worth
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := f.Read(buf[len(buf):cap(buf)])
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			// On a busy host the deadline may pass before this goroutine came to read at all.
			n = readNow(f, buf[len(buf):cap(buf)])
		}
		buf = buf[:len(buf)+n]
		buf = s.split(buf, deliver)
		if errors.Is(err, os.ErrDeadlineExceeded) && n == 0 || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		select {
		case <-exited:
			if left--; left == 0 {
				err = os.ErrDeadlineExceeded
			}
			_ = f.SetReadDeadline(time.Now().Add(drainWait))
		default:
		}
		if left == 0 {
			break
		}
	}
	if len(buf) > 0 {
		deliver([][]byte{bytes.TrimSuffix(buf, []byte{'\r'})})
	}
	go func() {
		_ = f.SetReadDeadline(time.Time{})
		_, _ = io.Copy(io.Discard, f)
		_ = f.Close()
	}()
}

// readNow reads what is in a pipe without waiting, whatever deadline has passed.
func readNow(f *os.File, into []byte) int {
	var n int
	raw, err := f.SyscallConn()
	if err == nil {
		err = f.SetReadDeadline(time.Time{})
	}
	if err == nil {
		err = raw.Read(func(fd uintptr) bool {
			n, _ = syscall.Read(int(fd), into) // That there is nothing is the usual case.
			return true
		})
	}
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// split delivers the whole lines at the beginning of buf and returns what is left. A
// line that is too long is broken where that cuts no secret.
func (s *stepRun) split(buf []byte, deliver func([][]byte)) []byte {
	var lines [][]byte
	rest := buf
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		lines = append(lines, bytes.TrimSuffix(rest[:end], []byte{'\r'}))
		rest = rest[end+1:]
	}
	lines = s.fold(lines)
	if len(lines) > 0 {
		deliver(lines)
	}
	if len(rest) > 2*maxText {
		n := s.masker.Cut(rest, maxText)
		deliver([][]byte{rest[:n]})
		rest = rest[n:]
	}
	return append(buf[:0], rest...)
}

// maxText is the longest line that is kept in one piece: with its time it fits
// protocol.MaxLine.
const maxText = protocol.MaxLine/2 - 64

// fold breaks lines that are too long.
func (s *stepRun) fold(lines [][]byte) [][]byte {
	for i, l := range lines {
		if len(l) <= maxText {
			continue
		}
		out := append([][]byte{}, lines[:i]...)
		for _, l := range lines[i:] {
			for len(l) > maxText {
				n := s.masker.Cut(l, maxText)
				out, l = append(out, l[:n]), l[n:]
			}
			out = append(out, l)
		}
		return out
	}
	return lines
}

// exitError says how a process ended, or nil when it succeeded.
func exitError(what string, exit warden.Exit, err error) error {
	switch {
	case err != nil:
		return err
	case exit.Signal != 0:
		return fmt.Errorf("%s was ended by the signal %s", what, exit.Signal)
	case exit.Code != 0:
		return fmt.Errorf("%s exited with code %d", what, exit.Code)
	}
	return nil
}
