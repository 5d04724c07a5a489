package sql

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/exec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// conjuncts splits a condition at its ands.
func conjuncts(e ir.Expr) []ir.Expr {
	if c, ok := e.(*ir.Call); ok && c.Func == "and" {
		var out []ir.Expr
		for _, a := range c.Args {
			out = append(out, conjuncts(a)...)
		}
		return out
	}
	return []ir.Expr{e}
}

// lit returns the constant that an expression is, nil when it is none.
func (e *emitter) lit(x ir.Expr) *ir.Lit {
	if l, ok := x.(*ir.Lit); ok {
		return l
	}
	if l, ok := e.folded[x]; ok {
		return l
	}
	var l *ir.Lit
	if exec.Constant(x) {
		if f, err := exec.Fold(x, e.o.Now); err == nil {
			l = f
		}
	}
	e.folded[x] = l
	return l
}

// number returns a constant whole number.
func (e *emitter) number(x ir.Expr) (int64, error) {
	if l := e.lit(x); l != nil {
		if n, ok := l.Value.(int64); ok {
			return n, nil
		}
	}
	return 0, refuse(x.Where(), "a number that is not constant")
}

// word returns a constant string that a dialect can write.
func (e *emitter) word(x ir.Expr) (string, error) {
	if l := e.lit(x); l != nil && l.K == table.String {
		if s, ok := l.Value.(string); ok && writable(s) {
			return s, nil
		}
	}
	return "", refuse(x.Where(), "a text that is not constant")
}

// writable reports whether an engine takes the text as it is.
func writable(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// constant writes an expression without columns.
func (e *emitter) constant(x ir.Expr) (cell, error) {
	l := e.lit(x)
	if l == nil {
		return cell{}, refuse(x.Where(), "an expression that is not constant")
	}
	k := l.K
	if l.Value == nil {
		if textual(k) {
			return cell{sql: e.d.Text(""), kind: k}, nil
		}
		return cell{sql: e.d.Null(k), kind: k, null: true}, nil
	}
	switch v := l.Value.(type) {
	case bool:
		return cell{sql: e.d.Number(table.Bool, int64(b2i(v))), kind: k}, nil
	case int64:
		return cell{sql: e.d.Number(k, v), kind: k}, nil
	case float64:
		return cell{sql: e.d.Real(v), kind: k}, nil
	case string:
		if writable(v) {
			return cell{sql: e.d.Text(v), kind: k}, nil
		}
	}
	return cell{}, refuse(x.Where(), "a constant of type %s", k)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// truth writes a condition of a WHERE or CASE, where null counts as false.
func (e *emitter) truth(x ir.Expr, in []cell) (string, error) {
	if c, ok := x.(*ir.Call); ok && e.lit(x) == nil {
		switch c.Func {
		case "and", "or":
			parts := make([]string, len(c.Args))
			for i, a := range c.Args {
				p, err := e.truth(a, in)
				if err != nil {
					return "", err
				}
				parts[i] = p
			}
			return "(" + strings.Join(parts, " "+strings.ToUpper(c.Func)+" ") + ")", nil
		case "==", "!=":
			if s, done, err := e.equalTruth(c, in); done || err != nil {
				return s, err
			}
		}
	}
	v, err := e.expr(x, in)
	if err != nil {
		return "", err
	}
	if v.kind != table.Bool {
		return "", refuse(x.Where(), "a condition of type %s", v.kind)
	}
	return v.sql, nil
}

// equalTruth writes == and != where null may stand for false, which engines can use an
// index for.
func (e *emitter) equalTruth(c *ir.Call, in []cell) (string, bool, error) {
	a, b, err := e.pair(c, in)
	if err != nil || isReal(a.kind) {
		return "", false, err
	}
	if c.Func == "==" {
		return "(" + a.sql + " = " + b.sql + ")", true, nil
	}
	if a.null && !b.null {
		return "(" + a.sql + " <> " + b.sql + " OR " + a.sql + " IS NULL)", true, nil
	}
	return "", false, nil
}

// expr writes a scalar expression over the columns of a block.
func (e *emitter) expr(x ir.Expr, in []cell) (cell, error) {
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > maxDepth {
		return cell{}, refuse(x.Where(), "an expression nested more than %d deep", maxDepth)
	}
	if e.lit(x) != nil {
		return e.constant(x)
	}
	switch x := x.(type) {
	case *ir.Col:
		if x.Index >= len(in) || in[x.Index].dead || (in[x.Index].kind != x.K && !(isReal(x.K) && isReal(in[x.Index].kind))) {
			return cell{}, refuse(x.Where(), "column %s", x.Name)
		}
		return in[x.Index], nil
	case *ir.Call:
		f, ok := scalars()[x.Func]
		if !ok {
			return cell{}, refuse(x.Where(), "function %s", x.Func)
		}
		c, err := f(e, x, in)
		if err != nil {
			return cell{}, err
		}
		c.kind, c.plain = x.K, false
		if textual(c.kind) {
			c.null = false
		}
		return c, nil
	}
	return cell{}, refuse(x.Where(), "expression %T", x)
}

// args writes the arguments of a call.
func (e *emitter) args(c *ir.Call, in []cell) ([]cell, error) {
	out := make([]cell, len(c.Args))
	for i, a := range c.Args {
		v, err := e.expr(a, in)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func isReal(k table.Kind) bool { return k == table.Real || k == table.Decimal }

// isWhole says that a kind is kept as a whole number and counts.
func isWhole(k table.Kind) bool { return k == table.Int || k == table.Long }

func isTime(k table.Kind) bool { return k == table.DateTime || k == table.TimeSpan }

// as converts a number to a kind where nothing is lost but digits of a real.
func (e *emitter) as(c cell, k table.Kind) (cell, bool) {
	switch {
	case c.kind == k, isReal(c.kind) && isReal(k), c.kind == table.Int && isWhole(k):
		if c.kind == table.Int && k == table.Long {
			c.sql = e.d.Cast(c.sql, k)
		}
	case isReal(k) && (isWhole(c.kind) || isTime(c.kind)):
		c.sql = e.d.Cast(c.sql, table.Real)
	default:
		return c, false
	}
	c.kind = k
	return c, true
}

// regular checks that an RE2 expression means the same to the engine, which has RE2 itself.
func (e *emitter) regular(x ir.Expr) (string, *regexp.Regexp, error) {
	w, err := e.word(x)
	if err != nil {
		return "", nil, err
	}
	re, err := regexp.Compile(w)
	if err != nil || strings.Contains(w, `\C`) || strings.Contains(w, `(?U`) {
		return "", nil, refuse(x.Where(), "this regular expression")
	}
	return w, re, nil
}
