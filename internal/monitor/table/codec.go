package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The encoding of a batch, version 1. Numbers are unsigned LEB128 unless noted.
//
//	"TPB" 1                      magic and version
//	ID                           16 bytes
//	Table                        length, bytes
//	rows, columns
//	then per column:
//	  name                       length, bytes
//	  kind                       1 byte
//	  form                       1 byte, see below
//	  nulls                      1 byte: 0 none, 1 a bitmap of ceil(rows/8) bytes follows
//	  values                     as the form says
//
// Forms: formConst has one value that every row has. formPlain has a value per row: of Int
// the zigzag difference to the row before, of Real 8 bytes little endian, of Text all
// lengths and then all bytes. formDict (Text only) has the number of distinct values, these
// as formPlain has them, and per row the index of one, in one byte up to 256 values, in
// two little endian up to 65,536.
const (
	codecMagic = "TPB\x01"

	formConst = 0
	formPlain = 1
	formDict  = 2
)

// maxDict is how many distinct values a dictionary may have; dictProbe is after how many
// rows a column with hardly any repetition is given up as a dictionary.
const (
	maxDict   = 1 << 16
	dictProbe = 256
)

// The reasons for which Decode refuses.
var (
	ErrMalformed = errors.New("the bytes are no batch of telemetry")
	ErrTooLarge  = errors.New("the batch is larger than allowed")
)

// Limits bound what Decode accepts. A zero field is replaced by that of DefaultLimits.
type Limits struct {
	Rows    int
	Columns int
	Bytes   int64 // of the decoded batch in memory: 16 a text and its bytes, 8 a number
}

// DefaultLimits are those of one batch on its way to the lake.
func DefaultLimits() Limits { return Limits{Rows: 1 << 20, Columns: 512, Bytes: 256 << 20} }

// Encode appends the encoding of a batch to dst. The batch must pass Check.
func Encode(dst []byte, b *Batch) []byte {
	dst = append(dst, codecMagic...)
	dst = append(dst, b.ID[:]...)
	dst = appendText(dst, b.Table)
	dst = binary.AppendUvarint(dst, uint64(b.Rows()))
	dst = binary.AppendUvarint(dst, uint64(len(b.Columns)))
	for i, c := range b.Columns {
		dst = appendText(dst, c.Name)
		dst = append(dst, byte(c.Kind))
		dst = appendVector(dst, b.Vectors[i])
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendVector(dst []byte, v Vector) []byte {
	switch slotOf(v.Kind) {
	case slotReal:
		form := formOf(v.Real, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
		dst = appendNulls(append(dst, form), v.Null)
		for _, x := range rowsOf(v.Real, form) {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
		}
	case slotText:
		return appendTexts(dst, v.Text)
	default:
		form := formOf(v.Int, func(a, b int64) bool { return a == b })
		dst = appendNulls(append(dst, form), v.Null)
		before := int64(0)
		for _, x := range rowsOf(v.Int, form) {
			dst = binary.AppendVarint(dst, x-before) // Wraps around, and back in Decode.
			before = x
		}
	}
	return dst
}

// formOf returns formConst when all values are the same; of no rows, formPlain.
func formOf[T any](values []T, same func(a, b T) bool) byte {
	if len(values) == 0 {
		return formPlain
	}
	for _, v := range values[1:] {
		if !same(v, values[0]) {
			return formPlain
		}
	}
	return formConst
}

func rowsOf[T any](values []T, form byte) []T {
	if form == formConst {
		return values[:1]
	}
	return values
}

func appendNulls(dst []byte, null []bool) []byte {
	any := false
	for _, n := range null {
		any = any || n
	}
	if !any {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	at := len(dst)
	dst = append(dst, make([]byte, (len(null)+7)/8)...)
	for i, n := range null {
		if n {
			dst[at+i/8] |= 1 << (i % 8)
		}
	}
	return dst
}

func appendTexts(dst []byte, texts []string) []byte {
	form := formOf(texts, func(a, b string) bool { return a == b })
	if form == formConst {
		return appendText(append(dst, formConst, 0), texts[0])
	}
	values, index, ok := dictionary(texts)
	if !ok {
		return appendPlain(append(dst, formPlain, 0), texts)
	}
	dst = append(dst, formDict, 0)
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	dst = appendPlain(dst, values)
	for _, i := range index {
		if len(values) > 256 {
			dst = append(dst, byte(i), byte(i>>8))
		} else {
			dst = append(dst, byte(i))
		}
	}
	return dst
}

func appendPlain(dst []byte, texts []string) []byte {
	for _, s := range texts {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
	}
	for _, s := range texts {
		dst = append(dst, s...)
	}
	return dst
}

// dictionary numbers the distinct texts, unless there are so many that it saves nothing.
func dictionary(texts []string) (values []string, index []uint16, ok bool) {
	seen := make(map[string]uint16, 64)
	index = make([]uint16, 0, len(texts))
	last := uint16(0)
	for n, s := range texts {
		if len(values) > 0 && values[last] == s {
			index = append(index, last)
			continue
		}
		i, found := seen[s]
		if !found {
			if len(values) == maxDict || (n >= dictProbe && len(values) > n/2) {
				return nil, nil, false
			}
			i = uint16(len(values))
			seen[s] = i
			values = append(values, s)
		}
		index, last = append(index, i), i
	}
	return values, index, len(values) <= len(texts)/2
}

// slot says which of the slices of a Vector a kind uses.
type slot uint8

const (
	slotInt slot = iota
	slotReal
	slotText
)

func slotOf(k Kind) slot {
	switch k {
	case Real, Decimal:
		return slotReal
	case GUID, String, Dynamic:
		return slotText
	}
	return slotInt
}

// Check returns an error, naming the column, when the batch breaks an invariant of the
// package: a kind that does not exist, a vector of another kind or length than the batch.
func (b *Batch) Check() error {
	if len(b.Columns) != len(b.Vectors) {
		return fmt.Errorf("%w: %d columns with %d vectors", ErrMalformed, len(b.Columns), len(b.Vectors))
	}
	names := make(map[string]bool, len(b.Columns))
	for i, c := range b.Columns {
		v := b.Vectors[i]
		switch {
		case c.Kind == Unknown || c.Kind > Dynamic:
			return fmt.Errorf("%w: column %q has no type", ErrMalformed, c.Name)
		case v.Kind != c.Kind:
			return fmt.Errorf("%w: column %q is %s and has values of %s", ErrMalformed, c.Name, c.Kind, v.Kind)
		case v.Len() != b.Rows():
			return fmt.Errorf("%w: column %q has %d values in %d rows", ErrMalformed, c.Name, v.Len(), b.Rows())
		case v.Null != nil && len(v.Null) != v.Len():
			return fmt.Errorf("%w: column %q has %d marks of null in %d rows", ErrMalformed, c.Name, len(v.Null), b.Rows())
		case names[c.Name]:
			return fmt.Errorf("%w: column %q stands in it twice", ErrMalformed, c.Name)
		}
		names[c.Name] = true
	}
	return nil
}
