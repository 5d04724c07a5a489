package render

import (
	"fmt"
	"reflect"
	"strings"
)

// valuePath leads to a value of a chart: names and indices from the root of the values.
type valuePath struct {
	path []any // string or int
	// composite says that the value is a map or a list, so that what is written of it lies
	// below the path.
	composite bool
	text      string // of a scalar
}

// maxSees bounds how many values of one action are noted.
const maxSees = 8

// only is the only one of the values that an action used which stands in what it wrote.
func only(seen []valuePath, text string) (valuePath, bool) {
	var out valuePath
	n := 0
	for _, p := range seen {
		if p.composite || p.text != "" && strings.Contains(text, p.text) {
			out = p
			n++
		}
	}
	return out, n == 1
}

// key is the path as text.
func (p valuePath) key() string {
	var b strings.Builder
	for _, s := range p.path {
		fmt.Fprintf(&b, "/%v", s)
	}
	if p.composite {
		b.WriteString("/…")
	}
	return b.String()
}

// see notes which value an action uses and returns it. base is where its names begin.
func (g *guard) see(id int, base, value any, names ...string) any {
	if g.values == nil {
		return value
	}
	var path []any
	known := false
	cur := reflect.ValueOf(base)
	for i := 0; ; i++ {
		for cur.Kind() == reflect.Interface {
			cur = cur.Elem()
		}
		if at, ok := g.values[identity(cur)]; ok {
			path, known = append([]any{}, at...), true
			for _, n := range names[i:] {
				path = append(path, n)
			}
		}
		if i == len(names) || cur.Kind() != reflect.Map || cur.Type().Key().Kind() != reflect.String {
			break
		}
		if cur = cur.MapIndex(reflect.ValueOf(names[i]).Convert(cur.Type().Key())); !cur.IsValid() {
			break
		}
	}
	if !known {
		return value
	}
	kind := reflect.Invalid
	if value != nil {
		kind = reflect.TypeOf(value).Kind()
	}
	p := valuePath{path: path, composite: kind == reflect.Map || kind == reflect.Slice}
	if !p.composite {
		p.text = fmt.Sprint(value)
	}
	for _, s := range g.sees[id] {
		if s.key() == p.key() {
			return value
		}
	}
	if len(g.sees[id]) < maxSees {
		g.sees[id] = append(g.sees[id], p)
	}
	return value
}

// identity is the address of a map or list; 0 for anything else.
func identity(v reflect.Value) uintptr {
	switch v.Kind() {
	case reflect.Map:
		return v.Pointer()
	case reflect.Slice:
		if v.Len() > 0 {
			return v.Pointer()
		}
	}
	return 0
}

// identify finds the path of each map and list of the values by its address.
func identify(values any) map[uintptr][]any {
	out := map[uintptr][]any{}
	var walk func(v reflect.Value, path []any)
	walk = func(v reflect.Value, path []any) {
		for v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		at := identity(v)
		if at == 0 || len(path) > 100 {
			return
		}
		if _, again := out[at]; again {
			return
		}
		out[at] = append([]any{}, path...)
		if v.Kind() == reflect.Slice {
			for i := range v.Len() {
				walk(v.Index(i), append(path, i))
			}
			return
		}
		for it := v.MapRange(); it.Next(); {
			walk(it.Value(), append(path, it.Key().String()))
		}
	}
	walk(reflect.ValueOf(values), nil)
	return out
}
