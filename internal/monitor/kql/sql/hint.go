package sql

import (
	"math"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

// below turns conditions on the columns of an operator into such on its n-th input: those
// that decide the same whether they are asked before or after it.
func below(r ir.Rel, n int, conds []ir.Expr) []ir.Expr {
	switch r := r.(type) {
	case *ir.Filter:
		return append(conjuncts(r.Pred), conds...)
	case *ir.Project:
		return projected(r, conds)
	case *ir.Sort, *ir.Union:
		return conds
	case *ir.Summarize:
		return keyConds(r, conds)
	case *ir.Join:
		left, right := sideConds(r, conds)
		if n == 0 {
			return left
		}
		return right
	case *ir.Parse:
		return untouched(len(r.In.Columns()), parsePlaces(r), conds)
	case *ir.ParseKV:
		return untouched(len(r.In.Columns()), r.Places, conds)
	}
	return nil
}

// untouched keeps the conditions on columns that an operator passes on as they are.
func untouched(n int, places []int, conds []ir.Expr) []ir.Expr {
	var out []ir.Expr
	for _, c := range conds {
		ok := true
		walkExpr(c, func(x ir.Expr) {
			if col, is := x.(*ir.Col); is && (col.Index >= n || slices.Contains(places, col.Index)) {
				ok = false
			}
		})
		if ok {
			out = append(out, c)
		}
	}
	return out
}

// hints makes the scan of a table under conditions.
func (e *emitter) hints(r *ir.Scan, conds []ir.Expr) *lake.Scan {
	s := &lake.Scan{Table: r.Table, From: e.o.From, To: e.o.To}
	h := hinter{e: e, scan: r, out: s, search: map[string]bool{}}
	if t := e.o.Table(r.Table); t != nil {
		for _, name := range t.Search {
			h.search[name] = true
		}
	}
	for _, c := range conds {
		if call, ok := c.(*ir.Call); ok {
			h.cond(call)
		}
	}
	slices.Sort(s.Terms)
	s.Terms = slices.Compact(s.Terms)
	if len(s.Terms) > maxTerms {
		s.Terms = s.Terms[:maxTerms]
	}
	return s
}

type hinter struct {
	e      *emitter
	scan   *ir.Scan
	out    *lake.Scan
	search map[string]bool
}

// column returns the name of the table's column that an expression is; of a dynamic also
// its text.
func (h *hinter) column(x ir.Expr) (table.Column, bool) {
	if c, ok := x.(*ir.Call); ok && c.Func == "tostring" {
		x = c.Args[0]
	}
	c, ok := x.(*ir.Col)
	if !ok || c.Index >= len(h.scan.Cols) {
		return table.Column{}, false
	}
	return h.scan.Cols[c.Index], true
}

func (h *hinter) cond(c *ir.Call) {
	if c.Func == "or" {
		h.either(c)
		return
	}
	if len(c.Args) < 2 {
		return
	}
	col, ok := h.column(c.Args[0])
	if !ok {
		if col, ok = h.column(c.Args[1]); !ok || len(c.Args) != 2 {
			return
		}
		flipped := map[string]string{"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[c.Func]
		if flipped != "" {
			h.cond(&ir.Call{At: c.At, K: c.K, Func: flipped, Args: []ir.Expr{c.Args[1], c.Args[0]}})
		}
		return
	}
	if col.Name == table.TimeGenerated {
		h.time(c)
		return
	}
	h.words(col, c)
}

// time narrows the range of TimeGenerated.
func (h *hinter) time(c *ir.Call) {
	at := func(x ir.Expr) (int64, bool) {
		l := h.e.lit(x)
		if l == nil || l.K != table.DateTime {
			return 0, false
		}
		t, ok := l.Value.(int64)
		return t, ok && t < math.MaxInt64
	}
	t, ok := at(c.Args[1])
	if !ok {
		return
	}
	switch c.Func {
	case "==":
		h.from(t)
		h.to(t + 1)
	case ">=":
		h.from(t)
	case ">":
		h.from(t + 1)
	case "<":
		h.to(t)
	case "<=":
		h.to(t + 1)
	case "between":
		h.from(t)
		end, ok := at(c.Args[2])
		if l := h.e.lit(c.Args[2]); l != nil && l.K == table.TimeSpan {
			var span int64
			span, ok = l.Value.(int64)
			end = t + span
		}
		if ok {
			h.to(end + 1)
		}
	}
}

func (h *hinter) from(t int64) { h.out.From = max(h.out.From, t) }

// to keeps a range that is empty from looking like an open one.
func (h *hinter) to(t int64) {
	t = max(t, 1)
	if h.out.To == 0 || t < h.out.To {
		h.out.To = t
	}
}

// words narrows by a condition on a column of text.
func (h *hinter) words(col table.Column, c *ir.Call) {
	if !textual(col.Kind) {
		return
	}
	var values []string
	switch c.Func {
	case "==", "has", "has_cs":
		l := h.e.lit(c.Args[1])
		if l == nil || l.K != table.String {
			return
		}
		s, _ := l.Value.(string)
		values = []string{s}
	case "in", "has_all", "has_any":
		list, err := h.e.elements(c)
		if err != nil {
			return
		}
		for _, l := range list {
			s, ok := l.Value.(string)
			if !ok {
				return
			}
			values = append(values, s)
		}
	default:
		return
	}
	if h.search[col.Name] && (len(values) == 1 || c.Func == "has_all") {
		for _, v := range values {
			h.out.Terms = append(h.out.Terms, terms(v)...)
		}
	}
	if (c.Func == "==" || c.Func == "in") && col.Kind == table.String {
		h.equal(col.Name, values)
	}
}

// equal notes that a column has one of some values.
func (h *hinter) equal(name string, values []string) {
	if len(values) == 0 {
		return
	}
	if h.out.Equal == nil {
		h.out.Equal = map[string][]string{}
	}
	if before, ok := h.out.Equal[name]; ok {
		// Both hold; an intersection that is empty would look like no hint.
		both := slices.DeleteFunc(slices.Clone(before), func(v string) bool { return !slices.Contains(values, v) })
		if len(both) == 0 {
			return
		}
		values = both
	}
	h.out.Equal[name] = values
}

// either notes what all sides of an or say about one column.
func (h *hinter) either(c *ir.Call) {
	name, values := "", []string(nil)
	var sides func(x ir.Expr) bool
	sides = func(x ir.Expr) bool {
		call, ok := x.(*ir.Call)
		if !ok {
			return false
		}
		if call.Func == "or" {
			for _, a := range call.Args {
				if !sides(a) {
					return false
				}
			}
			return true
		}
		one := hinter{e: h.e, scan: h.scan, out: &lake.Scan{}}
		one.cond(call)
		if len(one.out.Equal) != 1 {
			return false
		}
		for n, v := range one.out.Equal {
			if name != "" && n != name {
				return false
			}
			name, values = n, append(values, v...)
		}
		return true
	}
	if sides(c) {
		h.equal(name, values)
	}
}

// terms splits a text into the terms that filters of segments know: ASCII letters and
// digits, lower case, three or more. A text with other letters gives none, because where
// its terms end is a matter of Unicode's version.
func terms(s string) []string {
	if !ascii(s) {
		return nil
	}
	var out []string
	for _, t := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') }) {
		if len(t) >= 3 && len(t) <= 100 {
			out = append(out, t)
		}
	}
	return out
}
