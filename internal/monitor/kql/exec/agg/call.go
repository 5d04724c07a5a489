package agg

import (
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/scalar"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// Call is one aggregate.
type Call struct {
	Func   string
	Kinds  []table.Kind // of the results
	Args   []vec.Vec
	Keep   []bool  // rows that the condition lets through; nil for all
	Group  []int32 // of each row; nil when there is one group
	N      int     // rows
	Groups int
	// MaxBytes bounds what the aggregate makes; 0 is no bound.
	MaxBytes int64

	used int64
}

// takes counts a cell that a list is to hold; false for one that is too much.
func (c *Call) takes(v any) bool {
	return c.reserve(scalar.Weight(v))
}

// reserve counts bytes that are to be made; false when they are too many.
func (c *Call) reserve(n int) bool {
	c.used += int64(n)
	return c.MaxBytes == 0 || c.used <= c.MaxBytes
}

type aggregate func(c *Call) ([]vec.Vec, error)

// one makes an aggregate of one that has one result.
func one(f func(c *Call) vec.Vec) aggregate {
	return func(c *Call) ([]vec.Vec, error) { return []vec.Vec{f(c)}, nil }
}

// aggregates is never changed.
var aggregates = map[string]aggregate{
	"count": one(count), "sum": one(sum), "avg": one(avg), "min": one(extreme(-1)), "max": one(extreme(1)),
	"dcount": one(dcount), "count_distinct": one(dcount), "take_any": takeAny, "arg_max": argExtreme(1), "arg_min": argExtreme(-1),
	"stdev": one(spread(true, true)), "stdevp": one(spread(false, true)), "variance": one(spread(true, false)), "variancep": one(spread(false, false)),
	"covariance": one(covariance(true)), "covariancep": one(covariance(false)),
	"percentile": percentiles, "percentiles": percentiles, "percentiles_array": percentiles,
	"percentilew": weighted, "percentilesw": weighted, "percentilesw_array": weighted,
	"make_list": one(makeList(false)), "make_list_with_nulls": one(makeList(true)), "make_set": one(makeSet), "make_bag": one(makeBag),
	"buildschema": one(buildSchema), "hll": one(hll), "hll_merge": one(hllMerge), "tdigest": one(tdigest), "tdigest_merge": one(tdigestMerge),
	"binary_all_and": one(binaryAll("and")), "binary_all_or": one(binaryAll("or")), "binary_all_xor": one(binaryAll("xor")),
}

// Names returns the names of all aggregates, sorted.
func Names() []string {
	out := make([]string, 0, len(aggregates))
	for n := range aggregates {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Run computes an aggregate: a column per result, an entry per group.
func Run(c *Call) ([]vec.Vec, error) {
	f, ok := aggregates[c.Func]
	if !ok {
		return nil, fault.New(fault.Invalid, "the aggregate %s is not supported", c.Func)
	}
	if !c.reserve(perGroup[c.Func]*c.Groups) || c.sorts() && !c.reserve(8*c.N) {
		return nil, c.tooLarge()
	}
	out, err := f(c)
	if err == nil && c.MaxBytes > 0 && c.used > c.MaxBytes {
		return nil, c.tooLarge()
	}
	return out, err
}

// perGroup is about how many bytes an aggregate takes for a group before it has a value,
// where that is more than a number.
var perGroup = map[string]int{
	"dcount": 256, "count_distinct": 256, "hll": 256, "hll_merge": 256, "tdigest": 64, "tdigest_merge": 64,
	"make_list": 64, "make_list_with_nulls": 64, "make_set": 256, "make_bag": 256, "buildschema": 128,
	"percentile": 32, "percentiles": 32, "percentiles_array": 32, "percentilew": 48, "percentilesw": 48, "percentilesw_array": 48,
}

// sorts reports whether the aggregate sorts the rows of each group.
func (c *Call) sorts() bool { return strings.HasPrefix(c.Func, "percentile") }

func (c *Call) tooLarge() error {
	return fault.New(fault.TooLarge, "%s makes more than %d MiB", c.Func, c.MaxBytes>>20).
		WithNext("filter earlier with where, make shorter values, or name the largest number of values as the second argument")
}

// each calls f for the rows that count, with their group; those for which arg is null do
// not. arg is -1 to look at no argument.
func (c *Call) each(arg int, f func(row, group int)) {
	var v vec.Vec
	check := arg >= 0 && arg < len(c.Args) && (c.Args[arg].Null != nil || vec.ClassOf(c.Args[arg].Kind) == vec.Dyns || c.Args[arg].Kind == table.GUID)
	if check {
		v = c.Args[arg]
	}
	for i := range c.N {
		if c.Keep != nil && !c.Keep[i] || check && v.IsNull(i) {
			continue
		}
		g := 0
		if c.Group != nil {
			g = int(c.Group[i])
		}
		f(i, g)
	}
}

// constant returns an argument that is the same for every row, as a number.
func (c *Call) constant(arg int, otherwise int64) int64 {
	if arg < len(c.Args) && c.Args[arg].Len() > 0 {
		if n, ok := value.To(c.Args[arg].At(0), table.Long).(int64); ok {
			return n
		}
	}
	return otherwise
}

func (c *Call) kind() table.Kind { return c.Kinds[0] }
