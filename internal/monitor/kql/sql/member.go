package sql

import (
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// path collects the members that an expression takes of a dynamic, from the outside in.
func (e *emitter) path(c *ir.Call, in []cell) (cell, []Step, error) {
	var steps []Step
	for {
		l := e.lit(c.Args[1])
		if l == nil {
			return cell{}, nil, refuse(c.Where(), "a member that is not constant")
		}
		switch v := l.Value.(type) {
		case string:
			if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == '\'' || r == '*' || r > '~' }) {
				return cell{}, nil, refuse(c.Where(), "a member of this name")
			}
			steps = append([]Step{{Name: &v}}, steps...)
		case int64:
			if v < 0 || v > 1<<20 {
				return cell{}, nil, refuse(c.Where(), "element %d", v)
			}
			steps = append([]Step{{Index: v}}, steps...)
		default:
			return cell{}, nil, refuse(c.Where(), "a member of this type")
		}
		next, ok := c.Args[0].(*ir.Call)
		if !ok || (next.Func != "." && next.Func != "[]") {
			break
		}
		c = next
	}
	x, err := e.parsed(c.Args[0], in)
	return x, steps, err
}

// parsed writes a dynamic of which members are taken: a column, or parse_json of a text.
// What is no object and no array has none.
func (e *emitter) parsed(x ir.Expr, in []cell) (cell, error) {
	var v cell
	var err error
	if c, ok := x.(*ir.Call); ok && (c.Func == "parse_json" || c.Func == "todynamic") {
		x = c.Args[0]
		if c, ok := x.(*ir.Call); ok && c.Func == "tostring" {
			x = c.Args[0]
		}
	}
	if v, err = e.expr(x, in); err != nil {
		return cell{}, err
	}
	if v.kind != table.Dynamic && v.kind != table.String {
		return cell{}, refuse(x.Where(), "a member of %s", v.kind)
	}
	return v, nil
}

// structured guards what reads JSON against text that is none.
func (e *emitter) structured(x string) string {
	return "(" + e.d.Starts(x, "'{'") + " OR " + e.d.Starts(x, "'['") + ") AND " + e.d.Valid(x)
}

// memberText is tostring of a member. Texts, whole numbers, bools and what is missing read
// alike everywhere.
func memberText(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, path, err := e.path(c, in)
	if err != nil {
		return cell{}, err
	}
	s := "(CASE WHEN " + e.structured(x.sql) + " THEN coalesce(" + e.d.MemberText(x.sql, path) + ", '') ELSE '' END)"
	return cell{sql: s}, nil
}
