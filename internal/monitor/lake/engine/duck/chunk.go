//go:build cgo

package duck

import (
	"fmt"
	"math"
	"strings"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"towpath.dev/towpath/internal/monitor/table"
)

// column is a column of a result, with where its values lie in the chunk at hand.
type column struct {
	name  string
	kind  bindings.Type
	inner bindings.Type // of a decimal
	scale uint8         // of a decimal
	data  unsafe.Pointer
	valid unsafe.Pointer // nil when nothing is null
}

// Chunk is some rows of a result. It is valid during the call that it is passed to.
type Chunk struct {
	rows    int
	columns []column
}

func (k *Chunk) load(chunk bindings.DataChunk) {
	k.rows = int(bindings.DataChunkGetSize(chunk))
	for i := range k.columns {
		v := bindings.DataChunkGetVector(chunk, bindings.IdxT(i))
		k.columns[i].data, k.columns[i].valid = bindings.VectorGetData(v), bindings.VectorGetValidity(v)
	}
}

// Rows returns the number of rows.
func (k *Chunk) Rows() int { return k.rows }

// Columns returns the number of columns.
func (k *Chunk) Columns() int { return len(k.columns) }

func (c *column) null(i int) bool {
	if c.valid == nil {
		return false
	}
	word := *(*uint64)(unsafe.Add(c.valid, i/64*8))
	return word&(1<<(i%64)) == 0
}

func values[T any](c *column, rows int) []T { return unsafe.Slice((*T)(c.data), rows) }

// text is DuckDB's string: the length, and the bytes when they are at most 12, or four of
// them and the address of all.
type text struct {
	length uint32
	inline [12]byte
}

func (t *text) view() string {
	if t.length <= 12 {
		return unsafe.String(&t.inline[0], int(t.length))
	}
	return unsafe.String(*(**byte)(unsafe.Pointer(&t.inline[4])), int(t.length))
}

// Texts returns the values of a text column, "" for null. They are valid as long as the chunk.
func (k *Chunk) Texts(col int) []string {
	c := &k.columns[col]
	all := values[text](c, k.rows)
	out := make([]string, k.rows)
	for i := range all {
		if !c.null(i) {
			out[i] = all[i].view()
		}
	}
	return out
}

// Longs returns the values of a BIGINT column, 0 for null. They are valid as long as the chunk.
func (k *Chunk) Longs(col int) []int64 { return values[int64](&k.columns[col], k.rows) }

// Null reports whether a value is null.
func (k *Chunk) Null(col, row int) bool { return k.columns[col].null(row) }

// AppendTo adds the first rows of a column to a vector, whose kind decides the conversion.
// It returns the bytes that they take in memory.
func (k *Chunk) AppendTo(v *table.Vector, col, rows int) (int64, error) {
	c := &k.columns[col]
	switch v.Kind {
	case table.GUID, table.String, table.Dynamic:
		return k.appendTexts(v, c, rows)
	case table.Real, table.Decimal:
		return int64(rows) * 8, k.appendReals(v, c, rows)
	}
	return int64(rows) * 8, k.appendInts(v, c, rows)
}

func (c *column) misfit(k table.Kind) error {
	return &Error{Wrong, fmt.Sprintf("column %q has the type %d of duckdb, which is no %s; cast it", c.name, c.kind, k)}
}

func (k *Chunk) appendTexts(v *table.Vector, c *column, rows int) (int64, error) {
	if c.kind == bindings.TypeSQLNull {
		v.Text = append(v.Text, make([]string, rows)...)
		return int64(rows) * 16, nil
	}
	if c.kind != bindings.TypeVarchar {
		return 0, c.misfit(v.Kind)
	}
	all := values[text](c, rows)
	size, last := int64(rows)*16, ""
	for i := range all {
		s := ""
		if !c.null(i) {
			s = all[i].view()
		}
		if s != last { // Neighbours are often the same: one copy serves.
			last = strings.Clone(s)
			size += int64(len(s))
		}
		v.Text = append(v.Text, last)
	}
	return size, nil
}

func (k *Chunk) appendInts(v *table.Vector, c *column, rows int) error {
	at, err := c.int64s(rows)
	if err != nil {
		return err
	}
	return appendCells(v, c, rows, at, v.AppendInt)
}

// int64s returns the reader of a whole-number column, nil for another.
func (c *column) int64s(rows int) (func(int) int64, error) {
	switch c.kind {
	case bindings.TypeBoolean, bindings.TypeUTinyInt:
		return whole[uint8](c, rows), nil
	case bindings.TypeTinyInt:
		return whole[int8](c, rows), nil
	case bindings.TypeSmallInt:
		return whole[int16](c, rows), nil
	case bindings.TypeUSmallInt:
		return whole[uint16](c, rows), nil
	case bindings.TypeInteger:
		return whole[int32](c, rows), nil
	case bindings.TypeUInteger:
		return whole[uint32](c, rows), nil
	case bindings.TypeBigInt:
		return whole[int64](c, rows), nil
	case bindings.TypeUBigInt:
		return whole[uint64](c, rows), nil
	case bindings.TypeSQLNull:
		return func(int) int64 { return 0 }, nil
	case bindings.TypeHugeInt:
		all := values[hugeInt](c, rows)
		for i := range all {
			if !c.null(i) && !all[i].fits() {
				return nil, &Error{Wrong, fmt.Sprintf("Out of Range Error: column %q has a value beyond 64 bits", c.name)}
			}
		}
		return func(i int) int64 { return int64(all[i].lower) }, nil
	}
	return nil, nil
}

func whole[T int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64](c *column, rows int) func(int) int64 {
	all := values[T](c, rows)
	return func(i int) int64 { return int64(all[i]) }
}

// hugeInt is DuckDB's 128-bit integer.
type hugeInt struct {
	lower uint64
	upper int64
}

func (h hugeInt) fits() bool { return h.upper == int64(h.lower)>>63 }

func (h hugeInt) float() float64 { return math.Ldexp(float64(h.upper), 64) + float64(h.lower) }

func (k *Chunk) appendReals(v *table.Vector, c *column, rows int) error {
	return appendCells(v, c, rows, c.floats(rows), v.AppendReal)
}

// appendCells appends what at reads; it is nil for a column that does not fit the vector.
func appendCells[T any](v *table.Vector, c *column, rows int, at func(int) T, put func(T)) error {
	if at == nil {
		return c.misfit(v.Kind)
	}
	for i := range rows {
		if c.null(i) {
			v.AppendNull()
			continue
		}
		put(at(i))
	}
	return nil
}

// floats returns the reader of a number column, nil for another.
func (c *column) floats(rows int) func(int) float64 {
	switch c.kind {
	case bindings.TypeDouble:
		all := values[float64](c, rows)
		return func(i int) float64 { return all[i] }
	case bindings.TypeFloat:
		all := values[float32](c, rows)
		return func(i int) float64 { return float64(all[i]) }
	case bindings.TypeHugeInt:
		all := values[hugeInt](c, rows)
		return func(i int) float64 { return all[i].float() }
	case bindings.TypeDecimal:
		inner := *c
		inner.kind = c.inner
		raw, unit := inner.floats(rows), math.Pow10(int(c.scale))
		return func(i int) float64 { return raw(i) / unit }
	}
	ints, err := c.int64s(rows)
	if err != nil || ints == nil {
		return nil
	}
	return func(i int) float64 { return float64(ints(i)) }
}
