package scalar

import (
	"slices"

	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func arrays() map[string]Func {
	return map[string]Func{
		"array_concat": row(arrayConcat), "array_iff": strict(arrayIff),
		"array_index_of": strict(arrayIndexOf), "array_reverse": onArray(reversed), "array_sum": strict(arraySum),
		"array_slice": strict(arraySlice), "array_split": strict(arraySplit),
		"array_rotate_left": strict(rotate(1)), "array_rotate_right": strict(rotate(-1)),
		"array_shift_left": row(shift(1)), "array_shift_right": row(shift(-1)),
		"array_sort_asc": row(arraySort(false)), "array_sort_desc": row(arraySort(true)),
		"strcat_array": strict(strcatArray), "set_union": row(setOp(union)), "set_intersect": row(setOp(intersect)), "set_difference": row(setOp(difference)),
		"set_has_element": strict(setHas), "set_equals": strict(setEquals), "jaccard_index": strict(jaccard),
	}
}

func onArray(f func(list []any) any) Func {
	return strict(func(_ *Call, a []any) any {
		if list, ok := a[0].([]any); ok {
			return f(list)
		}
		return nil
	})
}

func reversed(list []any) any {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

func arrayConcat(_ *Call, a []any) any {
	out := []any{}
	for _, x := range a {
		if list, ok := x.([]any); ok {
			out = append(out, list...)
		}
	}
	return out
}

// elementOf takes the i-th of an array, null past its end, or a plain value as it is.
func elementOf(v any, i int) any {
	list, ok := v.([]any)
	switch {
	case !ok:
		return v
	case i < len(list):
		return list[i]
	}
	return nil
}

func arrayIff(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	out := make([]any, len(list))
	for i, cond := range list {
		switch cond.(type) {
		case bool, int64, float64:
			if value.To(cond, table.Bool) == true {
				out[i] = elementOf(a[1], i)
			} else {
				out[i] = elementOf(a[2], i)
			}
		}
	}
	return out
}

// arrayIndexOf(array, value[, start[, length[, occurrence]]]).
func arrayIndexOf(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	start, length, nth := int64(0), int64(-1), int64(1)
	for k, to := range []*int64{&start, &length, &nth} {
		if k+2 < len(a) {
			*to = long(a[k+2])
		}
	}
	if length < -1 || nth < 1 {
		return nil
	}
	if start < 0 {
		start = max(0, start+int64(len(list)))
	}
	for i := start; i < int64(len(list)) && (length < 0 || i < start+length); i++ {
		if value.Equal(list[i], a[1]) {
			if nth--; nth == 0 {
				return i
			}
		}
	}
	return int64(-1)
}

func arraySum(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	sum := 0.0
	for _, e := range list {
		if value.KindOf(e) != table.Long && value.KindOf(e) != table.Real && e != nil {
			return nil
		}
		f, _ := number(e)
		sum += f
	}
	return sum
}

func arraySlice(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	n := int64(len(list))
	from, to := long(a[1]), long(a[2])
	if from < 0 {
		from += n
	}
	if to < 0 {
		to += n
	}
	from, to = max(0, from), min(n-1, to)
	if from > to {
		return []any{}
	}
	return list[from : to+1]
}

func arraySplit(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	at, ok := a[1].([]any)
	if !ok {
		at = []any{a[1]}
	}
	out, from := []any{}, int64(0)
	for _, e := range at {
		i := long(e)
		if i < 0 {
			i += int64(len(list))
		}
		i = max(from, min(i, int64(len(list))))
		out = append(out, slices.Clone(list[from:i]))
		from = i
	}
	return append(out, slices.Clone(list[from:]))
}

func rotate(direction int64) func(c *Call, a []any) any {
	return func(_ *Call, a []any) any {
		list, ok := a[0].([]any)
		if !ok || len(list) == 0 {
			return a[0]
		}
		k := divide(long(a[1])*direction, int64(len(list)), true)
		return slices.Concat(list[k:], list[:k])
	}
}

func shift(direction int64) func(c *Call, a []any) any {
	return func(_ *Call, a []any) any {
		list, ok := a[0].([]any)
		if !ok {
			return nil
		}
		var fill any
		if len(a) > 2 {
			fill = a[2]
		} else if len(list) > 0 {
			if _, text := list[0].(string); text {
				fill = ""
			}
		}
		by := long(a[1]) * direction
		out := make([]any, len(list))
		for i := range out {
			out[i] = fill
			if j := int64(i) + by; j >= 0 && j < int64(len(list)) {
				out[i] = list[j]
			}
		}
		return out
	}
}

// sortRank orders the types within an array: numbers and times, strings, guids, others.
func sortRank(v any) int {
	switch v.(type) {
	case int64, float64, value.DateTime, value.TimeSpan, bool:
		return 0
	case string:
		return 1
	case value.GUID:
		return 2
	}
	return 3
}

// arraySort sorts the first array and puts the others into its order. One array gives
// itself; more give an array of arrays, of which the binder takes the parts.
func arraySort(desc bool) func(c *Call, a []any) any {
	return func(_ *Call, a []any) any {
		nullsLast := true
		if b, ok := a[len(a)-1].(bool); ok && len(a) > 1 {
			nullsLast, a = b, a[:len(a)-1]
		}
		first, ok := a[0].([]any)
		if !ok {
			return nil
		}
		order := make([]int, len(first))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int { return arrayOrder(first[i], first[j], desc, nullsLast) })
		out := make([]any, len(a))
		for k, x := range a {
			list, ok := x.([]any)
			if !ok || len(list) != len(first) {
				continue
			}
			sorted := make([]any, len(list))
			for i, from := range order {
				sorted[i] = list[from]
			}
			out[k] = sorted
		}
		if len(out) == 1 {
			return out[0]
		}
		return out
	}
}

func arrayOrder(x, y any, desc, nullsLast bool) int {
	switch {
	case x == nil && y == nil:
		return 0
	case (x == nil) == nullsLast && (x == nil) != (y == nil):
		return 1
	case x == nil || y == nil:
		return -1
	}
	c := sortRank(x) - sortRank(y)
	if c == 0 {
		c = value.Compare(x, y)
		if desc {
			c = -c
		}
	}
	return c
}

func strcatArray(c *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return value.String(a[0])
	}
	return strcatDelim(c, append([]any{a[1]}, list...))
}

