package scalar

import (
	"math/rand/v2"
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// Env is what functions know besides their arguments.
type Env struct {
	Now  int64      // ticks
	Rand *rand.Rand // of the query
	// MaxBytes bounds the memory of the column that a function makes; 0 is no bound.
	MaxBytes int64
	// Err tells that the query is to end, nil while it is not; nil when nothing can tell.
	Err func() error
}

// budget counts what a function makes.
type budget struct {
	c    *Call
	used int64
	rows int
}

// take refuses what goes over the bound, before the rest is made, and what comes after the
// query's time.
func (b *budget) take(n int) error {
	b.used += int64(n)
	b.rows++
	if b.rows%16 == 0 {
		if err := b.c.ended(); err != nil {
			return err
		}
	}
	if b.c.fits(b.used) {
		return nil
	}
	return b.c.tooLarge()
}

// ended tells that the query is to end, nil while it is not.
func (c *Call) ended() error {
	if c.Env == nil || c.Env.Err == nil {
		return nil
	}
	return c.Env.Err()
}

// fits reports whether something of a size may be made.
func (c *Call) fits(size int64) bool {
	return c.Env == nil || c.Env.MaxBytes == 0 || size <= c.Env.MaxBytes
}

// beyond is what a function returns that would make a value larger than fits: it is to be
// asked before the value is made, because one alone can be more than there is memory.
type beyond struct{}

func (c *Call) tooLarge() error {
	return fault.New(fault.TooLarge, "%s makes more than %d MiB", c.Name, c.Env.MaxBytes>>20).
		WithNext("filter earlier with where, or make shorter values")
}

// Weight estimates the memory of a cell that a function made.
func Weight(v any) int { return weight(v) }

// weight estimates the memory of a cell that a function made, as it will be once it is
// written out: an array that holds another twice, which holds another twice and so on, takes
// hardly any before that.
func weight(v any) int {
	n := 0
	weigh(v, &n)
	return n
}

// heavy is where weighing ends: no budget is larger.
const heavy = 1 << 30

func weigh(v any, n *int) {
	if *n > heavy {
		return
	}
	switch x := v.(type) {
	case string:
		*n += len(x) + 16
	case []any:
		*n += 24 + 16*len(x)
		for _, e := range x {
			weigh(e, n)
		}
	case *value.Bag:
		*n += 64
		for i := range x.Len() {
			name, e := x.At(i)
			*n += len(name) + 32
			weigh(e, n)
		}
	default:
		*n += 8
	}
}

// Call is one use of a function.
type Call struct {
	Name string
	Kind table.Kind // of the result
	Args []vec.Vec
	N    int // rows
	Env  *Env
}

// Func is a function.
type Func struct {
	run      func(c *Call) (vec.Vec, error)
	Volatile bool
}

// Lookup finds a function by the name that ir.Call has.
func Lookup(name string) (Func, bool) {
	f, ok := funcs[name]
	return f, ok
}

// Names returns the names of all functions, sorted.
func Names() []string {
	out := make([]string, 0, len(funcs))
	for n := range funcs {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// funcs is never changed.
var funcs = merge(operators(), texts(), patterns(), numbers(), conversions(), times(), dynamics(), arrays(), bags(),
	windows(), digests(), parsers(), compressors(), addresses(), seriesFuncs(), sketches())

func merge(tables ...map[string]Func) map[string]Func {
	out := map[string]Func{}
	for _, t := range tables {
		for n, f := range t {
			out[n] = f
		}
	}
	return out
}

// Run computes the call. Where all arguments are constants, so is the result.
func (f Func) Run(c *Call) (vec.Vec, error) {
	if f.Volatile {
		return f.run(c)
	}
	for _, a := range c.Args {
		if !a.Const {
			return f.run(c)
		}
	}
	one := *c
	one.N = 1
	v, err := f.run(&one)
	v.Const = true
	return v, err
}

// row makes a function of one that computes a row from its cells.
func row(f func(c *Call, a []any) any) Func {
	return Func{run: func(c *Call) (vec.Vec, error) {
		out := vec.New(c.Kind, c.N)
		cells := make([]any, len(c.Args))
		args, spent := parsed(c.Args), budget{c: c}
		for i := range c.N {
			for k := range args {
				cells[k] = args[k].At(i)
			}
			v := f(c, cells)
			if v == (beyond{}) {
				return vec.Vec{}, c.tooLarge()
			}
			if err := spent.take(weight(v)); err != nil {
				return vec.Vec{}, err
			}
			out.Set(i, v)
		}
		return out, nil
	}}
}

// parsed gives the arguments with their dynamics parsed once.
func parsed(args []vec.Vec) []vec.Vec {
	out := make([]vec.Vec, len(args))
	for k, a := range args {
		if a.Const {
			a = a.Parsed()
		}
		out[k] = a
	}
	return out
}

// strict is row for a function that is null when one of its arguments is.
func strict(f func(c *Call, a []any) any) Func {
	return row(func(c *Call, a []any) any {
		if slices.Contains(a, nil) {
			return nil
		}
		return f(c, a)
	})
}

// fallible is strict for a function that is prepared once and may refuse: prepare sees the
// call before its first row.
func fallible(prepare func(c *Call) (func(a []any) any, error)) Func {
	return Func{run: func(c *Call) (vec.Vec, error) {
		f, err := prepare(c)
		if err != nil {
			return vec.Vec{}, err
		}
		return strict(func(_ *Call, a []any) any { return f(a) }).run(c)
	}}
}

// textsOf returns the entries of an argument as texts: 1 for a constant.
func textsOf(v vec.Vec) []string {
	switch v.Kind {
	case table.String, table.GUID:
		return v.Text
	case table.Dynamic:
		if v.Dyn == nil {
			return dynamicTexts(v.Text)
		}
	}
	out := make([]string, v.Len())
	for i := range out {
		out[i] = value.String(v.At(i))
	}
	return out
}

// dynamicTexts is tostring of dynamics in JSON; a plain string needs no parsing.
func dynamicTexts(js []string) []string {
	out := make([]string, len(js))
	for i, s := range js {
		if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' && plain(s[1:n-1]) {
			out[i] = s[1 : n-1]
			continue
		}
		out[i] = value.String(vec.Parse(s))
	}
	return out
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] == '\\' || s[i] == '"' {
			return false
		}
	}
	return true
}

// nullsOf joins the nulls of arguments: true where one is null; nil when none is.
func nullsOf(n int, args ...vec.Vec) []bool {
	var out []bool
	for _, a := range args {
		if a.Null == nil && vec.ClassOf(a.Kind) < vec.Texts || a.Kind == table.String {
			continue
		}
		for i := range n {
			if a.IsNull(i) {
				if out == nil {
					out = make([]bool, n)
				}
				out[i] = true
			}
		}
	}
	return out
}

// bools makes a bool column.
func bools(n int, null []bool, f func(i int) bool) vec.Vec {
	out := vec.Vec{Kind: table.Bool, Int: make([]int64, n), Null: null}
	for i := range out.Int {
		if f(i) {
			out.Int[i] = 1
		}
	}
	return out
}

// long is a cell as a whole number, 0 for what is none.
func long(v any) int64 {
	n, _ := value.To(v, table.Long).(int64)
	return n
}

// number is a cell as a real; false for what is none.
func number(v any) (float64, bool) {
	f, ok := value.To(v, table.Real).(float64)
	return f, ok
}
