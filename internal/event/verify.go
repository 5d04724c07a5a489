package event

import (
	"context"
	"fmt"
)

// Report is what Verify found.
type Report struct {
	Events int64  `json:"events"`
	Head   string `json:"head"` // hash of the newest event
	OK     bool   `json:"ok"`
	// BadSeq is the first event that does not fit, 0 when all do; Why says how.
	BadSeq int64  `json:"bad_seq,omitempty"`
	Why    string `json:"why,omitempty"`
}

// Verify recomputes the hash chain from the first event to the head. It finds a
// changed column, a missing, inserted or swapped row, and a cut-off tail. progress,
// when not nil, is called now and then with the seq reached.
func (l *Log) Verify(ctx context.Context, progress func(seq int64)) (Report, error) {
	headSeq, headHash, err := l.Head(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("reading the head of the logbook: %w", err)
	}
	var last Event
	for last.Seq < headSeq {
		batch, err := l.Read(ctx, Query{After: last.Seq, Limit: 5000})
		if err != nil {
			return Report{}, err
		}
		if len(batch) == 0 {
			return bad(last.Seq+1, "events up to %d are missing at the end", headSeq), nil
		}
		for _, e := range batch {
			switch {
			case e.Seq != last.Seq+1:
				return bad(last.Seq+1, "event is missing; the next is %d", e.Seq), nil
			case e.PrevHash != last.Hash:
				return bad(e.Seq, "does not continue the hash of event %d", last.Seq), nil
			case e.digest() != e.Hash:
				return bad(e.Seq, "was changed: its content does not match its hash"), nil
			}
			last = e
			if e.Seq == headSeq {
				break
			}
		}
		if progress != nil {
			progress(last.Seq)
		}
	}
	if last.Hash != headHash {
		return bad(last.Seq, "is not the event that the head names"), nil
	}
	return Report{Events: last.Seq, Head: last.Hash, OK: true}, nil
}

// Intact reports whether the content of an event, with the hash of the one before it, still
// has the event's hash. Of an event that stands alone, outside of the log, this is all that
// can be said: whether it belongs to a log says the hash that the next event continues.
func (e Event) Intact() bool { return e.digest() == e.Hash }

func bad(seq int64, format string, args ...any) Report {
	return Report{BadSeq: seq, Why: fmt.Sprintf("event %d ", seq) + fmt.Sprintf(format, args...)}
}