// distinct keeps the first of equal values.
func distinct(list []any, keep func(key any) bool) []any {
	out, seen := []any{}, map[any]bool{}
	for _, e := range list {
		k := Key(e)
		if !seen[k] && keep(k) {
			seen[k] = true
			out = append(out, e)
		}
	}
	return out
}

// Key gives equal cells one key for a map, null too.
func Key(v any) any {
	if v == nil {
		return "\x00null"
	}
	return setKey(v, table.Dynamic)
}

func keysOf(v any) map[any]bool {
	out := map[any]bool{}
	list, _ := v.([]any)
	for _, e := range list {
		out[Key(e)] = true
	}
	return out
}

func setOp(op func(first []any, others []any) []any) func(c *Call, a []any) any {
	return func(_ *Call, a []any) any {
		first, ok := a[0].([]any)
		if !ok && a[0] != nil {
			return nil
		}
		return op(first, a[1:])
	}
}

func union(first, others []any) []any {
	all := slices.Clone(first)
	for _, o := range others {
		list, _ := o.([]any)
		all = append(all, list...)
	}
	return distinct(all, func(any) bool { return true })
}

func intersect(first, others []any) []any {
	sets := make([]map[any]bool, len(others))
	for i, o := range others {
		sets[i] = keysOf(o)
	}
	return distinct(first, func(k any) bool {
		return !slices.ContainsFunc(sets, func(s map[any]bool) bool { return !s[k] })
	})
}

func difference(first, others []any) []any {
	gone := map[any]bool{}
	for _, o := range others {
		for k := range keysOf(o) {
			gone[k] = true
		}
	}
	return distinct(first, func(k any) bool { return !gone[k] })
}

func setHas(_ *Call, a []any) any {
	if _, ok := a[0].([]any); !ok {
		return nil
	}
	return keysOf(a[0])[Key(a[1])]
}

func setEquals(_ *Call, a []any) any {
	x, y := keysOf(a[0]), keysOf(a[1])
	if len(x) != len(y) {
		return false
	}
	for k := range x {
		if !y[k] {
			return false
		}
	}
	return true
}

func jaccard(_ *Call, a []any) any {
	x, y := keysOf(a[0]), keysOf(a[1])
	both := 0
	for k := range x {
		if y[k] {
			both++
		}
	}
	return float64(both) / float64(len(x)+len(y)-both)
}
