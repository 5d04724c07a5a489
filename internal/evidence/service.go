package evidence

import (
	"context"
	"log/slog"
	"sync"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Authorizer says what an actor may do; identity.Service is one.
type Authorizer interface {
	// Require returns nil when the actor has the role in the project, fault.NotFound when
	// they may not know of the project, and fault.Denied otherwise.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Service traces and keeps the Path. It is safe for concurrent use.
type Service struct {
	db     *store.DB
	events *event.Log
	authz  Authorizer
	log    *slog.Logger

	mu   sync.Mutex
	wake chan struct{} // Closed and replaced when the projection has moved on.
}

// New returns the service. Run must run for the Path, and for names in Trace, to be fed.
func New(db *store.DB, events *event.Log, authz Authorizer, log *slog.Logger) *Service {
	return &Service{db: db, events: events, authz: authz, log: log, wake: make(chan struct{})}
}

// consumer is the name of the projection's cursor.
const consumer = "evidence.path"

// Run feeds the projection from the logbook until ctx ends; it then returns nil.
func (s *Service) Run(ctx context.Context) error {
	return s.events.Consume(ctx, consumer, s.handle, s.log)
}

// Changed returns a channel that is closed when the Path has changed after the call, in
// this process. A page that shows the Path waits on it, not on the log: the projection
// follows the log a moment later.
func (s *Service) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wake
}

func (s *Service) signal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.wake)
	s.wake = make(chan struct{})
}
