package agg

import (
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// shape is what is known of the values at one place of dynamics.
type shape struct {
	plain []string // types, in the order in which they were seen
	keys  *value.Bag
	items *shape
}

// indexer is how buildschema calls the elements of an array.
const indexer = "`indexer`"

// buildSchema describes the dynamics of a group, as the page of buildschema does.
func buildSchema(c *Call) vec.Vec {
	shapes := make([]shape, c.Groups)
	a := c.Args[0].Parsed()
	c.each(0, func(i, g int) { shapes[g].see(a.At(i)) })
	out := vec.New(table.Dynamic, c.Groups)
	for g := range shapes {
		out.Dyn[g] = shapes[g].cell()
	}
	return out
}

func (s *shape) see(v any) {
	switch x := v.(type) {
	case nil:
	case *value.Bag:
		if s.keys == nil {
			s.keys = &value.Bag{}
		}
		for i := range x.Len() {
			k, e := x.At(i)
			inner, ok := s.keys.Get(k)
			if !ok {
				inner = &shape{}
				s.keys.Set(k, inner)
			}
			inner.(*shape).see(e)
		}
	case []any:
		if s.items == nil {
			s.items = &shape{}
		}
		for _, e := range x {
			s.items.see(e)
		}
	default:
		s.add(typeName(v))
	}
}

func (s *shape) add(name string) {
	for _, p := range s.plain {
		if p == name {
			return
		}
	}
	s.plain = append(s.plain, name)
}

func typeName(v any) string {
	switch v.(type) {
	case bool:
		return "bool"
	case int64:
		return "long"
	case float64:
		return "double"
	case value.DateTime:
		return "datetime"
	case value.TimeSpan:
		return "timespan"
	case value.GUID:
		return "guid"
	}
	return "string"
}

// cell is the description: a type, a bag, or an array of these; null for nothing.
func (s *shape) cell() any {
	var all []any
	for _, p := range s.plain {
		all = append(all, p)
	}
	if s.keys != nil || s.items != nil {
		b := &value.Bag{}
		if s.items != nil {
			b.Set(indexer, s.items.cell())
		}
		for i := 0; s.keys != nil && i < s.keys.Len(); i++ {
			k, inner := s.keys.At(i)
			b.Set(k, inner.(*shape).cell())
		}
		all = append(all, b)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}
