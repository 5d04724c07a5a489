package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

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


// Function is the signature of a scalar function, an aggregate or a plugin.
type Function struct {
	// Name is Kusto's own, in the case that it is written with.
	Name string `json:"name"`
	// Class is "scalar", "aggregate" or "plugin".
	Class string `json:"class"`
	// Params are the parameters as the documentation shows them: "text", "[start]" for one
	// that may be left out, "value..." for one that may be repeated.
	Params []string `json:"params"`
	// Result says the type: a type's name, or a rule in words.
	Result string `json:"result"`
	// Doc is one line.
	Doc string `json:"doc"`
	// Random is true when two calls with equal arguments may differ (rand, new_guid).
	Random bool `json:"random,omitempty"`
	// Window is true when the function needs serialized rows (prev, row_number).
	Window bool `json:"window,omitempty"`
}

// Bind parses and binds a text. When there are errors the query is nil; otherwise it is
// complete. Errors stand in the order of the text.
func Bind(text string, c Catalog) (*ir.Query, []syntax.Error) {
	return nil, []syntax.Error{syntax.ErrorAt(text, syntax.Span{}, "", "not bound")}
}

// Item is something that may stand at a place of a text.
type Item struct {
	Label  string `json:"label"`
	Kind   string `json:"kind"` // table, view, column, operator, function, keyword, value
	Insert string `json:"insert"`
	Detail string `json:"detail"` // a column's type, a function's signature
	Doc    string `json:"doc"`
}
