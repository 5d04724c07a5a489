package query

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

// Ask is a question.
type Ask struct {
	Text    string
	Project string // rows of this project
	All     bool   // of every project and the platform instead
	// From and To bound TimeGenerated of every table, as the time picker of a page does;
	// zero is open. A condition in the text narrows it further.
	From, To time.Time
	MaxRows  int           // 0 means 10,000 for a person's question
	Timeout  time.Duration // 0 means one minute
}

// Result is an answer.
type Result struct {
	Batch     *table.Batch
	Render    *ir.Render // nil when the text asks for none
	Truncated bool       // there were more rows than MaxRows
	Stats     Stats
}

// Stats say how a question was answered.
type Stats struct {
	lake.Stats
	Compile float64 `json:"compile_ms"` // parse, bind and plan
	Tail    float64 `json:"tail_ms"`    // in the executor
	Pushed  string  `json:"pushed"`     // the SQL that the engine ran, for "explain"
}

// Engine runs SQL over rows. *lake.Client is one.
type Engine interface {
	// Query answers, or refuses with fault.TooLarge what needs too much memory and with
	// fault.Unavailable while the engine is away.
	Query(ctx context.Context, q lake.Query) (*lake.Answer, error)
}

// Virtual answers tables that do not lie in the engine. *metric.Store is one.
type Virtual interface {
	// Rows returns the rows of a virtual table of the catalogue, with all its columns.
	// equal narrows columns to values; what it cannot use it may ignore. An error that
	// names the limit when there would be more than limit rows.
	Rows(ctx context.Context, v VirtualScan) (*table.Batch, error)
}

// VirtualScan is which rows of a virtual table are asked for.
type VirtualScan struct {
	Table    string
	Project  string
	All      bool
	From, To time.Time // zero is open: then the last hour
	Equal    map[string][]string
	Limit    int
}
