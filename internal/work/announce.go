package work

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// announced is the payload of a kindAnnounce job.
type announced struct {
	Item int64  `json:"item"`
	What string `json:"what"`
}

// onItem has people told of an item of high severity that opened, or opened again.
func (s *Service) onItem(ctx context.Context, tx *store.Tx, e event.Event) error {
	var in event.Item
	if err := e.Into(&in); err != nil {
		return s.skip(e, err)
	}
	what := "opened"
	if e.Type == event.TypeItemChanged {
		if !slices.Contains(strings.Split(in.Change, ","), "reopened") {
			return nil
		}
		what = "opened again"
	}
	if s.Announcer == nil || in.Severity != Critical && in.Severity != High {
		return nil
	}
	return s.Queue.Enqueue(ctx, tx, kindAnnounce, e.ID, announced{in.Item, what})
}

// workAnnounce does a kindAnnounce job.
func (s *Service) workAnnounce(ctx context.Context, payload json.RawMessage) error {
	var in announced
	if err := json.Unmarshal(payload, &in); err != nil {
		return fmt.Errorf("reading what is to be announced: %w", err)
	}
	it, err := s.may(ctx, identity.SystemActor("work"), in.Item, identity.Read)
	if fault.Is(err, fault.NotFound) || err == nil && !it.Open() {
		return nil // It is over already, or gone.
	}
	if err != nil {
		return err
	}
	return s.Announcer.Announce(ctx, it.Item, in.What)
}
