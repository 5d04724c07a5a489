package sql

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

func (e *emitter) sort(r *ir.Sort, used live, conds []ir.Expr) (*block, error) {
	in, err := e.rel(r.In, needs(r, 0, used), conds)
	if err != nil {
		return nil, err
	}
	if in.limit >= 0 {
		in = e.nest(in)
	}
	var keys []string
	for _, k := range r.Keys {
		c, err := e.expr(k.Expr, in.cells)
		if err != nil {
			return nil, err
		}
		ks, err := e.orderKey(c, k)
		if err != nil {
			return nil, err
		}
		keys = append(keys, ks...)
	}
	// Sorting is stable: an order from before decides among equals.
	in.order = append(keys, in.order...)
	return in, nil
}

// orderKey writes one key: nulls, then not-a-number, then the values, or all of it the
// other way round.
func (e *emitter) orderKey(c cell, k ir.SortKey) ([]string, error) {
	if c.kind == table.Dynamic {
		return nil, refuse(k.Expr.Where(), "an order of dynamics")
	}
	way, nulls := "DESC", "LAST"
	if k.Asc {
		way = "ASC"
	}
	if k.NullsFirst {
		nulls = "FIRST"
	}
	if c.kind == table.GUID {
		null := "(" + c.sql + " = '')"
		if k.NullsFirst {
			return []string{null + " DESC", c.sql + " " + way}, nil
		}
		return []string{null + " ASC", c.sql + " " + way}, nil
	}
	if c.kind == table.Real || c.kind == table.Decimal {
		first := "ASC"
		if k.NullsFirst {
			first = "DESC"
		}
		nan := "DESC"
		if !k.Asc {
			nan = "ASC"
		}
		return []string{"(" + c.sql + " IS NULL) " + first, e.d.IsNaN(c.sql) + " " + nan, c.sql + " " + way}, nil
	}
	if !c.null {
		return []string{c.sql + " " + way}, nil
	}
	return []string{c.sql + " " + way + " NULLS " + nulls}, nil
}

func (e *emitter) take(r *ir.Take, used live) (*block, error) {
	n, err := e.number(r.N)
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, refuse(r.Where(), "taking %d rows", n)
	}
	// A condition above is no condition of what is below: the first rows would be others.
	in, err := e.rel(r.In, used, nil)
	if err != nil {
		return nil, err
	}
	if in.limit < 0 || n < in.limit {
		in.limit = n
	}
	return in, nil
}
