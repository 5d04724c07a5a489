package render

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// maxText bounds one string that a function makes, in bytes.
const maxText = 8 << 20

// maxItems bounds one list that a function makes.
const maxItems = 100_000

// maxReach bounds the search for cycles, in maps and lists.
const maxReach = 200_000

// funcs are the functions that templates get beyond Helm's, and those of Helm's that can
// be made to take all memory, or to tie a knot that no function comes out of, with a check
// before them.
func (g *guard) funcs() template.FuncMap {
	f := template.FuncMap{fnTick: g.tick, fnLine: g.line, fnPlain: plain, fnSee: g.see, fnText: g.text}
	known := sprig.TxtFuncMap()
	maps.Copy(known, template.FuncMap{"printf": fmt.Sprintf, "print": fmt.Sprint, "println": fmt.Sprintln})
	for name, check := range map[string]func(args []reflect.Value) error{
		"until":     func(a []reflect.Value) error { return items(a[0].Int()) },
		"untilStep": func(a []reflect.Value) error { return steps(a[0].Int(), a[1].Int(), a[2].Int()) },
		"seq":       sequence,
		"repeat":    func(a []reflect.Value) error { return text(a[0].Int(), int64(a[1].Len())) },
		"indent":    indented, "nindent": indented,
		"replace": func(a []reflect.Value) error {
			return text(int64(strings.Count(a[2].String(), a[0].String())), int64(a[1].Len()))
		},
		"printf": formatted, "print": joined, "println": joined, "cat": joined,
		"randAlpha": random, "randAlphaNum": random, "randAscii": random, "randNumeric": random, "randBytes": random,
		"set":   func(a []reflect.Value) error { return knot(a[0], a[2:]) },
		"merge": merged, "mergeOverwrite": merged, "mustMerge": merged, "mustMergeOverwrite": merged,
	} {
		f[name] = checked(known[name], check)
	}
	return f
}

// checked is a function that is called only when a check lets its arguments pass. It has
// the arguments and the first result of fn, and an error.
func checked(fn any, check func(args []reflect.Value) error) any {
	v := reflect.ValueOf(fn)
	t := v.Type()
	failure := reflect.TypeFor[error]()
	in := make([]reflect.Type, t.NumIn())
	for i := range in {
		in[i] = t.In(i)
	}
	wrapped := reflect.FuncOf(in, []reflect.Type{t.Out(0), failure}, t.IsVariadic())
	return reflect.MakeFunc(wrapped, func(args []reflect.Value) []reflect.Value {
		if err := check(args); err != nil {
			return []reflect.Value{reflect.Zero(t.Out(0)), reflect.ValueOf(&err).Elem()}
		}
		var out []reflect.Value
		if t.IsVariadic() {
			out = v.CallSlice(args)
		} else {
			out = v.Call(args)
		}
		if len(out) == 1 {
			out = append(out, reflect.Zero(failure))
		}
		return out
	}).Interface()
}

// text refuses n strings of a size when they are too large together.
func text(n, size int64) error {
	if n > 0 && size > 0 && n > maxText/size {
		return fmt.Errorf("%w: a string of more than %d MiB", errTooMuch, maxText>>20)
	}
	return nil
}

// items refuses a list of n items when it is too long.
func items(n int64) error {
	if n > maxItems || n < -maxItems {
		return fmt.Errorf("%w: a list of more than %d items", errTooMuch, maxItems)
	}
	return nil
}

// steps refuses a list of the numbers between two, step by step, when it is too long.
func steps(from, to, step int64) error {
	if step == 0 {
		return nil
	}
	return items(to/step - from/step)
}

func sequence(a []reflect.Value) error {
	switch p := a[0]; p.Len() {
	case 1:
		return items(p.Index(0).Int())
	case 2:
		return steps(p.Index(0).Int(), p.Index(1).Int(), 1)
	case 3:
		return steps(p.Index(0).Int(), p.Index(2).Int(), p.Index(1).Int())
	}
	return nil
}

func indented(a []reflect.Value) error {
	return text(int64(1+strings.Count(a[1].String(), "\n")), a[0].Int())
}

func random(a []reflect.Value) error { return items(a[0].Int()) }

// wide finds widths and precisions that are large, or come from an argument.
var wide = regexp.MustCompile(`%[^a-zA-Z%]*([0-9]{5}|\*)`)

func formatted(a []reflect.Value) error {
	if wide.MatchString(a[0].String()) {
		return fmt.Errorf("%w: printf with a width of 10000 or more, or with one that is an argument", errTooMuch)
	}
	return joined(a[1:])
}

// joined refuses to put strings together that are too large.
func joined(a []reflect.Value) error {
	var total int64
	for i := range a[0].Len() {
		v := a[0].Index(i)
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() == reflect.String {
			total += int64(v.Len())
		}
	}
	return text(1, total)
}

func merged(a []reflect.Value) error {
	rest := make([]reflect.Value, a[1].Len())
	for i := range rest {
		rest[i] = a[1].Index(i)
	}
	return knot(a[0], rest)
}

// knot refuses to put values into a map that they lead to: what prints such a map never
// ends.
func knot(into reflect.Value, values []reflect.Value) error {
	if into.IsNil() {
		return nil
	}
	seen := map[uintptr]bool{}
	for len(values) > 0 {
		v := values[len(values)-1]
		values = values[:len(values)-1]
		for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		switch v.Kind() {
		case reflect.Map:
			if v.IsNil() || seen[v.Pointer()] {
				continue
			}
			if v.Pointer() == into.Pointer() {
				return fmt.Errorf("%w: a map that contains itself", errTooMuch)
			}
			seen[v.Pointer()] = true
			for it := v.MapRange(); it.Next(); {
				values = append(values, it.Value())
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				values = append(values, v.Index(i))
			}
		}
		if len(seen) > maxReach || len(values) > maxReach {
			return fmt.Errorf("%w: a map with more than %d others in it", errTooMuch, maxReach)
		}
	}
	return nil
}
