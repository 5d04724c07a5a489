package insight

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
)

// Parts are what a Service is made of.
type Parts struct {
	DB       *store.DB
	Log      *event.Log
	Auth     Auth
	Clock    clock.Clock
	Queries  Queries
	Intake   Intake
	Releases Releases
	Logger   *slog.Logger // nil is silent
}

// Options say when and how strictly a release is compared. The zero value of each takes its default.
type Options struct {
	Every   time.Duration // between two looks at errors and rollouts; 10 seconds
	After   time.Duration // a rollout is compared at the latest; 10 minutes
	Settle  time.Duration // what a release does in its first moments is not looked at; 15 seconds
	Last    time.Duration // a comparison that stays unclear is given up; 1 hour
	History time.Duration // of the baseline that is looked at; 24 hours
	Sample  int           // requests of an operation that suffice, on each side; 200
}

// Service is the understanding of telemetry. It is safe for concurrent use.
type Service struct {
	Parts
	o Options
	// follow keeps two rounds from reading the same exceptions.
	follow sync.Mutex
}

// New returns a service.
func New(p Parts, o Options) *Service {
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.Every, 10 * time.Second}, {&o.After, 10 * time.Minute}, {&o.Settle, 15 * time.Second}, {&o.Last, time.Hour}, {&o.History, 24 * time.Hour}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	if o.Sample <= 0 {
		o.Sample = 200
	}
	return &Service{Parts: p, o: o}
}

// Scope is whose telemetry somebody asks for, and of what time.
type Scope struct {
	Project     string
	All         bool   // every project and the platform instead: administrators only
	Environment string // "" is any
	From, To    time.Time
}

// check asks for rights and bounds the time.
func (s *Service) check(ctx context.Context, a identity.Actor, in *Scope) error {
	if in.To.IsZero() {
		in.To = s.Clock.Now()
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-time.Hour)
	}
	if !in.From.Before(in.To) {
		return fault.New(fault.Invalid, "The time ends before it begins.")
	}
	if in.All {
		return s.Auth.RequireAdmin(ctx, a)
	}
	return s.Auth.Require(ctx, a, in.Project, identity.Read)
}

// where are the conditions of a scope in a query: what is shown can be asked again as it is.
func (in Scope) where() string {
	text := fmt.Sprintf("\n| where TimeGenerated >= %s and TimeGenerated < %s", moment(in.From), moment(in.To))
	if in.Environment != "" {
		text += "\n| where Environment == " + syntax.Quote(in.Environment)
	}
	return text
}

// moment writes a time as a literal.
func moment(t time.Time) string {
	return "datetime(" + value.FormatDateTime(table.TicksOf(t)) + ")"
}

// ask runs a query in a scope.
func (s *Service) ask(ctx context.Context, in Scope, text string, rows int) (*answer, error) {
	r, err := s.Queries.Run(ctx, query.Ask{Text: text, Project: in.Project, All: in.All, From: in.From, To: in.To, MaxRows: rows})
	if err != nil {
		return nil, err
	}
	return &answer{Batch: r.Batch, truncated: r.Truncated}, nil
}

// answer gives the values of a result by column and row. Null is 0 or "".
type answer struct {
	*table.Batch
	truncated bool
}

func (a *answer) vector(column string) (table.Vector, bool) {
	at := a.Index(column)
	if at < 0 {
		return table.Vector{}, false
	}
	return a.Vectors[at], true
}

func (a *answer) text(column string, row int) string {
	if v, ok := a.vector(column); ok && v.Text != nil {
		return v.Text[row]
	}
	return ""
}

func (a *answer) integer(column string, row int) int64 {
	v, ok := a.vector(column)
	switch {
	case !ok || v.IsNull(row):
		return 0
	case v.Int != nil:
		return v.Int[row]
	case v.Real != nil:
		return int64(v.Real[row])
	}
	return 0
}

func (a *answer) real(column string, row int) float64 {
	v, ok := a.vector(column)
	switch {
	case !ok || v.IsNull(row):
		return 0
	case v.Real != nil:
		return v.Real[row]
	case v.Int != nil:
		return float64(v.Int[row])
	}
	return 0
}

func (a *answer) time(column string, row int) time.Time {
	if n := a.integer(column, row); n != 0 {
		return table.TimeOf(n)
	}
	return time.Time{}
}

// system is who acts when nobody asked.
func system() string { return identity.SystemActor("insight").String() }
