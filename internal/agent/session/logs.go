package session

import (
	"context"
	"io"
	"sync"
)

// maxLogs is how much of what a program wrote is kept.
const maxLogs = 256 << 10

// logs keeps the end of what a program writes.
type logs struct {
	also io.Writer // gets all of it, for the pod's own log

	mu    sync.Mutex
	kept  []byte
	total int64         // bytes written so far
	more  chan struct{} // closed by the next write
}

func newLogs(also io.Writer) *logs { return &logs{also: also, more: make(chan struct{})} }

// Write keeps p and passes it on. It does not fail: a program must not stop for its log.
func (l *logs) Write(p []byte) (int, error) {
	_, _ = l.also.Write(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	if over := len(l.kept) - maxLogs; over > 0 {
		l.kept = append(l.kept[:0], l.kept[over:]...)
	}
	l.total += int64(len(p))
	close(l.more)
	l.more = make(chan struct{})
	return len(p), nil
}

// next returns what was written behind a position, as far as it is kept, the position
// behind it, and what is closed when there is more.
func (l *logs) next(at int64) ([]byte, int64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.total - int64(len(l.kept))
	at = max(at, first)
	return append([]byte(nil), l.kept[at-first:]...), l.total, l.more
}

// copy writes what is kept and, with follow, what comes until ctx ends.
func (l *logs) copy(ctx context.Context, w io.Writer, follow bool) error {
	at := int64(0)
	for {
		part, end, more := l.next(at)
		if len(part) > 0 {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		if at = end; !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}
