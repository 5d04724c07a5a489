package bind

import (
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

func numeric(k table.Kind) bool {
	return k == table.Int || k == table.Long || k == table.Real || k == table.Decimal
}

// operate binds a binary operator over values that are bound.
func (b *binder) operate(at, opAt syntax.Span, op string, x, y ir.Expr) ir.Expr {
	j, k := x.Kind(), y.Kind()
	if j == table.Unknown || k == table.Unknown {
		return broken(at)
	}
	result := table.Unknown
	switch op {
	case "and", "or":
		x, y = b.truth(x), b.truth(y)
		if x.Kind() == table.Bool && y.Kind() == table.Bool {
			result = table.Bool
		}
	case "+", "-", "*", "/", "%":
		result = arithmetic(op, j, k)
	case "==", "!=":
		x, y = b.comparable2(x, y)
		result = table.Bool
		if !equatable(x.Kind(), y.Kind()) {
			result = table.Unknown
		}
	case "<", ">", "<=", ">=":
		if ordered(j, k) {
			result = table.Bool
		}
	default:
		op = legacyOperator(op)
		if op != "" && textual(j) && (textual(k) || op != "matches regex" && k == table.Dynamic) {
			result = table.Bool
		}
	}
	if result == table.Unknown {
		next := ""
		if j != k && (j == table.Dynamic || k == table.Dynamic) {
			next = "convert the dynamic value, with todatetime, tolong, tostring or the like"
		}
		b.errorf(opAt, next, "%s is not defined for values of types %s and %s", op, j, k)
		return broken(at)
	}
	return &ir.Call{At: ir.At{Span: at}, K: result, Func: op, Args: []ir.Expr{x, y}}
}

// legacyOperator gives an operator's current spelling, "" when it is not supported.
func legacyOperator(op string) string {
	switch op {
	case ":":
		return "has"
	case "containscs":
		return "contains_cs"
	case "!containscs", "notcontainscs":
		return "!contains_cs"
	case "notcontains":
		return "!contains"
	case "like", "notlike", "likecs", "notlikecs", "in_set":
		return ""
	}
	return op
}

func textual(k table.Kind) bool { return k == table.String || k == table.Dynamic }

// truth makes a condition of a value where Kusto takes one: dynamics and numbers.
func (b *binder) truth(e ir.Expr) ir.Expr {
	switch e.Kind() {
	case table.Bool, table.Unknown:
		return e
	case table.Dynamic:
		return b.cast(e, table.Bool)
	}
	return e
}

// arithmetic is the type of x op y, Unknown when there is none.
func arithmetic(op string, j, k table.Kind) table.Kind {
	const dt, ts, dy = table.DateTime, table.TimeSpan, table.Dynamic
	if numeric(j) && numeric(k) {
		return wider(j, k)
	}
	if j == dy && k == dy {
		return dy
	}
	if j == dy && numeric(k) {
		return atLeastLong(k)
	}
	if k == dy && numeric(j) {
		return atLeastLong(j)
	}
	switch op {
	case "+":
		switch {
		case j == dt && (k == ts || k == dy), k == dt && (j == ts || j == dy):
			return dt
		case (j == ts || j == dy) && (k == ts || k == dy):
			return ts
		}
	case "-":
		switch {
		case j == dt && k == dt, j == dt && k == dy, j == dy && k == dt:
			return ts
		case j == dt && k == ts:
			return dt
		case (j == ts || j == dy) && (k == ts || k == dy):
			return ts
		}
	case "*":
		if j == ts && numeric(k) || k == ts && numeric(j) {
			return ts
		}
	case "/":
		switch {
		case (j == ts || j == dt) && k == ts:
			return table.Real
		case j == ts && numeric(k):
			return ts
		}
	case "%":
		if (j == ts || j == dt) && k == ts {
			return ts
		}
	}
	return table.Unknown
}

func atLeastLong(k table.Kind) table.Kind {
	if k == table.Int {
		return table.Long
	}
	return k
}

// wider is the type of arithmetic between two numbers: never narrower than long.
func wider(j, k table.Kind) table.Kind {
	return atLeastLong(max(j, k)) // int < long < real < decimal
}

// comparable2 brings two values to types that can be compared for equality, as Kusto does:
// a text that meets another type is read as that type.
func (b *binder) comparable2(x, y ir.Expr) (ir.Expr, ir.Expr) {
	j, k := x.Kind(), y.Kind()
	switch {
	case j == k || j == table.Dynamic || k == table.Dynamic || numeric(j) && numeric(k):
	case j == table.String:
		x = b.cast(x, k)
	case k == table.String:
		y = b.cast(y, j)
	case j == table.Bool && numeric(k):
		y = b.cast(y, table.Bool)
	case k == table.Bool && numeric(j):
		x = b.cast(x, table.Bool)
	}
	return x, y
}

func equatable(j, k table.Kind) bool {
	return j == k || j == table.Dynamic || k == table.Dynamic || numeric(j) && numeric(k)
}

// ordered reports whether < is defined. Texts have no order with <, as in Kusto.
func ordered(j, k table.Kind) bool {
	time := func(k table.Kind) bool { return k == table.DateTime || k == table.TimeSpan }
	switch {
	case numeric(j) && (numeric(k) || k == table.Dynamic), numeric(k) && j == table.Dynamic:
		return true
	case j == k:
		return time(j) || j == table.Dynamic || j == table.Bool
	}
	return false
}

// cast converts a value to a kind: a constant at once where that is exact, otherwise by the
// function of the kind.
func (b *binder) cast(e ir.Expr, k table.Kind) ir.Expr {
	from := e.Kind()
	if from == k || k == table.Unknown || from == table.Unknown {
		return e
	}
	at := ir.At{Span: e.Where()}
	if lit, ok := e.(*ir.Lit); ok {
		if lit.Value == nil {
			if k == table.String {
				return &ir.Lit{At: at, K: k, Value: ""}
			}
			return &ir.Lit{At: at, K: k}
		}
		if v, ok := castLit(lit, k); ok {
			return &ir.Lit{At: at, K: k, Value: v}
		}
	}
	return &ir.Call{At: at, K: k, Func: converter(k), Args: []ir.Expr{e}}
}

func castLit(lit *ir.Lit, k table.Kind) (any, bool) {
	switch v := lit.Value.(type) {
	case int64:
		switch {
		case !numeric(lit.K):
		case k == table.Long, k == table.Int && v == int64(int32(v)):
			return v, true
		case k == table.Real || k == table.Decimal:
			return float64(v), true
		case k == table.Bool:
			return v != 0, true
		}
	case float64:
		if k == table.Real || k == table.Decimal {
			return v, true
		}
	case string:
		if lit.K == table.String && (k == table.GUID || k == table.DateTime) {
			return syntax.ParseValue(k, v)
		}
	}
	return nil, false
}

// converter is the function that converts to a kind.
func converter(k table.Kind) string {
	switch k {
	case table.Bool:
		return "tobool"
	case table.Real:
		return "toreal"
	case table.Dynamic:
		return "todynamic"
	}
	return "to" + strings.ToLower(k.String())
}
