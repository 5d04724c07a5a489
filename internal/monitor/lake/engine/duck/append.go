//go:build cgo

package duck

/*
#include <stdlib.h>
*/
import "C"

import (
	"math"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

func typeID(k table.Kind) bindings.Type {
	switch sqltype.DuckDB(k) {
	case sqltype.Boolean:
		return bindings.TypeBoolean
	case sqltype.Integer:
		return bindings.TypeInteger
	case sqltype.Double:
		return bindings.TypeDouble
	case sqltype.VarChar:
		return bindings.TypeVarchar
	}
	return bindings.TypeBigInt
}

// Append adds the rows of batches to a table with these columns, which they are matched to
// by name; a column that a batch has not is null, a text "". Texts must be valid UTF-8.
// Either all rows are added or none, unless it runs in a transaction, which then must end.
func (c *Conn) Append(name string, columns []table.Column, batches []*table.Batch) error {
	var a appender
	defer a.close()
	if bindings.AppenderCreateExt(c.c, "", "", name, &a.a) == bindings.StateError {
		return a.failure()
	}
	types := make([]bindings.LogicalType, len(columns))
	for i, col := range columns {
		types[i] = bindings.CreateLogicalType(typeID(col.Kind))
		defer bindings.DestroyLogicalType(&types[i])
	}
	a.chunk = bindings.CreateDataChunk(types)
	defer bindings.DestroyDataChunk(&a.chunk)
	most := int(bindings.VectorSize())
	for _, b := range batches {
		places := make([]int, len(columns))
		for i, col := range columns {
			places[i] = b.Index(col.Name)
		}
		for from := 0; from < b.Rows(); from += most {
			a.fill(columns, places, b, from, min(from+most, b.Rows()))
			if bindings.AppendDataChunk(a.a, a.chunk) == bindings.StateError {
				return a.failure()
			}
		}
	}
	if bindings.AppenderFlush(a.a) == bindings.StateError {
		return a.failure()
	}
	return nil
}

type appender struct {
	a     bindings.Appender
	chunk bindings.DataChunk
	long  arena
}

func (a *appender) close() {
	bindings.AppenderClear(a.a) // What a failure left would otherwise be flushed.
	bindings.AppenderDestroy(&a.a)
	a.long.free()
}

func (a *appender) failure() error {
	e := bindings.AppenderErrorData(a.a)
	defer bindings.DestroyErrorData(&e)
	return errorOf(bindings.ErrorDataErrorType(e), bindings.ErrorDataMessage(e))
}

// fill puts rows of a batch into the chunk.
func (a *appender) fill(columns []table.Column, places []int, b *table.Batch, from, to int) {
	bindings.DataChunkReset(a.chunk)
	a.long.reset()
	rows := to - from
	for i, col := range columns {
		vec := bindings.DataChunkGetVector(a.chunk, bindings.IdxT(i))
		v := table.Vector{Kind: col.Kind}
		if places[i] >= 0 {
			v = b.Vectors[places[i]].Slice(from, to)
		}
		data := bindings.VectorGetData(vec)
		switch sqltype.DuckDB(col.Kind) {
		case sqltype.VarChar:
			a.long.texts(unsafe.Slice((*text)(data), rows), v.Text)
			continue
		case sqltype.Double:
			copy(unsafe.Slice((*float64)(data), rows), v.Real)
		case sqltype.BigInt:
			copy(unsafe.Slice((*int64)(data), rows), v.Int)
		case sqltype.Integer:
			for k, x := range v.Int {
				unsafe.Slice((*int32)(data), rows)[k] = int32(x)
			}
		case sqltype.Boolean:
			for k, x := range v.Int {
				unsafe.Slice((*bool)(data), rows)[k] = x != 0
			}
		}
		nulls(vec, v, rows)
	}
	bindings.DataChunkSetSize(a.chunk, bindings.IdxT(rows))
}

// nulls marks what is null: where the vector says so, all of a vector that is not there,
// and a number that does not fit its type.
func nulls(vec bindings.Vector, v table.Vector, rows int) {
	missing := v.Len() == 0
	if !missing && v.Null == nil && v.Kind != table.Int {
		return
	}
	bindings.VectorEnsureValidityWritable(vec)
	mask := unsafe.Slice((*uint64)(bindings.VectorGetValidity(vec)), (rows+63)/64)
	for i := range rows {
		if missing || v.IsNull(i) || v.Kind == table.Int && (v.Int[i] < math.MinInt32 || v.Int[i] > math.MaxInt32) {
			mask[i/64] &^= 1 << (i % 64)
		}
	}
}

// arena holds the bytes of long texts outside of Go's memory until DuckDB has copied them.
type arena struct {
	blocks []unsafe.Pointer
	rest   []byte
	now    int // of blocks
	sizes  []int
}

const arenaBlock = 1 << 18

func (m *arena) reset() {
	m.now, m.rest = 0, nil
	if len(m.blocks) > 0 {
		m.rest = unsafe.Slice((*byte)(m.blocks[0]), m.sizes[0])
	}
}

func (m *arena) free() {
	for _, p := range m.blocks {
		C.free(p)
	}
	m.blocks, m.sizes, m.rest = nil, nil, nil
}

func (m *arena) keep(s string) *byte {
	for len(m.rest) < len(s) {
		if len(m.blocks) > 0 && m.now+1 < len(m.blocks) {
			m.now++
			m.rest = unsafe.Slice((*byte)(m.blocks[m.now]), m.sizes[m.now])
			continue
		}
		size := max(arenaBlock, len(s))
		m.blocks, m.sizes = append(m.blocks, C.malloc(C.size_t(size))), append(m.sizes, size)
		m.now = len(m.blocks) - 1
		m.rest = unsafe.Slice((*byte)(m.blocks[m.now]), size)
	}
	p := &m.rest[0]
	copy(m.rest, s)
	m.rest = m.rest[len(s):]
	return p
}

// texts writes texts as DuckDB has them; of no texts, "" everywhere.
func (m *arena) texts(out []text, in []string) {
	if len(in) == 0 {
		clear(out)
		return
	}
	for i, s := range in {
		if i > 0 && s == in[i-1] {
			out[i] = out[i-1]
			continue
		}
		t := &out[i]
		*t = text{length: uint32(len(s))}
		copy(t.inline[:], s)
		if len(s) > 12 {
			p := m.keep(s)
			clear(t.inline[4:])
			*(**byte)(unsafe.Pointer(&t.inline[4])) = p
		}
	}
}
