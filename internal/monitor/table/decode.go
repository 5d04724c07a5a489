package table

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// Decode reads what Encode wrote, the whole of data. It refuses with ErrTooLarge what is
// beyond the limits, before it takes memory for it, and with ErrMalformed everything that
// Encode cannot have written. The batch does not alias data.
func Decode(data []byte, l Limits) (*Batch, error) {
	d := decoder{rest: string(data), left: pick(l.Bytes, DefaultLimits().Bytes)}
	if len(data) < len(codecMagic)+16 || d.take(len(codecMagic)) != codecMagic {
		return nil, ErrMalformed
	}
	b := &Batch{}
	copy(b.ID[:], d.take(16))
	b.Table = d.text()
	d.rows = d.count(pick(l.Rows, DefaultLimits().Rows))
	columns := d.count(pick(l.Columns, DefaultLimits().Columns))
	for range columns {
		if d.err != nil {
			break
		}
		name, kind := d.text(), Kind(d.byte())
		b.Columns = append(b.Columns, Column{name, kind})
		b.Vectors = append(b.Vectors, d.vector(kind))
	}
	if d.err == nil && d.rest != "" {
		d.fail()
	}
	if d.err == nil && columns == 0 && d.rows > 0 {
		d.fail()
	}
	if d.err != nil {
		return nil, d.err
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	return b, nil
}

func pick[T int | int64](given, otherwise T) T {
	if given > 0 {
		return given
	}
	return otherwise
}

// decoder reads from the front of rest. After a failure it gives zeros.
type decoder struct {
	rest string
	rows int
	left int64 // bytes of memory that the batch may still take
	err  error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = ErrMalformed
	}
	d.rest = ""
}

// charge takes n times each bytes from the allowance.
func (d *decoder) charge(n int, each int64) bool {
	if d.err != nil {
		return false
	}
	if int64(n) > d.left/each {
		d.err = fmt.Errorf("%w: it would take more memory than one batch may", ErrTooLarge)
		d.rest = ""
		return false
	}
	d.left -= int64(n) * each
	return true
}

func (d *decoder) take(n int) string {
	if n > len(d.rest) {
		d.fail()
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) byte() byte {
	if d.rest == "" {
		d.fail()
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

// bytes views the rest without a copy; nothing writes through it.
func (d *decoder) bytes() []byte { return unsafe.Slice(unsafe.StringData(d.rest), len(d.rest)) }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.bytes())
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.bytes())
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a number that may be at most limit.
func (d *decoder) count(limit int) int {
	v := d.uvarint()
	if d.err == nil && v > uint64(limit) {
		d.err = fmt.Errorf("%w: %d where %d are allowed", ErrTooLarge, v, limit)
		d.rest = ""
	}
	if d.err != nil {
		return 0
	}
	return int(v)
}

// length reads the length of something that must lie in the rest.
func (d *decoder) length() int {
	v := d.uvarint()
	if v > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(v)
}

func (d *decoder) text() string {
	s := d.take(d.length())
	d.charge(len(s), 1)
	return s
}

func (d *decoder) vector(k Kind) Vector {
	v := Vector{Kind: k}
	if k == Unknown || k > Dynamic {
		d.fail()
		return v
	}
	form, nulls := d.byte(), d.byte()
	if nulls > 1 || form > formDict || (form == formConst && d.rows == 0) {
		d.fail()
		return v
	}
	s := slotOf(k)
	if s != slotText && form == formDict || s == slotText && nulls != 0 {
		d.fail()
		return v
	}
	if nulls == 1 {
		v.Null = d.bitmap()
	}
	switch s {
	case slotText:
		v.Text = d.texts(form)
	case slotReal:
		v.Real = d.reals(form)
	default:
		v.Int = d.ints(form)
	}
	return v
}

func (d *decoder) bitmap() []bool {
	bits := d.take((d.rows + 7) / 8)
	if !d.charge(d.rows, 1) {
		return nil
	}
	any, out := false, make([]bool, d.rows)
	for i := range out {
		out[i] = bits[i/8]&(1<<(i%8)) != 0
		any = any || out[i]
	}
	if !any {
		d.fail() // Encode writes no bitmap then.
	}
	return out
}

func (d *decoder) ints(form byte) []int64 {
	if form == formPlain && len(d.rest) < d.rows { // a value takes a byte at least
		d.fail()
	}
	if !d.charge(d.rows, 8) {
		return nil
	}
	out := make([]int64, d.rows)
	if form == formConst {
		fill(out, d.varint())
		return out
	}
	before := int64(0)
	for i := range out {
		before += d.varint()
		out[i] = before
	}
	return out
}

func (d *decoder) reals(form byte) []float64 {
	if form == formPlain && len(d.rest)/8 < d.rows {
		d.fail()
	}
	if !d.charge(d.rows, 8) {
		return nil
	}
	out := make([]float64, d.rows)
	if form == formConst {
		fill(out, d.real())
		return out
	}
	for i := range out {
		out[i] = d.real()
	}
	return out
}

func (d *decoder) real() float64 {
	if len(d.rest) < 8 {
		d.fail()
		return 0
	}
	bits := binary.LittleEndian.Uint64(d.bytes())
	d.rest = d.rest[8:]
	return math.Float64frombits(bits)
}

func fill[T any](out []T, v T) {
	for i := range out {
		out[i] = v
	}
}

func (d *decoder) texts(form byte) []string {
	switch form {
	case formPlain:
		return d.plain(d.rows)
	case formConst:
		s := d.text()
		if !d.charge(d.rows, 16) {
			return nil
		}
		out := make([]string, d.rows)
		fill(out, s)
		return out
	}
	values := d.plain(d.count(min(maxDict, d.rows)))
	width := 1
	if len(values) > 256 {
		width = 2
	}
	index := d.take(d.rows * width)
	if !d.charge(d.rows, 16) {
		return nil
	}
	out := make([]string, d.rows)
	for i := range out {
		at := int(index[i*width])
		if width == 2 {
			at |= int(index[i*width+1]) << 8
		}
		if at >= len(values) {
			d.fail()
			return nil
		}
		out[i] = values[at]
	}
	return out
}

// plain reads n lengths and then the bytes of all.
func (d *decoder) plain(n int) []string {
	if n > len(d.rest) {
		d.fail()
	}
	if !d.charge(n, 16) {
		return nil
	}
	lengths := *d
	for range n {
		d.uvarint()
	}
	if d.err != nil {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		size := lengths.uvarint()
		if size > uint64(len(d.rest)) {
			d.fail()
			return nil
		}
		out[i] = d.rest[:size]
		d.rest = d.rest[size:]
		if !d.charge(int(size), 1) {
			return nil
		}
	}
	return out
}
