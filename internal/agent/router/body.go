package router

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// Sizes of bodies that are kept.
const (
	maxReplay = 64 << 10 // to be sent again to the service when a session is away
	maxCopy   = 1 << 20  // to be sent to a mirror, too
)

// body is a request's body on its way out. Its Close does nothing: the server closes the
// client's body itself, and a try that failed must not.
type body struct {
	in io.Reader

	mu       sync.Mutex
	started  bool   // something of in was read that cannot be read again
	whole    []byte // all of it, when it was read beforehand
	copying  bool   // what is read is kept for a mirror
	kept     []byte
	complete bool // kept is all of it
}

// newBody takes a client's body. A body that may have to be sent again is read at once
// when it is known to be small.
func newBody(in io.Reader, length int64, replay, mirror bool) (*body, error) {
	b := &body{in: in, copying: mirror && length <= maxCopy}
	if replay && length >= 0 && length <= maxReplay {
		whole, err := io.ReadAll(io.LimitReader(in, maxReplay))
		if err != nil {
			return nil, fmt.Errorf("reading the request's body: %w", err)
		}
		b.whole, b.complete = whole, true
	}
	return b, nil
}

// again reports whether the body can be sent (again) from its beginning. A nil body can.
func (b *body) again() bool {
	if b == nil || b.whole != nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.started
}

// reader returns the body for one try.
func (b *body) reader() io.ReadCloser {
	if b.whole != nil {
		return io.NopCloser(bytes.NewReader(b.whole))
	}
	return b
}

// copied returns all of the body for a mirror; ok is false when it was too large or not
// read to its end. A nil body is empty.
func (b *body) copied() (all []byte, ok bool) {
	if b == nil {
		return nil, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.whole != nil {
		return b.whole, true
	}
	return b.kept, b.complete
}

// Read reads from the client.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.started = true
	b.mu.Unlock()
	n, err := b.in.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.copying {
		if len(b.kept)+n > maxCopy {
			b.copying, b.kept = false, nil
		} else {
			b.kept = append(b.kept, p[:n]...)
			b.complete = err == io.EOF
		}
	}
	return n, err
}

// Close does nothing; see body.
func (b *body) Close() error { return nil }
