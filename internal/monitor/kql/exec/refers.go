package exec

import "towpath.dev/towpath/internal/monitor/kql/ir"

// refers reports whether a table depends on what an enclosing mv-apply or partition puts
// in, so that it must not be kept from one part to the next.
func refers(x ir.Rel) bool {
	if _, ok := x.(*ir.Ref); ok {
		return true
	}
	for _, in := range inputs(x) {
		if refers(in) {
			return true
		}
	}
	return false
}

// inputs lists the tables that an operator reads. A sub-query's own reference does not
// leave it, but counting it costs no more than computing something twice.
func inputs(x ir.Rel) []ir.Rel {
	switch x := x.(type) {
	case *ir.Union:
		return x.Inputs
	case *ir.Join:
		return []ir.Rel{x.Left, x.Right}
	case *ir.Shared:
		return []ir.Rel{x.In}
	case *ir.Evaluate:
		return []ir.Rel{x.In}
	case *ir.Apply:
		return []ir.Rel{x.Expand.In, x.Sub}
	case *ir.Partition:
		return []ir.Rel{x.In, x.Sub}
	case *ir.Scan, *ir.Given, *ir.Rows, *ir.Range, *ir.Ref:
		return nil
	}
	if in, op := new(run).inputOf(x); op != nil {
		return []ir.Rel{in}
	}
	return nil
}
