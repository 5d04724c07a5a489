package deploy

import (
	"context"
	"errors"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
)

func TestShift(t *testing.T) {
	s := newShift()
	_, early, err := s.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	early()
	ctx, done, err := s.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.finish(time.Millisecond) {
		t.Error("the shift is over although a release is under way")
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, errStopping) {
		t.Errorf("the release is cancelled because of %v", cause)
	}
	if _, _, err := s.enter(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a release after the end: %v", err)
	}
	done()
	if !s.finish(time.Minute) {
		t.Error("the shift does not end although nothing is under way")
	}
}
