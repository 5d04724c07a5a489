package tail

import (
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/klauspost/compress/zstd"

	"towpath.dev/towpath/internal/monitor/table"
)

// job is what the shipper does next: it writes the checkpoint and, when there is a batch,
// brings that to the server.
type job struct {
	files []record
	batch *batch // nil: only the checkpoint
}

// answer is what became of a job.
type answer struct {
	batch *batch
	err   error // the checkpoint could not be written, or the context has ended
}

// shipper encodes, keeps and sends batches, one at a time. It works beside the loop, so
// that neither the disk nor the server holds up reading.
type shipper struct {
	cfg    *Config
	counts *counts
	zip    *zstd.Encoder
	raw    []byte
	said   time.Time // when trouble was last logged
}

func newShipper(cfg *Config, c *counts) (*shipper, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return &shipper{cfg: cfg, counts: c, zip: zip}, nil
}

func (s *shipper) run(ctx context.Context, jobs <-chan job, answers chan<- answer) {
	for j := range jobs {
		answers <- answer{j.batch, s.do(ctx, j)}
	}
}

func (s *shipper) do(ctx context.Context, j job) error {
	c := &checkpoint{Files: j.files}
	if b := j.batch; b != nil {
		if b.body == nil {
			s.raw = table.Encode(s.raw[:0], &b.rows)
			b.body = s.zip.EncodeAll(s.raw, nil)
			b.rows = table.Batch{}
		}
		c.Parcel, c.Rows, c.body = hex.EncodeToString(b.id[:]), b.count, b.body
	}
	if err := s.keep(ctx, c); err != nil {
		return err
	}
	if j.batch == nil {
		return nil
	}
	return s.deliver(ctx, j.batch)
}

// keep writes the checkpoint. A disk that is full is waited for: without a checkpoint
// nothing is sent, and so after a while nothing read.
func (s *shipper) keep(ctx context.Context, c *checkpoint) error {
	for {
		err := save(s.cfg.State, c)
		if err == nil {
			return nil
		}
		s.complain(err, "logs wait until the folder of the state can be written")
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// tries is how often a parcel is sent that the server finds fault with.
const tries = 3

// deliver sends a batch until the server has it or has refused it for good.
func (s *shipper) deliver(ctx context.Context, b *batch) error {
	defer s.counts.waiting.Store(false)
	pause, bad := 100*time.Millisecond, 0
	for {
		err := s.cfg.Sender.Send(ctx, Parcel{ID: b.id, Body: b.body, Rows: b.count, Stats: s.counts.stats()})
		if err == nil {
			s.counts.stored.Add(int64(b.count))
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := pause + rand.N(pause/4)
		var r *Refusal
		if errors.As(err, &r) {
			if r.bad() {
				if bad++; bad == tries {
					s.counts.refused.Add(int64(b.count))
					s.cfg.Log.Error("logs are lost: the server finds fault with them", "rows", b.count, "batch", hex.EncodeToString(b.id[:]), "error", err)
					return nil
				}
			}
			if r.After > 0 {
				wait = r.After
			}
		}
		s.counts.retries.Add(1)
		s.counts.waiting.Store(true)
		s.complain(err, nextStep(err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// nextStep says what follows from an error of the server.
func nextStep(err error) string {
	var r *Refusal
	if errors.As(err, &r) && (r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden) {
		return "put a valid agent token into the token file; it is read again for every try"
	}
	return "the same is sent again until the server takes it"
}

// complain logs why nothing can be sent, at most once a minute.
func (s *shipper) complain(err error, next string) {
	now := s.cfg.Now()
	if !s.said.IsZero() && now.Sub(s.said) < time.Minute {
		return
	}
	s.said = now
	s.cfg.Log.Warn("logs cannot be sent; reading waits", "error", err, "next", next)
}
