package sketch

import (
	"math"
	"slices"

	"towpath.dev/towpath/internal/monitor/kql/value"
)

// Exact is how many hashes a Distinct keeps: beyond, the relative error is about 0.8 %,
// that of Kusto's default accuracy.
const Exact = 1 << 14

// Distinct counts distinct hashes. The zero value is empty.
type Distinct struct {
	seen  map[uint64]struct{}
	limit uint64 // hashes above are dropped; 0 means none is
}

// Add counts a hash.
func (d *Distinct) Add(h uint64) {
	if d.limit != 0 && h > d.limit {
		return
	}
	if d.seen == nil {
		d.seen = map[uint64]struct{}{}
	}
	d.seen[h] = struct{}{}
	if len(d.seen) > 2*Exact {
		d.shrink()
	}
}

// shrink keeps the smallest hashes.
func (d *Distinct) shrink() {
	all := d.sorted()
	d.limit = all[Exact-1]
	for _, h := range all[Exact:] {
		delete(d.seen, h)
	}
}

func (d *Distinct) sorted() []uint64 {
	all := make([]uint64, 0, len(d.seen))
	for h := range d.seen {
		all = append(all, h)
	}
	slices.Sort(all)
	return all
}

// Count returns the number of distinct hashes, an estimate when there were many.
func (d *Distinct) Count() int64 {
	if d.limit == 0 {
		return int64(len(d.seen))
	}
	return int64(math.Round(float64(len(d.seen)) / (float64(d.limit) / math.MaxUint64)))
}

// Merge adds what another has seen.
func (d *Distinct) Merge(o *Distinct) {
	if o.limit != 0 && (d.limit == 0 || o.limit < d.limit) {
		d.limit = o.limit
		for h := range d.seen {
			if h > d.limit {
				delete(d.seen, h)
			}
		}
	}
	for h := range o.seen {
		d.Add(h)
	}
}

// Cells returns the sketch as a dynamic.
func (d *Distinct) Cells() any {
	hashes := make([]any, 0, len(d.seen))
	for _, h := range d.sorted() {
		hashes = append(hashes, int64(h))
	}
	b := &value.Bag{}
	b.Set("hll", hashes)
	b.Set("limit", int64(d.limit))
	return b
}

// OfDistinct reads what Cells wrote.
func OfDistinct(v any) (*Distinct, bool) {
	b, ok := v.(*value.Bag)
	if !ok {
		return nil, false
	}
	hashes, _ := b.Get("hll")
	list, ok := hashes.([]any)
	if !ok {
		return nil, false
	}
	limit, _ := b.Get("limit")
	n, _ := limit.(int64)
	d := &Distinct{limit: uint64(n), seen: make(map[uint64]struct{}, len(list))}
	for _, e := range list {
		h, ok := e.(int64)
		if !ok {
			return nil, false
		}
		d.seen[uint64(h)] = struct{}{}
	}
	return d, true
}
