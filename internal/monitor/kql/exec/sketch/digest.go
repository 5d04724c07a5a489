package sketch

import (
	"cmp"
	"math"
	"slices"

	"towpath.dev/towpath/internal/monitor/kql/value"
)

// Centroid is a value that stands for others near to it.
type Centroid struct{ Mean, Weight float64 }

// digestLimit is how many centroids a Digest holds before it merges neighbours.
const digestLimit = 4096

// Digest estimates percentiles. The zero value is empty.
type Digest struct {
	points []Centroid
	sorted bool
}

// Add takes a value with its weight.
func (d *Digest) Add(mean, weight float64) {
	if weight <= 0 || math.IsNaN(mean) {
		return
	}
	d.points = append(d.points, Centroid{mean, weight})
	d.sorted = false
	if len(d.points) >= 4*digestLimit {
		d.compress()
	}
}

// Merge adds what another has taken.
func (d *Digest) Merge(o *Digest) {
	for _, p := range o.points {
		d.Add(p.Mean, p.Weight)
	}
}

func (d *Digest) sort() {
	if !d.sorted {
		slices.SortStableFunc(d.points, func(a, b Centroid) int { return cmp.Compare(a.Mean, b.Mean) })
		d.sorted = true
	}
}

// compress joins neighbours; at the ends fewer, so that extreme percentiles stay good.
func (d *Digest) compress() {
	d.sort()
	total := d.Weight()
	out, before := d.points[:1:1], 0.0
	for _, p := range d.points[1:] {
		last := &out[len(out)-1]
		q := (before + (last.Weight+p.Weight)/2) / total
		if last.Weight+p.Weight <= 4*total*math.Sqrt(q*(1-q))/digestLimit {
			last.Mean += (p.Mean - last.Mean) * p.Weight / (last.Weight + p.Weight)
			last.Weight += p.Weight
			continue
		}
		before += last.Weight
		out = append(out, p)
	}
	d.points = out
}

// Weight returns the sum of the weights.
func (d *Digest) Weight() float64 {
	w := 0.0
	for _, p := range d.points {
		w += p.Weight
	}
	return w
}

// Percentile returns the value at a percentage by nearest rank; false when empty.
func (d *Digest) Percentile(percent float64) (float64, bool) {
	if len(d.points) == 0 {
		return 0, false
	}
	d.sort()
	want, sum := percent/100*d.Weight(), 0.0
	for _, p := range d.points {
		if sum += p.Weight; sum >= want-1e-9 {
			return p.Mean, true
		}
	}
	return d.points[len(d.points)-1].Mean, true
}

// Rank returns how many values are at most x, in percent of all.
func (d *Digest) Rank(x float64) float64 {
	sum := 0.0
	for _, p := range d.points {
		if p.Mean <= x {
			sum += p.Weight
		}
	}
	if w := d.Weight(); w > 0 {
		return sum / w * 100
	}
	return 0
}

// Cells returns the digest as a dynamic; kind says what type its values have.
func (d *Digest) Cells(kind string) any {
	if len(d.points) > digestLimit {
		d.compress()
	}
	d.sort()
	means, weights := make([]any, len(d.points)), make([]any, len(d.points))
	for i, p := range d.points {
		means[i], weights[i] = p.Mean, p.Weight
	}
	b := &value.Bag{}
	b.Set("tdigest", kind)
	b.Set("means", means)
	b.Set("weights", weights)
	return b
}

// OfDigest reads what Cells wrote, with the type of the values.
func OfDigest(v any) (*Digest, string, bool) {
	b, ok := v.(*value.Bag)
	if !ok {
		return nil, "", false
	}
	kind, _ := b.Get("tdigest")
	k, ok := kind.(string)
	means, _ := b.Get("means")
	weights, _ := b.Get("weights")
	m, ok1 := means.([]any)
	w, ok2 := weights.([]any)
	if !ok || !ok1 || !ok2 || len(m) != len(w) {
		return nil, "", false
	}
	d := &Digest{}
	for i := range m {
		x, ok1 := number(m[i])
		y, ok2 := number(w[i])
		if !ok1 || !ok2 {
			return nil, "", false
		}
		d.points = append(d.points, Centroid{x, y})
	}
	return d, k, true
}

func number(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}
