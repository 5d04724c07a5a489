package exec

import (
	"unsafe"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/scalar"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
)

// left is how many bytes the query may still take beside those that it holds.
func (r *run) left() int64 { return max(0, r.env.MaxBytes-r.held) }

// fits refuses what takes more bytes than are left. It is to be asked before that is made.
func (r *run) fits(operator string, n int64) error {
	if n <= r.left() {
		return nil
	}
	return fault.New(fault.TooLarge, "%s needs more than the %d MiB of memory that a query may hold", operator, r.env.MaxBytes>>20).
		WithNext("narrow the time range, filter earlier with where, or keep fewer columns with project")
}

// hold counts bytes that stay while something else is computed, until release is called
// with them.
func (r *run) hold(operator string, n int64) error {
	if err := r.fits(operator, n); err != nil {
		return err
	}
	r.held += n
	return nil
}

func (r *run) release(n int64) { r.held -= n }

// counted is how many bytes the table of an operator takes that are not counted where it
// was made: by who handed it in, or because it is kept for all of the query.
func counted(x ir.Rel, f *frame) int64 {
	switch x.(type) {
	case *ir.Given, *ir.Ref, *ir.Shared:
		return 0
	}
	return f.bytes()
}

// fresh is about how many bytes of f are not those of another table too.
func (f *frame) fresh(of *frame) int64 {
	n := int64(0)
	for _, v := range f.vecs {
		if !of.has(v) {
			n += bytesOf(v, f.n)
		}
	}
	return n
}

// has reports whether a vector is one of the table's.
func (f *frame) has(v vec.Vec) bool {
	for _, o := range f.vecs {
		if unsafe.SliceData(o.Int) == unsafe.SliceData(v.Int) && unsafe.SliceData(o.Real) == unsafe.SliceData(v.Real) &&
			unsafe.SliceData(o.Text) == unsafe.SliceData(v.Text) && unsafe.SliceData(o.Dyn) == unsafe.SliceData(v.Dyn) {
			return true
		}
	}
	return false
}

// bytes is about how much memory the table takes.
func (f *frame) bytes() int64 {
	n := int64(0)
	for _, v := range f.vecs {
		n += bytesOf(v, f.n)
	}
	return n
}

// row is about how much memory a row takes, once more of them are made of the same values.
func (f *frame) row() int64 { return f.bytes()/int64(max(1, f.n)) + 16 }

// headers is how many bytes tables take that are written one behind another: their texts
// stay where they are.
func headers(parts []*frame) int64 {
	n := int64(0)
	for _, p := range parts {
		n += 16 * int64(p.n) * int64(len(p.vecs))
	}
	return n
}

// The cells that are looked at to know how large those of a column are.
const (
	sampleTexts    = 1024
	sampleDynamics = 64
)

// bytesOf is about how much memory a column of n rows takes: the sizes of texts and
// dynamics are those of a sample from all over it.
func bytesOf(v vec.Vec, n int) int64 {
	n = min(n, v.Len())
	switch {
	case n == 0:
		return 0
	case v.Dyn != nil:
		return sampled(n, sampleDynamics, func(i int) int64 { return 16 + int64(scalar.Weight(v.Dyn[i])) })
	case v.Text != nil:
		return sampled(n, sampleTexts, func(i int) int64 { return 16 + int64(len(v.Text[i])) })
	}
	return int64(8*n + len(v.Null))
}

// sampled is the sum of size over n cells, of at the most that many of them.
func sampled(n, most int, size func(i int) int64) int64 {
	looked, sum := min(n, most), int64(0)
	for k := range looked {
		sum += size(int(int64(k) * int64(n) / int64(looked)))
	}
	return int64(float64(sum) / float64(looked) * float64(n))
}
