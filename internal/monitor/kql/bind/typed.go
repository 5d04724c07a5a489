package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// typed finds the type of a call, and brings arguments to a common type where the function
// wants that. Unknown means that a mistake was told.
func (b *binder) typed(x *syntax.Call, sig *signature, args []ir.Expr) (table.Kind, []ir.Expr) {
	switch sig.name {
	case "iff":
		k := b.common(x, args[1:], true)
		return k, args
	case "case":
		return b.caseOf(x, args)
	case "coalesce":
		if len(args) > 0 {
			return b.common(x, args, false), args
		}
	case "max_of", "min_of":
		return b.common(x, args, false), args
	case "bin", "bin_at":
		return b.binOf(x, sig, args)
	case "abs":
		k := args[0].Kind()
		if !numeric(k) && k != table.TimeSpan {
			b.errorf(args[0].Where(), "", "abs does not take a value of type %s", k)
			return table.Unknown, args
		}
		return atLeastLong(k), args
	case "array_sort_asc", "array_sort_desc":
		return table.Dynamic, args
	case "rand":
		return table.Real, args
	}
	k := sig.resultOf(args)
	if sig.result == "computed" {
		// The multi-valued series functions are taken apart by extend and project; as a value
		// they are an array of their results.
		k = table.Dynamic
	}
	return k, args
}

// common brings values to the one type that they have in common. Mixed types that have none
// become dynamic where the function allows that.
func (b *binder) common(x *syntax.Call, args []ir.Expr, mixed bool) table.Kind {
	k, clash := table.Unknown, false
	for _, a := range args {
		switch n := a.Kind(); {
		case k == table.Unknown:
			k = n
		case k == n || n == table.Unknown || clash:
		case numeric(k) && numeric(n):
			k = wider(k, n)
		case k == table.Dynamic && mixed:
			k = n // a dynamic beside another type takes that type
		case n == table.Dynamic && mixed:
		case mixed:
			k, clash = table.Dynamic, true
		default:
			b.errorf(a.Where(), "convert one of them", "%s takes values of one type, not %s and %s", x.Name.Name, k, n)
			return table.Unknown
		}
	}
	for i, a := range args {
		if k == table.Dynamic && a.Kind() != table.Dynamic {
			args[i] = b.wrap(a)
			continue
		}
		args[i] = b.cast(a, k)
	}
	return k
}

// wrap makes a dynamic of a value as it is: the element of an array of it. parse_json would
// read a text that looks like JSON.
func (b *binder) wrap(e ir.Expr) ir.Expr {
	at := ir.At{Span: e.Where()}
	array := &ir.Call{At: at, K: table.Dynamic, Func: "pack_array", Args: []ir.Expr{e}}
	return &ir.Call{At: at, K: table.Dynamic, Func: "[]", Args: []ir.Expr{array, &ir.Lit{At: at, K: table.Long, Value: int64(0)}}}
}

func (b *binder) caseOf(x *syntax.Call, args []ir.Expr) (table.Kind, []ir.Expr) {
	if len(args)%2 == 0 || len(args) < 3 {
		b.errorf(x.Span, "end it with the value for when no predicate is true", "case takes pairs of predicate and value, and a last value")
		return table.Unknown, args
	}
	var values []ir.Expr
	for i := 0; i < len(args)-1; i += 2 {
		if args[i] = b.truth(args[i]); args[i].Kind() != table.Bool {
			b.errorf(args[i].Where(), "", "a predicate of case must be a bool, not %s", args[i].Kind())
			return table.Unknown, args
		}
		values = append(values, args[i+1])
	}
	values = append(values, args[len(args)-1])
	k := b.common(x, values, true)
	for i := 0; i < len(args)-1; i += 2 {
		args[i+1] = values[i/2]
	}
	args[len(args)-1] = values[len(values)-1]
	return k, args
}

// binOf checks bin and bin_at: a number by a number, a time by a timespan.
func (b *binder) binOf(x *syntax.Call, sig *signature, args []ir.Expr) (table.Kind, []ir.Expr) {
	v, size := args[0].Kind(), args[1].Kind()
	k := table.Unknown
	switch {
	case numeric(v) && numeric(size):
		k = wider(v, size)
	case v == table.TimeSpan && size == table.TimeSpan, v == table.DateTime && (size == table.TimeSpan || size == table.DateTime):
		k = v
	}
	if k == table.Unknown || sig.name == "bin_at" && args[2].Kind() != v && !(numeric(v) && numeric(args[2].Kind())) {
		b.errorf(x.Span, "", "%s does not take values of types %s and %s", x.Name.Name, v, size)
		return table.Unknown, args
	}
	return k, args
}
