package dora

import (
	"context"
	"log/slog"

	"towpath.dev/towpath/internal/clock"
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

// Parts is what the service is made of.
type Parts struct {
	DB     *store.DB
	Log    *event.Log
	Auth   Authorizer
	Clock  clock.Clock
	Logger *slog.Logger
}

// Service follows the logbook and answers. It is safe for concurrent use.
type Service struct{ Parts }

// New returns the service. Run must run for it to know anything.
func New(p Parts) *Service {
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{Parts: p}
}

// consumer is the name of the projection's cursor.
const consumer = "work.dora"

// Run feeds the projection until ctx ends; it then returns nil.
func (s *Service) Run(ctx context.Context) error {
	return s.Log.Consume(ctx, consumer, s.Handle, s.Logger)
}
