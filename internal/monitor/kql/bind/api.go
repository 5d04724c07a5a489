package bind

import "towpath.dev/towpath/internal/monitor/table"

// MaxNodes bounds the tree that a text may become when its lets and views are put in.
const MaxNodes = 100_000

// Catalog is what a text may name.
type Catalog interface {
	// Table returns the table of that exact name, nil when there is none.
	Table(name string) *table.Table
	// View returns the KQL text behind the name of a view, "" when there is none. The text
	// is bound against the same catalogue.
	View(name string) string
	// Names lists the tables and views, sorted.
	Names() []string
}

// Item is something that may stand at a place of a text.
type Item struct {
	Label  string `json:"label"`
	Kind   string `json:"kind"` // table, view, column, operator, function, keyword, value
	Insert string `json:"insert"`
	Detail string `json:"detail"` // a column's type, a function's signature
	Doc    string `json:"doc"`
}
