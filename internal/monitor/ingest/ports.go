package ingest

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// Sink keeps batches. *lake.Client is one.
type Sink interface {
	// Append stores batches and returns after they are fsynced; all of them or none. A
	// batch with an ID that was stored before is taken as done. It returns
	// fault.Unavailable while the lake is away, its disk is full or it wants to be left
	// alone; the same batches may be sent again.
	Append(ctx context.Context, batches []*table.Batch) error
}

// Metrics keeps pushed metrics; the metric store does.
type Metrics interface {
	// AppendOTLP stores metrics of cumulative temporality and returns after they are
	// durable. The place gives the labels project, environment, namespace and pod. What is
	// refused for good stands in the outcome; an error means that nothing is known to be
	// stored, and that the same may be sent again.
	AppendOTLP(ctx context.Context, from place.Place, md pmetric.Metrics) (Outcome, error)
}

// Outcome says what became of metrics. It has the shape of metric.Outcome.
type Outcome struct {
	Taken   int
	Refused int            // never to be sent again: too old, too many series, not valid
	Reasons map[string]int // of the refused: "series_limit", "too_old", …
	Message string         // for the sender: what was refused first and what to do; "" when nothing was
}

// Delivery is rows of one sender.
type Delivery struct {
	// Place is where the rows come from; its project owns them.
	Place place.Place
	// Signal is what they are called in the counts: logs, traces, events, inventory.
	Signal string
	// Batches are rows of tables of the catalogue. They need not have all columns; the
	// place's columns, Type and those that begin with an underscore are set by Put, and
	// ImageDigest where it is "".
	Batches []*table.Batch
}

// Quota is what a project may send, over all its senders. 0 is the default.
type Quota struct {
	Rows  float64 // per second; default 50,000
	Bytes float64 // of _BilledSize, per second; default 64 MiB
}

// Owners says whose a namespace is, for rows of a pod that nobody knows any more. A
// *kube.Watcher is one.
type Owners interface {
	// NamespaceOwner returns "", "" for a namespace of the platform. It answers from memory.
	NamespaceOwner(namespace string) (project, environment string)
	// ReleaseOf returns the release ("shop/production/48") of a pod that is gone, "" when it
	// is not known. It may ask the database.
	ReleaseOf(ctx context.Context, namespace, uid string) string
	// Listed reports whether the pods of the cluster have been listed once since the start.
	// Before that a pod that is not found says nothing: its lines wait in their files,
	// however old they are.
	Listed() bool
}

// Filter says which rows a Watch sees.
type Filter struct {
	Project string   // rows of this project
	All     bool     // of every project and the platform instead
	Tables  []string // of these tables; nil for every
	// Match narrows further; nil takes every row. It is called by the reader, not on the
	// way in, and must not change the batch.
	Match func(b *table.Batch, row int) bool
}

// Seen is what a Watch gives: rows that were acknowledged a moment ago.
type Seen struct {
	// Batch must not be changed; nil when there is only something to tell.
	Batch *table.Batch
	// Dropped is how many rows of the project were lost for this reader since the last
	// time because it did not keep up. Rows that Match would have left out are among them.
	Dropped int64
}

// Count is one of the counters of Stats.
type Count struct {
	Project string `json:"project"`
	Signal  string `json:"signal"`
	// What became of the rows: accepted, refused (the sender was told to come again),
	// dropped (they are lost), clock (accepted, with their time replaced).
	What   string `json:"what"`
	Reason string `json:"reason,omitempty"` // quota, mark, lake, invalid, cardinality, denied, …
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
}

// Stats is what came in since the server started.
type Stats struct {
	Counts   []Count   `json:"counts"`    // by project, signal, what and reason
	InFlight int64     `json:"in_flight"` // bytes on the way to the lake
	Mark     int64     `json:"mark"`      // how many there may be
	Since    time.Time `json:"since"`
	Watches  int       `json:"watches"`
	Missed   int64     `json:"missed"` // rows that watches did not see
}
