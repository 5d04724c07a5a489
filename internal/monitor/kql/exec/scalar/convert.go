package scalar

import (
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func conversions() map[string]Func {
	out := map[string]Func{
		"gettype": {run: getType}, "totimespan": {run: toSpan},
		"tostring": {run: func(c *Call) (vec.Vec, error) {
			s := textsOf(c.Args[0])
			return vec.Vec{Kind: table.String, Const: c.Args[0].Const, Text: s}, nil
		}},
	}
	for name, k := range map[string]table.Kind{
		"tobool": table.Bool, "toint": table.Int, "tolong": table.Long, "toreal": table.Real,
		"todecimal": table.Decimal, "todatetime": table.DateTime, "toguid": table.GUID,
	} {
		out[name] = Func{run: func(c *Call) (vec.Vec, error) { return c.Args[0].Convert(k, c.N), nil }}
	}
	return out
}

// toSpan reads a whole number as ticks where tolong would, unlike the literal timespan(2).
func toSpan(c *Call) (vec.Vec, error) {
	a := c.Args[0]
	return a.Convert(table.TimeSpan, c.N), nil
}

// getType names the type at run time: that of the cell for a dynamic.
func getType(c *Call) (vec.Vec, error) {
	a := c.Args[0]
	if a.Kind != table.Dynamic {
		name := a.Kind.String()
		return row(func(*Call, []any) any { return name }).run(c)
	}
	return row(func(_ *Call, cells []any) any {
		switch x := cells[0].(type) {
		case nil:
			return "null"
		case []any:
			return "array"
		case *value.Bag:
			return "dictionary"
		default:
			return value.KindOf(x).String()
		}
	}).run(c)
}
