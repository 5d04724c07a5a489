package scalar

import (
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/table"
)

func iff(c *Call) (vec.Vec, error) {
	return choose(c, c.Args[:1], []vec.Vec{c.Args[1]}, c.Args[2])
}

func cases(c *Call) (vec.Vec, error) {
	var conds, then []vec.Vec
	last := len(c.Args) - 1
	for k := 0; k+1 <= last; k += 2 {
		conds, then = append(conds, c.Args[k]), append(then, c.Args[k+1])
	}
	return choose(c, conds, then, c.Args[last])
}

// choose takes for each row the value of the first condition that is true.
func choose(c *Call, conds, then []vec.Vec, other vec.Vec) (vec.Vec, error) {
	out := vec.New(c.Kind, c.N)
	values := make([]vec.Vec, 0, len(then)+1)
	for _, t := range append(then, other) {
		values = append(values, t.Convert(c.Kind, c.N).Parsed())
	}
	for k := range conds {
		conds[k] = truth(conds[k], c.N)
	}
	for i := range c.N {
		pick := values[len(conds)]
		for k, q := range conds {
			if j := i & q.Mask(); q.Int[j] != 0 && (q.Null == nil || !q.Null[j]) {
				pick = values[k]
				break
			}
		}
		put(&out, i, pick)
	}
	return out, nil
}

// put copies row i of a vector of the same kind.
func put(out *vec.Vec, i int, from vec.Vec) {
	j := i & from.Mask()
	switch vec.ClassOf(out.Kind) {
	case vec.Texts:
		out.Text[i] = from.Text[j]
	case vec.Dyns:
		out.Dyn[i] = from.Dyn[j]
	case vec.Reals:
		out.Real[i] = from.Real[j]
	default:
		out.Int[i] = from.Int[j]
	}
	if from.Null != nil && from.Null[j] {
		out.SetNull(i)
	}
}

// coalesce takes the first that is not null; of strings the first that is not empty.
func coalesce(c *Call) (vec.Vec, error) {
	out := vec.New(c.Kind, c.N)
	args := make([]vec.Vec, len(c.Args))
	for k, a := range c.Args {
		args[k] = a.Convert(c.Kind, c.N).Parsed()
	}
	for i := range c.N {
		found := false
		for _, a := range args {
			if a.Kind == table.String && a.Text[i&a.Mask()] != "" || a.Kind != table.String && !a.IsNull(i) {
				put(&out, i, a)
				found = true
				break
			}
		}
		if !found && c.Kind != table.String {
			out.SetNull(i)
		}
	}
	return out, nil
}

func isNull(c *Call) (vec.Vec, error) {
	a, want := c.Args[0], c.Name == "isnull"
	return bools(c.N, nil, func(i int) bool { return a.IsNull(i) == want }), nil
}

// isEmpty is true for "" and for null.
func isEmpty(c *Call) (vec.Vec, error) {
	a, want := c.Args[0], c.Name == "isempty"
	m := a.Mask()
	if a.Kind == table.String {
		return bools(c.N, nil, func(i int) bool { return (a.Text[i&m] == "") == want }), nil
	}
	return bools(c.N, nil, func(i int) bool {
		return (a.IsNull(i) || a.Kind == table.Dynamic && a.At(i) == "") == want
	}), nil
}
