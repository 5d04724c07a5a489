package sketch_test

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/exec/sketch"
)

// mix spreads numbers over 64 bits.
func mix(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func TestFewAreCountedExactly(t *testing.T) {
	var d sketch.Distinct
	for round := range 3 {
		for i := range uint64(sketch.Exact) {
			d.Add(mix(i))
		}
		if d.Count() != sketch.Exact {
			t.Fatalf("round %d counts %d, want %d", round, d.Count(), sketch.Exact)
		}
	}
}

func TestManyAreCountedWithinTwoPercentAndMerge(t *testing.T) {
	var all, a, b sketch.Distinct
	const n = 1_000_000
	for i := range uint64(n) {
		all.Add(mix(i))
		if i < n/2+n/4 {
			a.Add(mix(i))
		}
		if i > n/4 {
			b.Add(mix(i))
		}
	}
	cells := b.Cells()
	read, ok := sketch.OfDistinct(cells)
	if !ok {
		t.Fatal("a sketch that was written is not read")
	}
	a.Merge(read)
	for name, d := range map[string]*sketch.Distinct{"one": &all, "merged": &a} {
		if e := math.Abs(float64(d.Count())-n) / n; e > 0.02 {
			t.Errorf("%s counts %d, off by %.1f %%", name, d.Count(), 100*e)
		}
	}
}

func TestPercentilesOfFewAreValuesAndOfManyAreNear(t *testing.T) {
	var few, many sketch.Digest
	for i := 1; i <= 10; i++ {
		few.Add(float64(i), 1)
	}
	for p, want := range map[float64]float64{50: 5, 95: 10, 10: 1, 100: 10} {
		if got, _ := few.Percentile(p); got != want {
			t.Errorf("percentile %v of ten is %v, want %v", p, got, want)
		}
	}
	h := fnv.New64a()
	const n = 200_000
	for i := range n {
		binary.Write(h, binary.LittleEndian, uint32(i))
		many.Add(float64(h.Sum64()%n), 1)
	}
	for _, p := range []float64{1, 25, 50, 75, 99} {
		got, _ := many.Percentile(p)
		if want := p / 100 * n; math.Abs(got-want) > 0.01*n {
			t.Errorf("percentile %v of many is %v, want about %v", p, got, want)
		}
	}
}
