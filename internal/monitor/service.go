package monitor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
)

// Auth says what somebody may do; identity.Service is one.
type Auth interface {
	// Require returns nil when the actor has the role in the project.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil for an administrator of the installation.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// Queries answers questions about stored telemetry; query.Runner is one.
type Queries interface {
	// Run answers from the rows that the Ask names; it asks for no rights. Errors are faults.
	Run(ctx context.Context, ask query.Ask) (*query.Result, error)
}

// Stream hands out rows as they are acknowledged; ingest.Service is one.
type Stream interface {
	// Follow calls do with each batch of a table that has rows of the project (all rows
	// when all is set) until ctx ends or do fails. dropped counts rows that this follower
	// was too slow for since the last call.
	Follow(ctx context.Context, tableName, project string, all bool, do func(b *table.Batch, dropped int64) error) error
}

// Parts are what a Service is made of.
type Parts struct {
	DB       *store.DB
	Log      *event.Log
	Auth     Auth
	Clock    clock.Clock
	Queries  Queries
	Releases Releases // nil: no marks
	Metrics  Metrics
	Cluster  Cluster
	Stream   Stream
	Logger   *slog.Logger
}

// Service answers questions about telemetry. It is safe for concurrent use.
type Service struct {
	Parts

	mu    sync.Mutex
	heard map[string]bool // releases and signals that were noted as observed
}

// New returns a service.
func New(p Parts) *Service {
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{Parts: p, heard: map[string]bool{}}
}

// Scope is whose telemetry somebody asks for.
type Scope struct {
	Project string // one project
	All     bool   // every project and the platform instead: administrators only
}

// require returns nil when the actor may read the scope.
func (s *Service) require(ctx context.Context, a identity.Actor, in Scope) error {
	if in.All {
		return s.Auth.RequireAdmin(ctx, a)
	}
	return s.Auth.Require(ctx, a, in.Project, identity.Read)
}

// MayRead returns nil when the actor may read the scope.
func (s *Service) MayRead(ctx context.Context, a identity.Actor, in Scope) error {
	return s.require(ctx, a, in)
}

// Question is what somebody asks.
type Question struct {
	Scope
	Text     string
	From, To time.Time // bounds of TimeGenerated; zero is open
	MaxRows  int       // 0 means 10,000
}

// maxRows is how many rows one answer may have for a person: more is an export's business.
const maxRows = 200_000

// Query answers a question.
func (s *Service) Query(ctx context.Context, a identity.Actor, q Question) (*Answer, error) {
	r, err := s.run(ctx, a, q)
	if err != nil {
		return nil, err
	}
	return answer(r), nil
}

// run answers a question with the batch itself.
func (s *Service) run(ctx context.Context, a identity.Actor, q Question) (*query.Result, error) {
	if err := s.require(ctx, a, q.Scope); err != nil {
		return nil, err
	}
	return s.Queries.Run(ctx, query.Ask{Text: q.Text, Project: q.Project, All: q.All, From: q.From, To: q.To, MaxRows: min(q.MaxRows, maxRows)})
}
