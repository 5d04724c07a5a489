package evidence

import (
	"context"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
)

// Handle takes one event into the projection, as Run does.
func (s *Service) Handle(ctx context.Context, tx *store.Tx, e event.Event) error {
	return s.handle(ctx, tx, e)
}
