package insight

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Options are the windows of the engine; zero values are the product's.
type Options struct {
	Every time.Duration // how often it looks around without an event; 15 s

	Debounce time.Duration // of errors, crashes, alerts and pipelines, before an item opens; 20 s
	Window   time.Duration // within which signals of one release are one cause; 2 h
	Hold     time.Duration // the longest that signals of a release wait for its canary's end; 1 h

	AlertQuiet  time.Duration // resolved for so long; 10 min
	ErrorQuiet  time.Duration // absent for so long after another release serves; 30 min
	CrashQuiet  time.Duration // available for so long; 10 min
	PolicyQuiet time.Duration // not refused for so long after it was let in; 2 h
	GreenRuns   int           // runs that succeed before a pipeline is well; 3

	Storm      int           // items of one source in a project per StormSpan, before an umbrella; 20
	StormSpan  time.Duration // 1 h
	FlushEvery time.Duration // how often repeats are told to the item; 1 min
	MinFixable string        // severity from which a vulnerability that can be mended counts; medium
	MinNew     string        // severity from which any counts; high
}

func (o Options) filled() Options {
	o.Every = cmp.Or(o.Every, 15*time.Second)
	o.Debounce = cmp.Or(o.Debounce, 20*time.Second)
	o.Window = cmp.Or(o.Window, 2*time.Hour)
	o.Hold = cmp.Or(o.Hold, time.Hour)
	o.AlertQuiet = cmp.Or(o.AlertQuiet, 10*time.Minute)
	o.ErrorQuiet = cmp.Or(o.ErrorQuiet, 30*time.Minute)
	o.CrashQuiet = cmp.Or(o.CrashQuiet, 10*time.Minute)
	o.PolicyQuiet = cmp.Or(o.PolicyQuiet, 2*time.Hour)
	o.GreenRuns = cmp.Or(o.GreenRuns, 3)
	o.Storm = cmp.Or(o.Storm, 20)
	o.StormSpan = cmp.Or(o.StormSpan, time.Hour)
	o.FlushEvery = cmp.Or(o.FlushEvery, time.Minute)
	o.MinFixable = cmp.Or(o.MinFixable, "medium")
	o.MinNew = cmp.Or(o.MinNew, "high")
	return o
}

// Parts is what the service is made of. Telemetry, Vulnerabilities and Compliance may be
// nil: then nothing is asked of them.
type Parts struct {
	DB              *store.DB
	Log             *event.Log
	Auth            Authorizer
	Items           Items
	Commits         Commits
	Telemetry       Telemetry
	Vulnerabilities Vulnerabilities
	Compliance      Compliance
	Clock           clock.Clock
	Logger          *slog.Logger
}

// Service is the engine. It is safe for concurrent use.
type Service struct {
	Parts
	options Options
	settle  sync.Mutex    // one Settle at a time
	wake    chan struct{} // something is due
}

// New returns the engine. Run must run for it to see anything.
func New(p Parts, o Options) *Service {
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{Parts: p, options: o.filled(), wake: make(chan struct{}, 1)}
}

// consumer is the name of the engine's cursor.
const consumer = "work.insight"

// Actor is who changes items because of signals.
func Actor() identity.Actor { return identity.SystemActor("insight") }

// Run follows the logbook and settles what is due until ctx ends; it then returns nil.
func (s *Service) Run(ctx context.Context) error {
	followed := make(chan error, 1)
	go func() { followed <- s.Log.Consume(ctx, consumer, s.Handle, s.Logger) }()
	tick := time.NewTicker(s.options.Every)
	defer tick.Stop()
	for {
		if err := s.Settle(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("settling signals", "error", err)
		}
		var soon <-chan time.Time
		if d, ok := s.untilDue(ctx); ok {
			soon = time.After(d)
		}
		select {
		case <-ctx.Done():
			return <-followed
		case <-tick.C:
		case <-s.wake:
		case <-soon:
		}
	}
}

// poke makes Run settle soon.
func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // It is awake.
	}
}

// untilDue returns how long it is until something is due, at least a tenth of a second.
func (s *Service) untilDue(ctx context.Context) (time.Duration, bool) {
	var at int64
	err := s.DB.QueryRow(ctx, `SELECT due FROM insight_signal WHERE due > 0 ORDER BY due LIMIT 1`).Scan(&at)
	if err != nil {
		return 0, false // Nothing is, or the next tick says what is wrong.
	}
	return max(time.UnixMilli(at).Sub(s.Clock.Now()), 100*time.Millisecond), true
}
