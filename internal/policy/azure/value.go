package azure

import (
	"encoding/json"
	"math"
	"reflect"
	"sort"
	"strings"
)

// check reports whether a value fits a parameter: its type and its allowed values. Texts
// are compared without regard to case, as in Azure.
func (p Parameter) check(n node) error {
	ok := false
	switch v := n.value.(type) {
	case string:
		ok = p.Type == "String"
	case []any:
		ok = p.Type == "Array"
	case map[string]any:
		ok = p.Type == "Object"
	case bool:
		ok = p.Type == "Boolean"
	case float64:
		ok = p.Type == "Float" || p.Type == "Integer" && v == math.Trunc(v)
	}
	if !ok {
		return n.wrong("a value of type %s is expected, this is %s", p.Type, typeName(n.value))
	}
	if len(p.Allowed) == 0 {
		return nil
	}
	for _, a := range p.Allowed {
		s, isText := a.(string)
		given, text := n.value.(string)
		if isText && text && strings.EqualFold(s, given) || reflect.DeepEqual(a, n.value) {
			return nil
		}
	}
	allowed, err := json.Marshal(p.Allowed)
	if err != nil {
		return n.wrong("the value is not among the allowed ones")
	}
	given, err := json.Marshal(n.value)
	if err != nil {
		return n.wrong("the value is not among the allowed ones")
	}
	return n.wrong("%s is not among the allowed values %s", given, allowed)
}

// bind gives every declared parameter its value: the one that is given, else the default.
func bind(declared map[string]Parameter, given map[string]any, path string) (map[string]any, error) {
	out := map[string]any{}
	for _, name := range sorted(given) {
		if _, ok := declared[name]; !ok {
			return nil, node{path: path + "." + name}.wrong("there is no such parameter; these are: %s", strings.Join(sorted(declared), ", "))
		}
	}
	for _, name := range sorted(declared) {
		p := declared[name]
		v, ok := given[name]
		switch {
		case ok:
			if err := p.check(node{path: path + "." + name, value: v}); err != nil {
				return nil, err
			}
			out[name] = v
		case p.HasDefault:
			out[name] = p.Default
		default:
			return nil, node{path: path + "." + name}.wrong("the parameter has no default and must be given")
		}
	}
	return out, nil
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
