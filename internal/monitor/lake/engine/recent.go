//go:build cgo

package engine

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"

	"towpath.dev/towpath/internal/monitor/lake/segment"
)

// window is how many batch IDs are remembered. It is counted, not timed, so that a clock
// that jumps changes nothing: at a hundred batches a second it is more than 40 minutes.
const window = 1 << 18

// recent remembers the IDs of the batches that came last.
type recent struct {
	mu    sync.Mutex
	known map[[16]byte]bool
	order [][16]byte // a ring once it is full
	next  int
}

func newRecent() *recent { return &recent{known: map[[16]byte]bool{}} }

// has reports whether a batch of this ID was stored. Zero never was.
func (r *recent) has(id [16]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[id]
}

// add notes the ID of a batch that lies in the log. It must not come earlier: an ID whose
// batch is lost in a crash would make the sender's next try count as done.
func (r *recent) add(id [16]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id == ([16]byte{}) || r.known[id] {
		return
	}
	r.known[id] = true
	if len(r.order) < window {
		r.order = append(r.order, id)
		return
	}
	delete(r.known, r.order[r.next])
	r.order[r.next] = id
	r.next = (r.next + 1) % window
}

const recentMagic = "TPIDS\x00\x00\x01"

// save writes the IDs to a file, oldest first.
func (r *recent) save(path string) error {
	r.mu.Lock()
	out := []byte(recentMagic)
	for i := range r.order {
		id := r.order[(r.next+i)%len(r.order)]
		out = append(out, id[:]...)
	}
	r.mu.Unlock()
	sum := crc32.ChecksumIEEE(out)
	return segment.WriteFile(path, append(out, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)))
}

// load reads what save wrote; a file that is not there is empty.
func (r *recent) load(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(b) < len(recentMagic)+4 || !bytes.HasPrefix(b, []byte(recentMagic)) {
		return fmt.Errorf("%s is no list of batch IDs", path)
	}
	body, tail := b[:len(b)-4], b[len(b)-4:]
	sum := crc32.ChecksumIEEE(body)
	if !bytes.Equal(tail, []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)}) {
		return fmt.Errorf("%s is damaged", path)
	}
	for body = body[len(recentMagic):]; len(body) >= 16; body = body[16:] {
		r.add([16]byte(body[:16]))
	}
	return nil
}
