package ingest

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// Parts are what a Service is made of.
type Parts struct {
	Sink    Sink
	Metrics Metrics // nil refuses samples
	Places  place.Places
	Owners  Owners // nil: rows of a pod that is not known belong to the platform
	Clock   clock.Clock
	Logger  *slog.Logger // nil is silent

	// Installation is a GUID that names this installation: TenantId and the subscription
	// of _ResourceId.
	Installation string
	// Cluster is the name of the cluster for rows whose place does not know it.
	Cluster string
	// Quota is what a project may send; nil gives every project the default.
	Quota func(project string) Quota
	// Mark is how many bytes may be under way to the lake; 0 means 64 MiB.
	Mark int64
	// Timeout bounds one append; 0 means 30 seconds.
	Timeout time.Duration
}

// Service is the one way in. It is safe for concurrent use.
type Service struct {
	Parts
	schemas map[string]*schema
	since   time.Time

	inflight atomic.Int64
	quotas   quotas
	counts   counts
	watches  watches
	tails    tails

	mu      sync.Mutex
	pending map[int64]time.Time // puts under way, by number, with the time they were received
	next    int64
}

// The defaults of Parts.
const (
	defaultMark    = 64 << 20
	defaultTimeout = 30 * time.Second
)

// New returns a service.
func New(p Parts) *Service {
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	if p.Mark <= 0 {
		p.Mark = defaultMark
	}
	if p.Timeout <= 0 {
		p.Timeout = defaultTimeout
	}
	return &Service{Parts: p, schemas: schemas(), quotas: newQuotas(p.Quota), since: p.Clock.Now(), pending: map[int64]time.Time{}}
}

// Put stores the rows of one sender and returns after they are durable. It returns
// fault.Unavailable, or OverQuota, when the sender is to come again after the pause of
// fault.RetryAfter, and fault.Invalid for rows that no table has.
func (s *Service) Put(ctx context.Context, d Delivery) error {
	return s.put(ctx, d.Signal, d.Batches, fixed{place: d.Place, at: s.resource(d.Place)})
}

// put stamps batches, asks quota and mark, and appends them.
func (s *Service) put(ctx context.Context, signal string, batches []*table.Batch, where source) error {
	received := s.Clock.Now()
	done := s.begin(received)
	defer done()
	stamped := make([]*table.Batch, 0, len(batches))
	t := newTally(signal)
	for _, b := range batches {
		if b.Rows() == 0 {
			continue
		}
		out, err := s.stamp(b, received, where, t)
		if err != nil {
			s.counts.add(where.owner(), signal, "dropped", "invalid", b.Rows(), 0)
			return err
		}
		stamped = append(stamped, out)
	}
	if len(stamped) == 0 {
		return nil
	}
	if err := s.admit(received, t); err != nil {
		return err
	}
	defer s.inflight.Add(-t.bytes)
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := s.Sink.Append(ctx, stamped); err != nil {
		return s.notStored(ctx, err, t)
	}
	t.record(&s.counts, "accepted", "")
	s.watches.tell(stamped)
	return nil
}

// admit asks the mark and the quotas. On success the bytes of t are in flight.
func (s *Service) admit(now time.Time, t *tally) error {
	// One delivery larger than the mark is let in when nothing else is under way.
	if before := s.inflight.Add(t.bytes) - t.bytes; before > 0 && before+t.bytes > s.Mark {
		s.inflight.Add(-t.bytes)
		t.record(&s.counts, "refused", "mark")
		return fault.New(fault.Unavailable, "The server has more telemetry under way than it can hold (%d MiB).", s.Mark>>20).
			WithNext("send the same again after the pause that the answer names").WithAfter(time.Second)
	}
	if err := s.quotas.take(now, t); err != nil {
		s.inflight.Add(-t.bytes)
		t.record(&s.counts, "refused", "quota")
		return err
	}
	return nil
}

// notStored says why the lake did not take rows, so that the sender comes again.
func (s *Service) notStored(ctx context.Context, err error, t *tally) error {
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooLarge) {
		t.record(&s.counts, "dropped", "invalid")
		return err
	}
	t.record(&s.counts, "refused", "lake")
	if ctx.Err() == nil && !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Throttled) {
		s.Logger.Error("appending telemetry", "error", err)
	}
	after, ok := fault.RetryAfter(err)
	if !ok {
		after = 2 * time.Second
	}
	return fault.Wrap(fault.Unavailable, err, "The store of telemetry does not take rows at the moment.").
		WithNext("send the same again after the pause that the answer names").WithAfter(after)
}

// begin notes that a put is under way since received, until the function is called.
func (s *Service) begin(received time.Time) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.next
	s.next++
	s.pending[n] = received
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pending, n)
	}
}

// Settled returns a moment of which everything is decided: rows with an earlier
// _TimeReceived are stored or refused, none comes after.
func (s *Service) Settled() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.Clock.Now()
	for _, t := range s.pending {
		if t.Before(at) {
			at = t
		}
	}
	return at
}

// Drop counts rows that are lost for good: those that a sender sent and that no table can hold.
func (s *Service) Drop(project, signal, reason string, rows int) {
	s.counts.add(project, signal, "dropped", reason, rows, 0)
}

// Stats returns what came in since the server started.
func (s *Service) Stats() Stats {
	watching, missed := s.watches.stats()
	return Stats{Counts: s.counts.list(), InFlight: s.inflight.Load(), Mark: s.Mark, Since: s.since, Watches: watching, Missed: missed}
}
