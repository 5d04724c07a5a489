package sql

import "towpath.dev/towpath/internal/monitor/kql/ir"

// live is a set of columns of a table; nil is all of them.
type live []bool

func (l live) has(i int) bool { return l == nil || (i < len(l) && l[i]) }

// none returns the empty set of columns of r.
func none(r ir.Rel) live { return make(live, len(r.Columns())) }

// add puts the columns of an expression into the set.
func (l live) add(es ...ir.Expr) {
	for _, e := range es {
		walkExpr(e, func(e ir.Expr) {
			if c, ok := e.(*ir.Col); ok && c.Index < len(l) {
				l[c.Index] = true
			}
		})
	}
}

func (l live) agg(a ir.Agg) {
	l.add(a.Args...)
	l.add(a.If)
}

// copyOf returns used as a set that may be added to, for a table of n columns.
func copyOf(used live, n int) live {
	out := make(live, n)
	for i := range out {
		out[i] = used.has(i)
	}
	return out
}

// needs returns which columns of its n-th input an operator reads when only used ones of
// its own are read. It is nil, all, for operators that it does not know.
func needs(r ir.Rel, n int, used live) live {
	switch r := r.(type) {
	case *ir.Shared:
		// Other uses of the table read other columns.
		return nil
	case *ir.Filter:
		out := copyOf(used, len(r.In.Columns()))
		out.add(r.Pred)
		return out
	case *ir.Project:
		out := none(r.In)
		for i, e := range r.Exprs {
			if used.has(i) {
				out.add(e.Expr)
			}
		}
		return out
	case *ir.Summarize:
		return summarizeNeeds(r, used)
	case *ir.Sort:
		out := copyOf(used, len(r.In.Columns()))
		for _, k := range r.Keys {
			out.add(k.Expr)
		}
		return out
	case *ir.Serialize, *ir.Take, *ir.Union:
		return used
	case *ir.Sample:
		if r.Distinct != nil {
			out := none(r.In)
			out.add(r.Distinct)
			return out
		}
		return used
	case *ir.Join:
		return joinNeeds(r, n, used)
	case *ir.Parse:
		return captureNeeds(r.In, r.Expr, used, parsePlaces(r))
	case *ir.ParseKV:
		return captureNeeds(r.In, r.Expr, used, r.Places)
	}
	return rareNeeds(r)
}

// rareNeeds is needs for operators that make a table of their own.
func rareNeeds(r ir.Rel) live {
	switch r := r.(type) {
	case *ir.MakeSeries:
		out := none(r.In)
		for _, k := range r.Keys {
			out.add(k.Expr)
		}
		out.add(r.Axis.Expr)
		for _, a := range r.Aggs {
			out.agg(a)
		}
		return out
	case *ir.TopHitters:
		out := none(r.In)
		out.add(r.Of, r.By)
		return out
	case *ir.TopNested:
		out := none(r.In)
		for _, l := range r.Levels {
			out.add(l.By.Expr)
			out.agg(l.Agg)
		}
		return out
	case *ir.Reduce:
		out := none(r.In)
		out.add(r.Expr)
		return out
	}
	return nil
}

func summarizeNeeds(r *ir.Summarize, used live) live {
	out := none(r.In)
	for _, k := range r.Keys {
		out.add(k.Expr)
	}
	at := len(r.Keys)
	for _, a := range r.Aggs {
		for i := range a.Kinds {
			if used.has(at + i) {
				out.agg(a)
			}
		}
		at += len(a.Kinds)
	}
	return out
}

func parsePlaces(r *ir.Parse) []int {
	var out []int
	for _, p := range r.Parts {
		if p.Place >= 0 {
			out = append(out, p.Place)
		}
	}
	return out
}

// captureNeeds is needs of an operator that adds columns, or replaces some, at places.
func captureNeeds(in ir.Rel, e ir.Expr, used live, places []int) live {
	out := copyOf(used, len(in.Columns()))
	for _, p := range places {
		if p < len(out) {
			out[p] = false
		}
	}
	out.add(e)
	return out
}

func joinNeeds(r *ir.Join, n int, used live) live {
	left, right := len(r.Left.Columns()), len(r.Right.Columns())
	sides := joinColumns(r)
	if n == 0 {
		out := make(live, left)
		for i, s := range sides {
			if used.has(i) && s < left {
				out[s] = true
			}
		}
		out.add(r.LeftKeys...)
		return out
	}
	out := make(live, right)
	for i, s := range sides {
		if used.has(i) && s >= left {
			out[s-left] = true
		}
	}
	out.add(r.RightKeys...)
	return out
}

// joinColumns returns for each column of a join which one it is: counted through the left
// input, then the right one.
func joinColumns(r *ir.Join) []int {
	left, right := len(r.Left.Columns()), len(r.Right.Columns())
	var out []int
	if r.Kind != "rightsemi" && r.Kind != "rightanti" {
		for i := range left {
			out = append(out, i)
		}
	}
	switch r.Kind {
	case "leftsemi", "leftanti":
		return out
	}
	keys := map[int]bool{}
	if r.Kind == "lookup-inner" || r.Kind == "lookup-leftouter" {
		for _, k := range r.RightKeys {
			if c, ok := k.(*ir.Col); ok {
				keys[c.Index] = true
			}
		}
	}
	for i := range right {
		if !keys[i] {
			out = append(out, left+i)
		}
	}
	return out
}
