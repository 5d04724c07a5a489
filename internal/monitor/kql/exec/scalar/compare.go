package scalar

import (
	"cmp"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// pairs gives two columns in a form in which they can be compared entry by entry: both of
// one class.
func pairs(a, b vec.Vec, n int) (vec.Vec, vec.Vec) {
	ca, cb := vec.ClassOf(a.Kind), vec.ClassOf(b.Kind)
	switch {
	case ca == vec.Dyns || cb == vec.Dyns:
		return a, b
	case a.Kind == table.GUID && b.Kind == table.String:
		return a, b.Convert(table.GUID, n)
	case b.Kind == table.GUID && a.Kind == table.String:
		return a.Convert(table.GUID, n), b
	case ca == vec.Texts || cb == vec.Texts:
		if ca != cb { // a string against a number: the number's type decides
			if ca == vec.Texts {
				return a.Convert(b.Kind, n), b
			}
			return a, b.Convert(a.Kind, n)
		}
	case ca != cb:
		return asReal(a, n), asReal(b, n)
	}
	return a, b
}

// differ returns how row i of the two compares: -1, 0 or 1.
func differ(a, b vec.Vec) func(i int) int {
	ma, mb := a.Mask(), b.Mask()
	if a.Kind == table.Dynamic || b.Kind == table.Dynamic {
		a, b = a.Parsed(), b.Parsed()
		return func(i int) int { return compareLoose(a.At(i), b.At(i)) }
	}
	switch vec.ClassOf(a.Kind) {
	case vec.Reals:
		return func(i int) int { return compareReal(a.Real[i&ma], b.Real[i&mb]) }
	case vec.Texts:
		return func(i int) int { return strings.Compare(a.Text[i&ma], b.Text[i&mb]) }
	}
	return func(i int) int { return cmp.Compare(a.Int[i&ma], b.Int[i&mb]) }
}

// unordered is what a comparison with NaN gives: neither less, equal nor greater.
const unordered = 2

func compareReal(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	}
	return unordered
}

// compareLoose compares cells of dynamics; one side may be a plain value, which then
// decides the type, as a comparison with a string does.
func compareLoose(a, b any) int {
	if _, ok := b.(string); ok {
		if _, same := a.(string); !same && a != nil {
			a = value.String(a)
		}
	} else if s, ok := a.(string); ok && b != nil {
		if k := value.KindOf(b); k != table.Dynamic {
			if v := value.To(s, k); v != nil {
				return value.Compare(v, b)
			}
		}
	}
	return value.Compare(a, b)
}

// equality: null against a value is false (and true for the negated form), null against
// null is null (Kusto, "Null values").
func equality(c *Call) (vec.Vec, error) {
	negated := c.Name[0] == '!'
	if c.Name == "=~" || c.Name == "!~" {
		x, y := textsOf(c.Args[0]), textsOf(c.Args[1])
		ma, mb := c.Args[0].Mask(), c.Args[1].Mask()
		return bools(c.N, nil, func(i int) bool { return strings.EqualFold(x[i&ma], y[i&mb]) != negated }), nil
	}
	a, b := pairs(c.Args[0], c.Args[1], c.N)
	ma, mb := a.Mask(), b.Mask()
	if a.Kind == table.String && b.Kind == table.String {
		return bools(c.N, nil, func(i int) bool { return (a.Text[i&ma] == b.Text[i&mb]) != negated }), nil
	}
	eq := differ(a, b)
	if nullsOf(c.N, a) == nil && nullsOf(c.N, b) == nil {
		return bools(c.N, nil, func(i int) bool { return (eq(i) == 0) != negated }), nil
	}
	out := vec.New(table.Bool, c.N)
	for i := range c.N {
		na, nb := a.IsNull(i), b.IsNull(i)
		switch {
		case na && nb:
			out.SetNull(i)
		case na || nb:
			out.Set(i, negated)
		default:
			out.Set(i, (eq(i) == 0) != negated)
		}
	}
	return out, nil
}

func ordering(c *Call) (vec.Vec, error) {
	a, b := pairs(c.Args[0], c.Args[1], c.N)
	null := nullsOf(c.N, a, b)
	d := differ(a, b)
	var ok func(int) bool
	switch c.Name {
	case "<":
		ok = func(i int) bool { return d(i) == -1 }
	case "<=":
		ok = func(i int) bool { return d(i) <= 0 }
	case ">":
		ok = func(i int) bool { return d(i) == 1 }
	default:
		ok = func(i int) bool { x := d(i); return x == 0 || x == 1 }
	}
	return bools(c.N, null, ok), nil
}

func between(c *Call) (vec.Vec, error) {
	x, lo, hi := c.Args[0], c.Args[1], c.Args[2]
	if x.Kind == table.DateTime && hi.Kind == table.TimeSpan { // between (start .. 3d)
		sum, err := intPlus(lo, hi, c.N)
		if err != nil {
			return vec.Vec{}, err
		}
		hi = sum
	}
	negated := c.Name[0] == '!'
	a1, b1 := pairs(x, lo, c.N)
	a2, b2 := pairs(x, hi, c.N)
	below, above := differ(a1, b1), differ(a2, b2)
	return bools(c.N, nullsOf(c.N, x, lo, hi), func(i int) bool {
		d, u := below(i), above(i)
		return (d >= 0 && d != unordered && u <= 0) != negated
	}), nil
}

