package deploy

import (
	"context"
	"errors"
	"sync"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// settleTime is how long a server that stops waits for its releases to be put back.
const settleTime = 30 * time.Second

// errStopping is why a release is cancelled when the server stops.
var errStopping = errors.New("the server was stopped while this release was under way")

// shift is the time in which a server makes releases. At its end those under way are
// cancelled, and they put the old version back while the cluster is still there.
type shift struct {
	mu      sync.Mutex
	over    bool
	end     chan struct{}
	working sync.WaitGroup
}

func newShift() *shift { return &shift{end: make(chan struct{})} }

// enter begins a release. The context returned ends with the shift; done says that
// nothing of the release is left to do. After the shift it is fault.Unavailable.
func (s *shift) enter(ctx context.Context) (release context.Context, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, nil, fault.New(fault.Unavailable, "The server is stopping.").WithNext("run again when it is back")
	}
	s.working.Add(1)
	release, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.end:
			cancel(errStopping)
		case <-release.Done():
		}
	}()
	return release, func() {
		cancel(nil)
		s.working.Done()
	}, nil
}

// finish ends the shift and waits, at most for limit, until all releases are done. It
// says whether they are.
func (s *shift) finish(limit time.Duration) bool {
	s.mu.Lock()
	if !s.over {
		s.over = true
		close(s.end)
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.working.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}
