package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// Limits of a transfer.
const (
	maxTransfer = 2 * time.Hour   // from its start to its end
	idleTime    = 2 * time.Minute // without a byte in the direction that is waited for
	drainTime   = 5 * time.Second // for what a client still sends after git has ended
	maxWants    = 64 << 20        // bytes of a fetch's request, and of a push's commands
	maxDrain    = int64(64 << 20) // bytes of a push that are thrown away after git has ended
)

// errClientLeft says that the answer could not be written.
var errClientLeft = errors.New("the client left")

// errTooMuch says that the request is over its limit.
var errTooMuch = errors.New("the request is over its limit")

// transfer pipes a request's body into git and git's output into the response, both
// at once and without holding more than a buffer.
type transfer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	body    io.Reader
	limit   int64  // bytes of the decoded body
	abandon func() // called when the client has left; nil to let git go on
	result  string // content type of the response
	started bool   // the response has begun
}

func newTransfer(w http.ResponseWriter, r *http.Request, body io.Reader, result string) *transfer {
	return &transfer{w: w, control: http.NewResponseController(w), body: body, result: result}
}

// run starts git and returns when it has ended and nothing reads the body any more.
func (t *transfer) run(cmd *exec.Cmd) error {
	// receive-pack reports progress while the client still sends. Not every server
	// under this handler can do that (HTTP/2 always does); then the report comes later.
	_ = t.control.EnableFullDuplex()
	defer func() {
		// The connection may serve other requests after this one.
		_ = t.control.SetReadDeadline(time.Time{})
		_ = t.control.SetWriteDeadline(time.Time{})
	}()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("connecting to git: %w", err)
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("connecting to git: %w", err), stdin.Close())
	}
	defer stdout.Close()
	said := &tail{}
	cmd.Stdout, cmd.Stderr = out, said
	err = cmd.Start()
	out.Close() // git has its own end now, or there is no git.
	if err != nil {
		return fmt.Errorf("starting git: %w", err)
	}
	fed := make(chan error, 1)
	go func() { fed <- t.feed(stdin) }()
	outErr := t.answer(stdout)
	// git has closed its output: it is at its end. What the client still sends is
	// taken for a moment, because a connection closed over unread bytes is reset, and
	// the client would lose the answer.
	inErr := t.drain(fed)
	waitErr := cmd.Wait()
	switch {
	case outErr != nil:
		return outErr
	case errors.Is(inErr, errTooMuch):
		return inErr
	case waitErr != nil:
		words := strings.TrimSpace(said.buf.String())
		err := fmt.Errorf("running git: %w: %s", waitErr, words)
		if brokenProtocol(words) {
			return fault.Wrap(fault.Invalid, err, "This request does not follow Git's protocol.").WithNext("use git itself as the client")
		}
		return err
	}
	return nil
}

// brokenProtocol reports, of git's last words, that it was the client's request that git
// died of (pkt-line.c, upload-pack.c and receive-pack.c say it so).
func brokenProtocol(words string) bool {
	return strings.Contains(words, "protocol error") || strings.Contains(words, "hung up unexpectedly")
}

// feed copies the body to git. When git no longer reads, the rest is thrown away.
func (t *transfer) feed(stdin io.WriteCloser) error {
	buf := make([]byte, 64<<10)
	var total int64
	var broken bool
	for {
		_ = t.control.SetReadDeadline(time.Now().Add(idleTime)) // Where it is not supported, the server's own limits hold.
		n, err := t.body.Read(buf)
		total += int64(n)
		switch {
		case broken && total > maxDrain:
			return nil
		case total > t.limit:
			stdin.Close()
			return errTooMuch
		}
		if n > 0 && !broken {
			if _, werr := stdin.Write(buf[:n]); werr != nil {
				broken, total = true, 0
			}
		}
		if err != nil {
			cerr := stdin.Close()
			if errors.Is(err, io.EOF) || broken {
				return nil
			}
			return errors.Join(fmt.Errorf("reading the request: %w", err), cerr)
		}
	}
}

// drain waits for feed, which may be waiting for the client.
func (t *transfer) drain(fed <-chan error) error {
	late := time.NewTimer(drainTime)
	defer late.Stop()
	select {
	case err := <-fed:
		return err
	case <-late.C:
	}
	// Wakes a read that waits; the one after it fails at once.
	for {
		_ = t.control.SetReadDeadline(time.Unix(1, 0))
		select {
		case err := <-fed:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// linger is how long a piece of git's output waits for more, so that a pack goes out in
// large pieces although git writes small ones, and a line of progress still goes at once.
const linger = 2 * time.Millisecond

// answer copies git's output to the client. Once the client has left, the output is
// thrown away, so that git comes to its end.
func (t *transfer) answer(stdout *os.File) error {
	buf := make([]byte, 64<<10)
	var left error
	for {
		n, err := gather(stdout, buf)
		if n > 0 && left == nil {
			left = t.write(buf[:n])
			if left != nil && t.abandon != nil {
				t.abandon()
			}
		}
		if errors.Is(err, io.EOF) {
			return left
		}
		if err != nil {
			return errors.Join(left, fmt.Errorf("reading from git: %w", err))
		}
	}
}

// gather waits for output and then takes what follows within linger.
func gather(stdout *os.File, buf []byte) (n int, err error) {
	if err := stdout.SetReadDeadline(time.Time{}); err != nil {
		return 0, err
	}
	if n, err = stdout.Read(buf); err != nil {
		return n, err
	}
	if err := stdout.SetReadDeadline(time.Now().Add(linger)); err != nil {
		return n, err
	}
	for n < len(buf) {
		m, err := stdout.Read(buf[n:])
		n += m
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (t *transfer) write(p []byte) error {
	if !t.started {
		t.started = true
		t.w.Header().Set("Content-Type", t.result)
		t.w.WriteHeader(http.StatusOK)
	}
	_ = t.control.SetWriteDeadline(time.Now().Add(idleTime)) // Where it is not supported, the server's own limits hold.
	if _, err := t.w.Write(p); err != nil {
		return fmt.Errorf("%w: %w", errClientLeft, err)
	}
	if err := t.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errClientLeft, err)
	}
	return nil
}

// tail keeps the first 4 KiB of what git says about itself, for the log.
type tail struct{ buf bytes.Buffer }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p[:min(len(p), max(0, 4096-t.buf.Len()))])
	return len(p), nil
}
