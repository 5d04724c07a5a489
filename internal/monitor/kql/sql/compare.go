package sql

import (
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// pair writes two arguments in a form in which SQL compares them as Kusto does.
func (e *emitter) pair(c *ir.Call, in []cell) (a, b cell, err error) {
	args, err := e.args(c, in)
	if err != nil {
		return a, b, err
	}
	a, b = args[0], args[1]
	for i, x := range c.Args[:2] {
		if l := e.lit(x); l != nil && l.Value == nil {
			return a, b, refuse(c.Where(), "comparing with null")
		}
		if call, ok := x.(*ir.Call); ok && strings.Contains("+-*unary-", call.Func) && !isReal(args[i].kind) && e.lit(x) == nil {
			*[]*cell{&a, &b}[i] = cell{sql: e.d.Computed(args[i].sql), kind: args[i].kind, null: args[i].null}
		}
	}
	switch {
	case a.kind == b.kind && a.kind != table.Dynamic && a.kind != table.GUID:
		return a, b, nil
	case isWhole(a.kind) && isWhole(b.kind):
		return a, b, nil
	case isReal(a.kind) && isWhole(b.kind):
		b, _ = e.as(b, a.kind)
		return a, b, nil
	case isReal(b.kind) && isWhole(a.kind):
		a, _ = e.as(a, b.kind)
		return a, b, nil
	}
	return a, b, refuse(c.Where(), "comparing %s with %s", a.kind, b.kind)
}

// numbered makes a comparison of reals false when one of them is not a number: engines
// order NaN, Kusto does not.
func (e *emitter) numbered(c *ir.Call, s string, cells ...cell) string {
	for i, x := range cells {
		if isReal(x.kind) && e.lit(c.Args[i]) == nil && isReal(c.Args[i].Kind()) {
			s += " AND NOT " + e.d.IsNaN(x.sql)
		}
	}
	return "(" + s + ")"
}

// equality: null against a value is false, null against null is null.
func equality(e *emitter, c *ir.Call, in []cell) (cell, error) {
	a, b, err := e.pair(c, in)
	if err != nil {
		return cell{}, err
	}
	s := e.numbered(c, a.sql+" = "+b.sql, a, b)
	if c.Func == "!=" {
		s = "(NOT " + s + ")"
	}
	differ := e.d.Number(table.Bool, int64(b2i(c.Func == "!=")))
	switch {
	case a.null && b.null:
		// Where one is null the comparison is, and says no more than that.
		s = "(CASE WHEN " + a.sql + " IS NULL AND " + b.sql + " IS NULL THEN " + e.d.Null(table.Bool) + " ELSE coalesce(" + s + ", " + differ + ") END)"
		return cell{sql: s, null: true}, nil
	case a.null || b.null:
		s = "coalesce(" + s + ", " + differ + ")"
	}
	return cell{sql: s}, nil
}

func ordering(e *emitter, c *ir.Call, in []cell) (cell, error) {
	a, b, err := e.pair(c, in)
	if err != nil {
		return cell{}, err
	}
	return cell{sql: e.numbered(c, a.sql+" "+c.Func+" "+b.sql, a, b), null: a.null || b.null}, nil
}

func between(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.expr(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	lo, hi := c.Args[1], c.Args[2]
	if c.Args[0].Kind() == table.DateTime && hi.Kind() == table.TimeSpan {
		hi = &ir.Call{At: ir.At{Span: hi.Where()}, K: table.DateTime, Func: "+", Args: []ir.Expr{lo, hi}}
	}
	var parts []string
	for i, bound := range []ir.Expr{lo, hi} {
		l := e.lit(bound)
		if l == nil || l.Value == nil {
			return cell{}, refuse(bound.Where(), "a bound that is not constant")
		}
		v, err := e.constant(bound)
		if err != nil {
			return cell{}, err
		}
		y := x
		switch {
		case isReal(x.kind) && isWhole(v.kind):
			v, _ = e.as(v, x.kind)
		case isWhole(x.kind) && isReal(v.kind):
			y, _ = e.as(x, v.kind)
		case x.kind != v.kind && !(isWhole(x.kind) && isWhole(v.kind)), textual(x.kind) && x.kind != table.String:
			return cell{}, refuse(c.Where(), "%s between %s", x.kind, v.kind)
		}
		// Engines put NaN above everything: the upper bound leaves it out.
		parts = append(parts, y.sql+[]string{" >= ", " <= "}[i]+v.sql)
	}
	s := "(" + strings.Join(parts, " AND ") + ")"
	if c.Func == "!between" {
		s = "(NOT " + s + ")"
	}
	return cell{sql: s, null: x.null}, nil
}

// logic is and, or: three-valued in both languages.
func logic(e *emitter, c *ir.Call, in []cell) (cell, error) {
	args, err := e.args(c, in)
	if err != nil {
		return cell{}, err
	}
	parts, null := make([]string, len(args)), false
	for i, a := range args {
		if a.kind != table.Bool {
			return cell{}, refuse(c.Where(), "%s of %s", c.Func, a.kind)
		}
		parts[i], null = a.sql, null || a.null
	}
	return cell{sql: "(" + strings.Join(parts, " "+strings.ToUpper(c.Func)+" ") + ")", null: null}, nil
}

func not(e *emitter, c *ir.Call, in []cell) (cell, error) {
	args, err := e.args(c, in)
	if err != nil {
		return cell{}, err
	}
	if args[0].kind != table.Bool {
		return cell{}, refuse(c.Where(), "not of %s", args[0].kind)
	}
	return cell{sql: "(NOT " + args[0].sql + ")", null: args[0].null}, nil
}

// equalFold is =~ and !~ with an ASCII constant. The one rune beyond ASCII that folds to a
// letter of ASCII but is not lowered to it is ſ.
func equalFold(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.textArg(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	w, err := e.word(c.Args[1])
	if err != nil {
		return cell{}, err
	}
	if !ascii(w) {
		return cell{}, refuse(c.Where(), "%s with letters beyond ASCII", c.Func)
	}
	w, s := strings.ToLower(w), x.sql
	if strings.Contains(w, "s") {
		s = e.d.Replace(s, e.d.Text("ſ"), e.d.Text("s"))
	}
	if strings.Contains(w, "i") {
		// İ is lowered to i but folds to nothing.
		s = e.d.Replace(s, e.d.Text("İ"), e.d.Text("ı"))
	}
	s = "(" + e.d.Lower(s) + " = " + e.d.Text(w) + ")"
	if c.Func == "!~" {
		s = "(NOT " + s + ")"
	}
	return cell{sql: s}, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// elements lists the constants that follow the first argument of in and has_any: one by
// one, or in one dynamic array. Nulls are left out.
func (e *emitter) elements(c *ir.Call) ([]*ir.Lit, error) {
	var out []*ir.Lit
	for _, a := range c.Args[1:] {
		l := e.lit(a)
		if l == nil {
			return nil, refuse(a.Where(), "a list that is not constant")
		}
		if l.Value == nil {
			continue
		}
		if l.K != table.Dynamic {
			out = append(out, l)
			continue
		}
		js, _ := l.Value.(string)
		v, _ := value.ParseJSON(js)
		list, ok := v.([]any)
		if !ok {
			return nil, refuse(a.Where(), "a list that is no array")
		}
		for _, x := range list {
			switch x := x.(type) {
			case nil:
			case string:
				out = append(out, &ir.Lit{At: l.At, K: table.String, Value: x})
			case int64:
				out = append(out, &ir.Lit{At: l.At, K: table.Long, Value: x})
			default:
				return nil, refuse(a.Where(), "a list of other things than texts and whole numbers")
			}
		}
	}
	if len(out) > maxList {
		return nil, refuse(c.Where(), "a list of more than %d", maxList)
	}
	return out, nil
}

// membership is in, in~ and their negations: null is in no list.
func membership(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.expr(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	fold := strings.HasSuffix(c.Func, "~")
	if fold && x.kind != table.String || textual(x.kind) && x.kind != table.String || isReal(x.kind) || x.kind == table.Bool {
		return cell{}, refuse(c.Where(), "%s of %s", c.Func, x.kind)
	}
	list, err := e.elements(c)
	if err != nil {
		return cell{}, err
	}
	var items []string
	for _, l := range list {
		if l.K != x.kind && !(isWhole(l.K) && isWhole(x.kind)) {
			return cell{}, refuse(l.Where(), "%s in a list of %s", x.kind, l.K)
		}
		if s, ok := l.Value.(string); ok && fold {
			l = &ir.Lit{At: l.At, K: l.K, Value: strings.ToLower(s)}
		}
		v, err := e.constant(l)
		if err != nil {
			return cell{}, err
		}
		items = append(items, v.sql)
	}
	negated := c.Func[0] == '!'
	if len(items) == 0 {
		return cell{sql: e.d.Number(table.Bool, int64(b2i(negated)))}, nil
	}
	s := x.sql
	if fold {
		s = e.d.Lower(s)
	}
	s = "(" + s + " IN (" + strings.Join(items, ", ") + "))"
	if x.null {
		s = "coalesce(" + s + ", " + e.d.Number(table.Bool, 0) + ")"
	}
	if negated {
		s = "(NOT " + s + ")"
	}
	return cell{sql: s}, nil
}

// choice is iff and case: a condition that is null is not met.
func choice(e *emitter, c *ir.Call, in []cell) (cell, error) {
	var s strings.Builder
	s.WriteString("(CASE")
	null := false
	last := len(c.Args) - 1
	branch := func(x ir.Expr) (string, error) {
		v, err := e.expr(x, in)
		if err != nil {
			return "", err
		}
		v, ok := e.as(v, c.K)
		if !ok {
			return "", refuse(x.Where(), "%s as %s", v.kind, c.K)
		}
		null = null || v.null
		return v.sql, nil
	}
	for i := 0; i+1 <= last; i += 2 {
		cond, err := e.truth(c.Args[i], in)
		if err != nil {
			return cell{}, err
		}
		then, err := branch(c.Args[i+1])
		if err != nil {
			return cell{}, err
		}
		s.WriteString(" WHEN " + cond + " THEN " + then)
	}
	other, err := branch(c.Args[last])
	if err != nil {
		return cell{}, err
	}
	return cell{sql: s.String() + " ELSE " + other + " END)", null: null}, nil
}

func coalesce(e *emitter, c *ir.Call, in []cell) (cell, error) {
	if textual(c.K) && c.K != table.String {
		return cell{}, refuse(c.Where(), "coalesce of %s", c.K)
	}
	var parts []string
	null := true
	for _, a := range c.Args {
		v, err := e.expr(a, in)
		if err != nil {
			return cell{}, err
		}
		v, ok := e.as(v, c.K)
		if !ok {
			return cell{}, refuse(a.Where(), "%s as %s", v.kind, c.K)
		}
		null = null && v.null
		if c.K == table.String {
			v.sql = "nullif(" + v.sql + ", '')"
		}
		parts = append(parts, v.sql)
	}
	if c.K == table.String {
		parts = append(parts, "''")
	}
	return cell{sql: "coalesce(" + strings.Join(parts, ", ") + ")", null: null}, nil
}

// missing is isnull, isempty and their negations. A string is never null.
func missing(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.expr(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	var s string
	empty := strings.HasSuffix(c.Func, "empty")
	switch {
	case x.kind == table.String && empty, x.kind == table.GUID:
		s = "(" + x.sql + " = '')"
	case x.kind == table.String:
		s = e.d.Number(table.Bool, 0)
	case x.kind == table.Dynamic && empty:
		s = "(" + x.sql + ` IN ('', 'null', '""'))`
	case x.kind == table.Dynamic:
		s = "(" + x.sql + " IN ('', 'null'))"
	default:
		s = "(" + x.sql + " IS NULL)"
	}
	if strings.HasPrefix(c.Func, "isnot") {
		s = "(NOT " + s + ")"
	}
	return cell{sql: s}, nil
}
