package sql

import (
	"math"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

func (e *emitter) summarize(r *ir.Summarize, used live, conds []ir.Expr) (*block, error) {
	in, err := e.rel(r.In, needs(r, 0, used), keyConds(r, conds))
	if err != nil {
		return nil, err
	}
	if in.closed() {
		in = e.nest(in)
	}
	in.order = nil
	if !allPlain(in, groupExprs(r)...) {
		in = e.nest(in)
	}
	out := &block{from: in.from, where: in.where, grouped: true, limit: -1}
	for _, k := range r.Keys {
		c, err := e.key(k.Expr, in.cells)
		if err != nil {
			return nil, err
		}
		out.cells = append(out.cells, c)
		out.group = append(out.group, c.sql)
	}
	for _, a := range r.Aggs {
		cells, err := e.agg(a, in.cells, used, len(out.cells))
		if err != nil {
			return nil, err
		}
		out.cells = append(out.cells, cells...)
	}
	return out, nil
}

func groupExprs(r *ir.Summarize) []ir.Expr {
	var out []ir.Expr
	for _, k := range r.Keys {
		out = append(out, k.Expr)
	}
	for _, a := range r.Aggs {
		out = append(append(out, a.Args...), a.If)
	}
	return out
}

// key writes a key of groups.
func (e *emitter) key(x ir.Expr, in []cell) (cell, error) {
	if e.lit(x) != nil {
		// GROUP BY 1 would be the first column.
		return cell{}, refuse(x.Where(), "groups by a constant")
	}
	c, err := e.expr(x, in)
	if err != nil {
		return cell{}, err
	}
	if c.kind == table.Dynamic {
		return cell{}, refuse(x.Where(), "groups by a dynamic")
	}
	return c, nil
}

// keyConds turns conditions on the result of a Summarize into such on its input: those on
// keys that are columns there, because they decide about whole groups.
func keyConds(r *ir.Summarize, conds []ir.Expr) []ir.Expr {
	return projected(&ir.Project{Exprs: r.Keys}, conds)
}

// aggregate writes an aggregate that makes one column. filter is its condition, "" for none,
// and stands behind the call.
type aggregate func(e *emitter, a ir.Agg, args []cell, filter string) (cell, error)

func aggregates() map[string]aggregate {
	return map[string]aggregate{
		"count": count, "sum": sum, "avg": average, "min": extreme, "max": extreme, "dcount": distinct,
		"percentile": percentiles, "percentiles": percentiles, "take_any": anyOf,
		"stdev": spread("stddev_samp"), "stdevp": spread("stddev_pop"), "variance": spread("var_samp"), "variancep": spread("var_pop"),
	}
}

// agg writes an aggregate's columns; at is the place of the first in the result.
func (e *emitter) agg(a ir.Agg, in []cell, used live, at int) ([]cell, error) {
	out, any := make([]cell, len(a.Kinds)), false
	for i, k := range a.Kinds {
		out[i] = cell{kind: k, dead: true}
		any = any || used.has(at+i)
	}
	if !any {
		return out, nil
	}
	filter := ""
	if a.If != nil {
		cond, err := e.truth(a.If, in)
		if err != nil {
			return nil, err
		}
		filter = " FILTER (WHERE " + cond + ")"
	}
	if a.Func == "arg_max" || a.Func == "arg_min" {
		return e.argBest(a, in, used, at, filter)
	}
	f, ok := aggregates()[a.Func]
	if !ok {
		return nil, refuse(a.Where(), "aggregate %s", a.Func)
	}
	args := make([]cell, 0, len(a.Args))
	for _, x := range a.Args {
		c, err := e.expr(x, in)
		if err != nil {
			return nil, err
		}
		args = append(args, c)
	}
	for i := range out {
		one := a
		if len(out) > 1 && strings.HasPrefix(a.Func, "percentile") && len(a.Args) == len(out)+1 {
			// percentiles: the value, then one constant per column.
			one.Args = []ir.Expr{a.Args[0], a.Args[i+1]}
		} else if len(out) > 1 {
			return nil, refuse(a.Where(), "%s of several columns", a.Func)
		}
		one.Kinds = a.Kinds[i : i+1]
		c, err := f(e, one, args, filter)
		if err != nil {
			return nil, err
		}
		c.kind = a.Kinds[i]
		out[i] = c
	}
	return out, nil
}

func count(e *emitter, a ir.Agg, args []cell, filter string) (cell, error) {
	return cell{sql: e.d.Cast("count(*)"+filter, table.Long)}, nil
}

// sum of nothing is 0. One of whole numbers that does not fit ends in an error of the engine.
func sum(e *emitter, a ir.Agg, args []cell, filter string) (cell, error) {
	if err := e.risky(a.Where()); err != nil {
		return cell{}, err
	}
	k := a.Kinds[0]
	x, ok := e.as(args[0], k)
	if !ok || !(isWhole(k) || isReal(k) || k == table.TimeSpan) {
		return cell{}, refuse(a.Where(), "sum of %s", args[0].kind)
	}
	return cell{sql: e.d.Cast("coalesce(sum("+x.sql+")"+filter+", 0)", k)}, nil
}

// average of no number is not a number.
func average(e *emitter, a ir.Agg, args []cell, filter string) (cell, error) {
	if !isReal(a.Kinds[0]) {
		return cell{}, refuse(a.Where(), "the average of %s", args[0].kind)
	}
	x, ok := e.as(args[0], table.Real)
	if !ok {
		return cell{}, refuse(a.Where(), "the average of %s", args[0].kind)
	}
	return cell{sql: "coalesce(avg(" + x.sql + ")" + filter + ", " + e.d.Real(math.NaN()) + ")"}, nil
}

// spread is a deviation or variance, 0 for too few values.
func spread(name string) aggregate {
	return func(e *emitter, a ir.Agg, args []cell, filter string) (cell, error) {
		if err := e.risky(a.Where()); err != nil {
			return cell{}, err
		}
		x, ok := e.as(args[0], table.Real)
		if !ok {
			return cell{}, refuse(a.Where(), "%s of %s", a.Func, args[0].kind)
		}
		least := "2"
		if strings.HasSuffix(name, "_pop") {
			least = "1"
		}
		return cell{sql: "(CASE WHEN count(" + x.sql + ")" + filter + " < " + least + " THEN " + e.d.Real(0) + " ELSE " + name + "(" + x.sql + ")" + filter + " END)"}, nil
	}
}

// extreme is min and max. NaN counts only when there is nothing else.
func extreme(e *emitter, a ir.Agg, args []cell, filter string) (cell, error) {
	arg, _ := e.as(args[0], a.Kinds[0])
	x, k := arg.sql, arg.kind
	plain := a.Func + "(" + x + ")" + filter
	switch {
	case k != a.Kinds[0] || k == table.Dynamic || k == table.GUID || k == table.Bool:
		return cell{}, refuse(a.Where(), "%s of %s", a.Func, k)
	case k == table.String:
		return cell{sql: "coalesce(" + plain + ", '')"}, nil
	case isReal(k):
		return cell{sql: "coalesce(" + a.Func + "(CASE WHEN NOT " + e.d.IsNaN(x) + " THEN " + x + " END)" + filter + ", " + plain + ")", null: true}, nil
	}
	return cell{sql: plain, null: true}, nil
}

// anyOf prefers a value that is neither null nor empty.
func anyOf(e *emitter, a ir.Agg, args []cell, filter string) (cell, error) {
	x := args[0]
	if len(args) != 1 || x.kind != a.Kinds[0] {
		return cell{}, refuse(a.Where(), "take_any of several")
	}
	if textual(x.kind) {
		return cell{sql: "coalesce(" + e.d.Any("nullif("+x.sql+", '')") + filter + ", '')"}, nil
	}
	return cell{sql: e.d.Any(x.sql) + filter, null: true}, nil
}

func distinct(e *emitter, a ir.Agg, args []cell, filter string) (cell, error) {
	k := args[0].kind
	if k == table.Dynamic || k == table.GUID || isReal(k) {
		return cell{}, refuse(a.Where(), "dcount of %s", k)
	}
	return cell{sql: e.d.Cast(e.d.CountDistinct(args[0].sql)+filter, table.Long)}, nil
}

// percentiles are exact, by nearest rank.
func percentiles(e *emitter, a ir.Agg, args []cell, filter string) (cell, error) {
	x, ok := e.as(args[0], a.Kinds[0])
	k := x.kind
	l := e.lit(a.Args[len(a.Args)-1])
	if l == nil || !ok || !(isWhole(k) || isTime(k) || isReal(k)) {
		return cell{}, refuse(a.Where(), "a percentile of %s", k)
	}
	var p string
	switch v := l.Value.(type) {
	case int64:
		p = strconv.FormatInt(v, 10)
	case float64:
		p = strconv.FormatFloat(v, 'f', -1, 64)
	}
	share, ok := hundredth(p)
	if !ok {
		return cell{}, refuse(a.Where(), "the percentile %s", p)
	}
	return cell{sql: e.d.Quantile(x.sql, share) + filter, null: true}, nil
}

// hundredth divides a decimal between 0 and 100 by 100, digit by digit: engines count
// ranks exactly with a decimal, and are one off at times with a binary fraction.
func hundredth(p string) (string, bool) {
	whole, fraction, _ := strings.Cut(p, ".")
	if whole == "100" && fraction == "" {
		return "1.0", true
	}
	if len(whole) == 0 || len(whole) > 2 || len(fraction) > 10 || whole[0] == '-' {
		return "", false
	}
	return "0." + strings.Repeat("0", 2-len(whole)) + whole + fraction, true
}

// argBest is arg_max and arg_min: the columns of the row with the best key; the first of
// them is the key.
func (e *emitter) argBest(a ir.Agg, in []cell, used live, at int, filter string) ([]cell, error) {
	key, err := e.expr(a.Args[0], in)
	if err != nil {
		return nil, err
	}
	if !isWhole(key.kind) && !isTime(key.kind) {
		return nil, refuse(a.Where(), "%s by %s", a.Func, key.kind)
	}
	if len(a.Args) != len(a.Kinds) {
		return nil, refuse(a.Where(), "%s with %d columns of %d", a.Func, len(a.Kinds), len(a.Args))
	}
	out, values := make([]cell, len(a.Kinds)), []string(nil)
	place := make([]int, len(a.Kinds))
	for i, x := range a.Args {
		out[i] = cell{kind: a.Kinds[i], dead: true}
		if !used.has(at + i) {
			continue
		}
		c, err := e.expr(x, in)
		if err != nil {
			return nil, err
		}
		if c.kind != a.Kinds[i] {
			return nil, refuse(x.Where(), "%s of %s", a.Func, c.kind)
		}
		place[i] = len(values)
		values = append(values, c.sql)
		out[i] = cell{kind: c.kind, null: true}
	}
	tuple := e.d.ArgBest(a.Func == "arg_max", values, key.sql, filter)
	for i := range out {
		if out[i].dead {
			continue
		}
		out[i].sql = e.d.Field(tuple, place[i])
		if textual(out[i].kind) {
			// Without any row there is no text either.
			out[i].sql, out[i].null = "coalesce("+out[i].sql+", '')", false
		}
	}
	return out, nil
}
