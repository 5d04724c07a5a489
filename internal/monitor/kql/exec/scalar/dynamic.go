package scalar

import (
	"math"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func dynamics() map[string]Func {
	return map[string]Func{
		".": {run: memberOf}, "[]": {run: memberOf},
		"pack_array": row(packArray), "bag_pack": row(bagPack),
		"array_length": strict(arrayLength), "range": strict(rangeOf), "zip": row(zip), "treepath": strict(treePath),
		"dynamic_to_json": row(func(_ *Call, a []any) any {
			if a[0] != nil && value.KindOf(a[0]) != table.Dynamic {
				return value.String(a[0])
			}
			return value.JSON(canonical(a[0]))
		}),
		"estimate_data_size": row(dataSize), "assert": {run: assert},
	}
}

// memberOf is `.` and `[]`: a key of a bag, or an index of an array, from the end when
// negative; null for what is not there.
func memberOf(c *Call) (vec.Vec, error) {
	key := c.Args[1]
	if s, ok := constantText(key); ok {
		a := c.Args[0]
		if a.Const {
			a = a.Parsed()
		}
		out := vec.New(c.Kind, c.N)
		for i := range c.N {
			if v := member(a.At(i), s); v != nil {
				out.Set(i, v)
			} else {
				out.SetNull(i)
			}
		}
		return out, nil
	}
	return row(func(_ *Call, a []any) any { return member(a[0], a[1]) }).run(c)
}

func constantText(v vec.Vec) (string, bool) {
	if !v.Const {
		return "", false
	}
	s, ok := v.At(0).(string)
	return s, ok
}

func member(v, key any) any {
	switch x := v.(type) {
	case *value.Bag:
		m, _ := x.Get(value.String(key))
		return m
	case []any:
		i, ok := value.To(key, table.Long).(int64)
		if !ok {
			return nil
		}
		if i < 0 {
			i += int64(len(x))
		}
		if i >= 0 && i < int64(len(x)) {
			return x[i]
		}
	}
	return nil
}

func packArray(_ *Call, a []any) any {
	return slices.Clone(a)
}

func bagPack(_ *Call, a []any) any {
	b := &value.Bag{}
	for i := 0; i+1 < len(a); i += 2 {
		b.Set(value.String(a[i]), a[i+1])
	}
	return b
}

func arrayLength(_ *Call, a []any) any {
	if list, ok := a[0].([]any); ok {
		return int64(len(list))
	}
	return nil
}

// maxRange is how many entries range() makes at most, as the service does.
const maxRange = 1 << 20

// rangeOf(start, stop[, step]) of numbers or times.
func rangeOf(_ *Call, a []any) any {
	step := any(int64(1))
	if len(a) > 2 {
		step = a[2]
	} else if value.KindOf(a[0]) == table.DateTime || value.KindOf(a[0]) == table.TimeSpan {
		step = value.TimeSpan(value.Hour)
	}
	if _, real := a[0].(float64); !real && value.KindOf(a[1]) != table.Real && value.KindOf(step) != table.Real {
		k := value.KindOf(a[0])
		out := []any{}
		from, to, by := long(a[0]), long(a[1]), long(step)
		for x := from; by > 0 && x <= to || by < 0 && x >= to; x += by {
			out = append(out, value.To(x, k))
			if k == table.TimeSpan {
				out[len(out)-1] = value.TimeSpan(x)
			}
			if len(out) >= maxRange || by > 0 && x > math.MaxInt64-by || by < 0 && x < math.MinInt64-by {
				break
			}
		}
		return out
	}
	from, ok1 := number(a[0])
	to, ok2 := number(a[1])
	by, ok3 := number(step)
	if !ok1 || !ok2 || !ok3 || by == 0 {
		return nil
	}
	out := []any{}
	for i := 0; i < maxRange; i++ {
		x := from + float64(i)*by
		if by > 0 && x > to || by < 0 && x < to {
			break
		}
		out = append(out, x)
	}
	return out
}

func zip(_ *Call, a []any) any {
	n := 0
	lists := make([][]any, len(a))
	for k, x := range a {
		if list, ok := x.([]any); ok {
			lists[k] = list
			n = max(n, len(list))
		}
	}
	out := make([]any, n)
	for i := range out {
		one := make([]any, len(a))
		for k, l := range lists {
			if i < len(l) {
				one[k] = l[i]
			}
		}
		out[i] = one
	}
	return out
}

func treePath(_ *Call, a []any) any {
	out := []any{}
	seen := map[string]bool{}
	add := func(p string) {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	var walk func(v any, at string)
	walk = func(v any, at string) {
		switch x := v.(type) {
		case *value.Bag:
			for i := range x.Len() {
				k, e := x.At(i)
				p := at + "['" + k + "']"
				if _, bag := e.(*value.Bag); !bag {
					add(p)
				}
				walk(e, p)
			}
		case []any:
			if len(x) > 0 {
				add(at + "[0]")
			}
			for _, e := range x {
				walk(e, at+"[0]")
			}
		}
	}
	walk(a[0], "")
	return out
}

// canonical sorts the keys of bags.
func canonical(v any) any {
	switch x := v.(type) {
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = canonical(e)
		}
		return out
	case *value.Bag:
		keys := slices.Clone(x.Keys())
		slices.SortFunc(keys, strings.Compare)
		b := &value.Bag{}
		for _, k := range keys {
			e, _ := x.Get(k)
			b.Set(k, canonical(e))
		}
		return b
	}
	return v
}

// dataSize is the size of the value as it is stored: eight bytes for a number, its own for
// a text.
func dataSize(_ *Call, a []any) any {
	n := 0
	for _, v := range a {
		switch x := v.(type) {
		case bool:
			n++
		case int64, float64, value.DateTime, value.TimeSpan:
			n += 8
		case value.GUID:
			n += 16
		case nil:
		default:
			n += len(value.String(x))
		}
	}
	return int64(n)
}

// assert(predicate, message) ends the query where the predicate is not true.
func assert(c *Call) (vec.Vec, error) {
	p := truth(c.Args[0], c.N)
	for i := range c.N {
		if p.IsNull(i) || p.At(i) != true {
			return vec.Vec{}, fault.New(fault.Invalid, "assert: %s", value.String(c.Args[1].At(i)))
		}
	}
	return p, nil
}
