package lake

import (
	"time"

	"towpath.dev/towpath/internal/monitor/table"
)

// Query asks the lake. SQL is in DuckDB's dialect and names each scan as a table by its
// Name. Datetimes and timespans are BIGINT ticks, dynamics are VARCHAR with JSON ("" is
// null), int is INTEGER, guid and string are VARCHAR without nulls.
type Query struct {
	SQL   string
	Scans []Scan
	// Columns are the names and kinds that the result is to have, in its order.
	Columns []table.Column

	// Newest, when it is not nil, says that of the only scan no rows but the newest matter.
	Newest *Newest

	MaxRows  int           // more rows end the result, with Truncated; 0 means 500,000 (Kusto's own limit)
	MaxBytes int64         // of the result; 0 means 64 MiB (Kusto's own limit)
	Timeout  time.Duration // 0 means one minute
}

// Newest says that a query keeps the newest rows of its only scan, those that pass its
// conditions: the engine may leave out of the scan what is older than the last of them. It
// changes no answer. An engine that has no use for it ignores it.
type Newest struct {
	// SQL gives TimeGenerated of every row that passes, as its one column, in any order.
	SQL string
	// Rows is how many of them are kept, more where times are the same.
	Rows int64
}

// Scan is the rows of one table that a query may read.
type Scan struct {
	Name    string   // in the SQL
	Table   string   // of the catalogue
	Project string   // rows of this project only
	All     bool     // rows of every project and of the platform instead
	Columns []string // that the SQL uses; nil for all
	// From and To bound TimeGenerated in ticks, From inclusive, To exclusive; 0 is open.
	// The lake applies them: rows outside are not seen by the SQL.
	From, To int64
	// Terms must all occur in a column of the table's Search (whole terms of letters and
	// digits, lower case, three or more characters). A hint: the SQL still has the condition.
	Terms []string
	// Equal are columns of which one of the values is asked for. A hint, as Terms.
	Equal map[string][]string
}

// Answer is the result of a Query.
type Answer struct {
	Batch     *table.Batch
	Truncated bool
	Stats     Stats
}

// Stats say what a query cost. They count what holds rows that its scans may see, and those
// rows alone: how much other projects have is not for the asker to know. What cannot be told
// apart, because a segment has rows of very many projects, is not counted.
type Stats struct {
	Segments     int     `json:"segments"`      // of the tables asked
	Read         int     `json:"segments_read"` // of them read
	Groups       int     `json:"groups"`        // row groups of the segments
	GroupsRead   int     `json:"groups_read"`
	Rows         int64   `json:"rows_scanned"` // of the asker in what was read, hot ones included
	Milliseconds float64 `json:"milliseconds"`
}
