package ingest

import (
	"errors"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// Busy is a refusal that ends by itself: the same call may succeed after a pause.
type Busy struct {
	// After is when to come again.
	After time.Duration
	// Fault is fault.Throttled for a sender over its quota, fault.Unavailable for
	// trouble on our side.
	Fault *fault.Error
	// Namespaces are those whose rows were over the quota; nil when it concerns all. An
	// agent goes on with the others.
	Namespaces []string
}

// Error returns the words of the fault.
func (b *Busy) Error() string { return b.Fault.Error() }

// Unwrap returns the fault.
func (b *Busy) Unwrap() error { return b.Fault }

// RetryAfter returns when a refused call may be tried again; ok is false for an error
// that stays.
func RetryAfter(err error) (after time.Duration, ok bool) {
	var b *Busy
	switch {
	case errors.As(err, &b):
		return b.After, true
	case fault.Is(err, fault.Unavailable), fault.Is(err, fault.Throttled):
		return time.Second, true
	}
	return 0, false
}
