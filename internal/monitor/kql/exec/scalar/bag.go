package scalar

import (
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/value"
)

func bags() map[string]Func {
	return map[string]Func{
		"bag_keys": strict(bagKeys), "bag_merge": row(bagMerge), "bag_remove_keys": strict(bagRemove), "bag_set_key": row(bagSet),
		"bag_has_key": strict(bagHas), "bag_zip": row(bagZip), "pack_all": row(packNonempty),
	}
}

func bagKeys(_ *Call, a []any) any {
	b, ok := a[0].(*value.Bag)
	if !ok {
		return nil
	}
	out := make([]any, b.Len())
	for i, k := range b.Keys() {
		out[i] = k
	}
	return out
}

// bagMerge: the leftmost value of a key stays.
func bagMerge(_ *Call, a []any) any {
	out := &value.Bag{}
	for _, x := range a {
		if b, ok := x.(*value.Bag); ok {
			for i := range b.Len() {
				out.SetNew(b.At(i))
			}
		}
	}
	return out
}

// keyPath reads "$.a.b" as members; any other text is one key.
func keyPath(s string) []string {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return []string{s}
	}
	var out []string
	for rest != "" {
		m := pathStep.FindStringSubmatch(rest)
		if m == nil || m[2] != "" {
			return []string{s}
		}
		out, rest = append(out, m[1]+m[3]), rest[len(m[0]):]
	}
	return out
}

func bagRemove(_ *Call, a []any) any {
	b, ok := a[0].(*value.Bag)
	keys, list := a[1].([]any)
	if !ok || !list {
		return nil
	}
	for _, k := range keys {
		b = without(b, keyPath(value.String(k)))
	}
	return b
}

func without(b *value.Bag, path []string) *value.Bag {
	out := &value.Bag{}
	for i := range b.Len() {
		k, v := b.At(i)
		if len(path) > 0 && k == path[0] {
			inner, ok := v.(*value.Bag)
			if len(path) == 1 {
				continue
			}
			if ok {
				v = without(inner, path[1:])
			}
		}
		out.Set(k, v)
	}
	return out
}

func bagSet(_ *Call, a []any) any {
	b, ok := a[0].(*value.Bag)
	if !ok {
		return nil
	}
	return with(b, keyPath(value.String(a[1])), a[2])
}

func with(b *value.Bag, path []string, v any) *value.Bag {
	out := &value.Bag{}
	for i := range b.Len() {
		out.Set(b.At(i))
	}
	if len(path) == 0 {
		return out
	}
	if len(path) > 1 {
		old, _ := out.Get(path[0])
		inner, ok := old.(*value.Bag)
		if !ok {
			inner = &value.Bag{}
		}
		v = with(inner, path[1:], v)
	}
	out.Set(path[0], v)
	return out
}

func bagHas(_ *Call, a []any) any {
	b, ok := a[0].(*value.Bag)
	if !ok {
		return false
	}
	var v any = b
	for _, k := range keyPath(value.String(a[1])) {
		inner, ok := v.(*value.Bag)
		if !ok {
			return false
		}
		if v, ok = inner.Get(k); !ok {
			return false
		}
	}
	return true
}

func bagZip(_ *Call, a []any) any {
	keys, ok1 := a[0].([]any)
	vals, ok2 := a[1].([]any)
	if !ok1 || !ok2 {
		return nil
	}
	b := &value.Bag{}
	for i, k := range keys {
		if s, ok := k.(string); ok {
			b.Set(s, elementOf(vals, i))
		}
	}
	return b
}

// packNonempty is pack_all(true): names and values in turns, without what is empty.
func packNonempty(_ *Call, a []any) any {
	b := &value.Bag{}
	for i := 0; i+1 < len(a); i += 2 {
		if a[i+1] != nil && a[i+1] != "" {
			b.Set(value.String(a[i]), a[i+1])
		}
	}
	return b
}