func intPlus(a, b vec.Vec, n int) (vec.Vec, error) {
	return arithmetic(&Call{Name: "+", Kind: table.DateTime, Args: []vec.Vec{a, b}, N: n})
}

// truth returns a bool column of which false entries and nulls are known.
func truth(v vec.Vec, n int) vec.Vec { return v.Convert(table.Bool, n) }

// and is false when one side is, null when one is null and none is false.
func and(c *Call) (vec.Vec, error) { return logic(c, 0) }

// or is true when one side is, null when one is null and none is true.
func or(c *Call) (vec.Vec, error) { return logic(c, 1) }

// logic joins by the value that decides alone.
func logic(c *Call, decides int64) (vec.Vec, error) {
	out := vec.New(table.Bool, c.N)
	for i := range out.Int {
		out.Int[i] = 1 - decides
	}
	var null []bool
	for _, arg := range c.Args {
		a := truth(arg, c.N)
		m := a.Mask()
		for i := range out.Int {
			switch {
			case a.Null != nil && a.Null[i&m]:
				if null == nil {
					null = make([]bool, c.N)
				}
				null[i] = true
			case a.Int[i&m] == decides:
				out.Int[i] = decides
			}
		}
	}
	for i, n := range null {
		null[i] = n && out.Int[i] != decides
	}
	out.Null = null
	return out, nil
}

func not(c *Call) (vec.Vec, error) {
	a := truth(c.Args[0], c.N)
	m := a.Mask()
	return bools(c.N, nullsOf(c.N, a), func(i int) bool { return a.Int[i&m] == 0 }), nil
}

// in compares with each element as == does; a null is in no list.
func in(c *Call) (vec.Vec, error) {
	fold, negated := strings.HasSuffix(c.Name, "~"), c.Name[0] == '!'
	x := c.Args[0]
	if x.Kind == table.String || fold {
		return inTexts(c, fold, negated), nil
	}
	varying := false
	set := map[any]struct{}{}
	for _, a := range c.Args[1:] {
		varying = varying || !a.Const
		if a.Const {
			for _, e := range elements(a) {
				if k := setKey(e, x.Kind); k != nil {
					set[k] = struct{}{}
				}
			}
		}
	}
	has := func(i int) bool {
		k := setKey(x.At(i), x.Kind)
		if k == nil {
			return false
		}
		_, ok := set[k]
		return ok
	}
	if varying {
		constant := has
		has = func(i int) bool { return constant(i) || inRow(c.Args, i) }
	}
	if x.Const {
		x = x.Parsed()
	}
	return bools(c.N, nil, func(i int) bool { return has(i) != negated }), nil
}

func inRow(args []vec.Vec, i int) bool {
	x := args[0].At(i)
	if x == nil {
		return false
	}
	for _, a := range args[1:] {
		e := a.At(i)
		if list, ok := e.([]any); ok {
			for _, e := range list {
				if compareLoose(x, e) == 0 {
					return true
				}
			}
		} else if e != nil && compareLoose(x, e) == 0 {
			return true
		}
	}
	return false
}

// elements lists what a constant argument of in stands for.
func elements(a vec.Vec) []any {
	cell := a.At(0)
	switch x := cell.(type) {
	case []any:
		return x
	case *value.Bag:
		return []any{cell}
	}
	return []any{cell}
}

// setKey gives equal cells equal keys; nil for what equals nothing.
func setKey(v any, k table.Kind) any {
	switch x := v.(type) {
	case nil:
		return nil
	case float64:
		if n := int64(x); float64(n) == x {
			return n
		}
		return x
	case string:
		if k != table.String && k != table.Dynamic {
			return setKey(value.To(x, k), table.String)
		}
		return x
	case []any, *value.Bag:
		return "\x00" + value.JSON(v)
	}
	return v
}

func inTexts(c *Call, fold, negated bool) vec.Vec {
	text, m := textsOf(c.Args[0]), c.Args[0].Mask()
	norm := func(s string) string { return s }
	if fold {
		norm = strings.ToLower
	}
	set := map[string]struct{}{}
	var varying []vec.Vec
	for _, a := range c.Args[1:] {
		if !a.Const {
			varying = append(varying, a)
			continue
		}
		for _, e := range elements(a) {
			if e != nil {
				set[norm(value.String(e))] = struct{}{}
			}
		}
	}
	return bools(c.N, nil, func(i int) bool {
		s := norm(text[i&m])
		_, ok := set[s]
		for _, a := range varying {
			if ok {
				break
			}
			ok = listHas(a.At(i), s, norm)
		}
		return ok != negated
	})
}

func listHas(v any, s string, norm func(string) string) bool {
	list, ok := v.([]any)
	if !ok {
		return norm(value.String(v)) == s
	}
	for _, e := range list {
		if norm(value.String(e)) == s {
			return true
		}
	}
	return false
}
