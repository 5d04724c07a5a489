package tail

import (
	"sync/atomic"
	"time"
)

// Stats is what a Tailer says of itself. Counts are since its start.
type Stats struct {
	Lines     int64 `json:"lines"`     // CRI lines read
	Rows      int64 `json:"rows"`      // rows made of them
	Bytes     int64 `json:"bytes"`     // bytes read
	Truncated int64 `json:"truncated"` // rows of which only the beginning is shown
	Malformed int64 `json:"malformed"` // lines that are not in the CRI format; they are rows all the same
	Stored    int64 `json:"stored"`    // rows that the server has taken
	Refused   int64 `json:"refused"`   // rows of parcels that the server found fault with: lost
	Lost      int64 `json:"lost"`      // bytes of files that were given up
	Retries   int64 `json:"retries"`   // times that a parcel was sent again
	Files     int64 `json:"files"`     // open now
	// Behind is how many bytes lie unread, Lag how old the last row was when it was read.
	Behind int64         `json:"behind"`
	Lag    time.Duration `json:"lag_ns"`
	// Waiting says that nothing is read because the server does not take parcels.
	Waiting bool `json:"waiting"`
}

// counts are the Stats as they change.
type counts struct {
	lines, rows, bytes, truncated, malformed, stored, refused, lost, retries, files, behind, lag atomic.Int64

	waiting atomic.Bool
}

func (c *counts) stats() Stats {
	return Stats{
		Lines: c.lines.Load(), Rows: c.rows.Load(), Bytes: c.bytes.Load(), Truncated: c.truncated.Load(), Malformed: c.malformed.Load(),
		Stored: c.stored.Load(), Refused: c.refused.Load(), Lost: c.lost.Load(), Retries: c.retries.Load(), Files: c.files.Load(),
		Behind: c.behind.Load(), Lag: time.Duration(c.lag.Load()), Waiting: c.waiting.Load(),
	}
}
