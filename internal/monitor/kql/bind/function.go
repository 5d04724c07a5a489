package bind

import (
	"sort"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// Function is the signature of a scalar function, an aggregate or a plugin.
type Function struct {
	// Name is Kusto's own, in lower case.
	Name string `json:"name"`
	// Class is "scalar", "aggregate" or "plugin".
	Class string `json:"class"`
	// Params are the parameters with their types: "text:string", "start:integer?" for one that
	// may be left out, "value:scalar..." for one that may be repeated.
	Params []string `json:"params"`
	// Result is the type: its name, or a rule: "arg0" the type of the first argument, "common"
	// the type that all values have in common, "computed" anything else.
	Result string `json:"result"`
	// Doc is one line.
	Doc string `json:"doc"`
	// Random is true when two calls with equal arguments may differ (rand, new_guid).
	Random bool `json:"random,omitempty"`
	// Window is true when the function needs serialized rows (prev, row_number).
	Window bool `json:"window,omitempty"`
	// Bound is true when the binder replaces the call, so that no tree holds it.
	Bound bool `json:"bound,omitempty"`
}

// signature is a row of the tables of functions. Params are separated by spaces. naming says
// what an automatic column name is made of: "" nothing, "first" the first argument's name,
// "name" the function's and the first argument's, "=x" the prefix x and that name, "!x" x.
type signature struct {
	name, params, result, naming, doc string
}

// Functions returns every function, aggregate and plugin that is supported, by class and
// name. It is what the executor must know and what an editor shows.
func Functions() []Function {
	var out []Function
	add := func(class string, rows []signature) {
		for _, s := range rows {
			f := Function{Name: s.name, Class: class, Params: strings.Fields(s.params), Result: s.result, Doc: s.doc}
			f.Random = class == "scalar" && (s.name == "rand" || s.name == "new_guid")
			f.Window = windowed[s.name]
			f.Bound = bound[s.name]
			out = append(out, f)
		}
	}
	add("aggregate", aggregates)
	add("plugin", plugins)
	add("scalar", scalars)
	return out
}

// windowed are the functions that need the order of rows.
var windowed = map[string]bool{
	"prev": true, "next": true, "row_number": true, "row_cumsum": true, "row_rank_dense": true, "row_rank_min": true, "row_window_session": true,
}

// bound are the functions that the binder replaces.
var bound = map[string]bool{
	"column_ifexists": true, "ingestion_time": true, "toscalar": true, "materialize": true, "table": true,
	"countif": true, "sumif": true, "avgif": true, "minif": true, "maxif": true, "dcountif": true, "stdevif": true, "varianceif": true,
	"variancepif": true, "make_list_if": true, "make_set_if": true, "make_bag_if": true, "take_anyif": true, "count_distinctif": true,
	"hll_if": true, "covarianceif": true, "covariancepif": true, "bag_pack_columns": true,
}

// lookup finds a row of a table that is sorted by name.
func lookup(rows []signature, name string) *signature {
	i := sort.Search(len(rows), func(i int) bool { return rows[i].name >= name })
	if i < len(rows) && rows[i].name == name {
		return &rows[i]
	}
	return nil
}

func names(rows []signature) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.name
	}
	return out
}

// parameter is one parameter of a signature.
type parameter struct {
	name, kind string
	optional   bool
	repeated   bool
}

func (s *signature) parameters() []parameter {
	fields := strings.Fields(s.params)
	out := make([]parameter, len(fields))
	for i, f := range fields {
		p := &out[i]
		f, p.repeated = cut(f, "...")
		f, p.optional = cut(f, "?")
		p.name, p.kind, _ = strings.Cut(f, ":")
	}
	return out
}

func cut(s, suffix string) (string, bool) {
	return strings.TrimSuffix(s, suffix), strings.HasSuffix(s, suffix)
}

// accepts reports whether a value of a kind may be given for a parameter of a type.
func accepts(param string, k table.Kind) bool {
	if k == table.Unknown {
		return true
	}
	switch param {
	case "scalar", "common", "literal":
		return true
	case "integer":
		return k == table.Int || k == table.Long
	case "number", "real", "decimal":
		return numeric(k)
	case "long", "int":
		return k == table.Int || k == table.Long
	case "string":
		return k == table.String || k == table.Dynamic
	case "stringish":
		return k == table.String || k == table.Dynamic
	case "dynamic", "array", "bag":
		return k == table.Dynamic
	case "numberorarray":
		return k == table.Dynamic || numeric(k)
	case "integerorarray":
		return k == table.Dynamic || k == table.Int || k == table.Long
	case "summable":
		return numeric(k) || k == table.TimeSpan || k == table.DateTime
	case "orderable":
		return k != table.Dynamic && k != table.GUID
	case "notdynamic":
		return k != table.Dynamic
	case "notreal":
		return k != table.Real && k != table.Decimal && k != table.Bool
	}
	return table.KindOf(param) == k
}

// kindFor is the kind to which an argument is converted, Unknown when it stays as it is.
func kindFor(param string) table.Kind {
	switch param {
	case "integer", "array", "bag", "number", "stringish", "dynamic":
		return table.Unknown
	}
	return table.KindOf(param)
}

// result finds the type of a call.
func (s *signature) resultOf(args []ir.Expr) table.Kind {
	kind := func(i int) table.Kind {
		if i < len(args) {
			return args[i].Kind()
		}
		return table.Unknown
	}
	switch s.result {
	case "arg0":
		return kind(0)
	case "promoted":
		return atLeastLong(kind(0))
	case "computed":
		return table.Unknown
	}
	return table.KindOf(s.result)
}
