package vec

import (
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// Vec is a column. Int, Real, Text and Null are as in table.Vector.
type Vec struct {
	Kind  table.Kind
	Const bool // the one entry stands for every row
	Int   []int64
	Real  []float64
	Text  []string
	Null  []bool
	// Dyn holds the cells of a dynamic; when it is nil, Text holds them as JSON.
	Dyn []any
}

// Class is which slice a kind uses.
type Class uint8

// The classes.
const (
	Ints Class = iota
	Reals
	Texts
	Dyns
)

// ClassOf returns the slice that a kind uses.
func ClassOf(k table.Kind) Class {
	switch k {
	case table.Real, table.Decimal:
		return Reals
	case table.String, table.GUID:
		return Texts
	case table.Dynamic:
		return Dyns
	}
	return Ints
}

// New returns a vector of n entries: zeros, empty texts, null dynamics.
func New(k table.Kind, n int) Vec {
	v := Vec{Kind: k}
	switch ClassOf(k) {
	case Ints:
		v.Int = make([]int64, n)
	case Reals:
		v.Real = make([]float64, n)
	case Texts:
		v.Text = make([]string, n)
	case Dyns:
		v.Dyn = make([]any, n)
	}
	return v
}

// Constant returns a constant vector.
func Constant(k table.Kind, cell any) Vec {
	v := New(k, 1)
	v.Const = true
	v.Set(0, cell)
	return v
}

// Nulls returns a constant vector of null ("" for a string).
func Nulls(k table.Kind) Vec { return Constant(k, nil) }

// Of wraps a vector of a batch without copying.
func Of(t table.Vector) Vec {
	return Vec{Kind: t.Kind, Int: t.Int, Real: t.Real, Text: t.Text, Null: t.Null}
}

// Table returns the vector as one of a batch of n rows.
func (v Vec) Table(n int) table.Vector {
	v = v.Flat(n)
	t := table.Vector{Kind: v.Kind, Int: v.Int, Real: v.Real, Text: v.Text}
	if v.Dyn != nil {
		t.Text = make([]string, len(v.Dyn))
		for i, d := range v.Dyn {
			if d != nil {
				t.Text[i] = value.JSON(d)
			}
		}
	}
	if c := ClassOf(v.Kind); c == Ints || c == Reals {
		t.Null = v.Null
	}
	return t
}

// Len returns the number of entries; 1 for a constant.
func (v Vec) Len() int {
	switch ClassOf(v.Kind) {
	case Reals:
		return len(v.Real)
	case Texts:
		return len(v.Text)
	case Dyns:
		if v.Dyn != nil {
			return len(v.Dyn)
		}
		return len(v.Text)
	}
	return len(v.Int)
}

// Mask turns a row into a place by `row & Mask()`, so that a loop serves constants too.
func (v Vec) Mask() int {
	if v.Const {
		return 0
	}
	return -1
}

// IsNull reports whether row i is null.
func (v Vec) IsNull(i int) bool {
	i &= v.Mask()
	switch ClassOf(v.Kind) {
	case Texts:
		return v.Kind == table.GUID && v.Text[i] == ""
	case Dyns:
		if v.Dyn != nil {
			return v.Dyn[i] == nil
		}
		return v.Text[i] == "" || v.Text[i] == "null"
	}
	return v.Null != nil && v.Null[i]
}

// At returns the cell of row i.
func (v Vec) At(i int) any {
	i &= v.Mask()
	switch ClassOf(v.Kind) {
	case Texts:
		if v.Kind == table.GUID {
			if v.Text[i] == "" {
				return nil
			}
			return value.GUID(v.Text[i])
		}
		return v.Text[i]
	case Dyns:
		if v.Dyn != nil {
			return v.Dyn[i]
		}
		return Parse(v.Text[i])
	}
	if v.Null != nil && v.Null[i] {
		return nil
	}
	switch v.Kind {
	case table.Bool:
		return v.Int[i] != 0
	case table.Real, table.Decimal:
		return v.Real[i]
	case table.DateTime:
		return value.DateTime(v.Int[i])
	case table.TimeSpan:
		return value.TimeSpan(v.Int[i])
	}
	return v.Int[i]
}

// Parse reads the text of a dynamic; a text that is no JSON stands for itself.
func Parse(text string) any {
	if text == "" {
		return nil
	}
	if d, ok := value.ParseJSON(text); ok {
		return d
	}
	return text
}

// SetNull makes entry i null.
func (v *Vec) SetNull(i int) {
	switch ClassOf(v.Kind) {
	case Texts:
		v.Text[i] = ""
		return
	case Dyns:
		v.Dyn[i] = nil
		return
	case Reals:
		v.Real[i] = 0
	case Ints:
		v.Int[i] = 0
	}
	if v.Null == nil {
		v.Null = make([]bool, v.Len())
	}
	v.Null[i] = true
}

// Set gives entry i a cell, converted to the kind of the vector. The vector is one that
// New made.
func (v *Vec) Set(i int, cell any) {
	switch v.Kind {
	case table.Dynamic:
		v.Dyn[i] = cell
		return
	case table.String:
		if s, ok := cell.(string); ok {
			v.Text[i] = s
		} else {
			v.Text[i] = value.String(cell)
		}
		return
	}
	cell = value.To(cell, v.Kind)
	if cell == nil {
		v.SetNull(i)
		return
	}
	switch x := cell.(type) {
	case bool:
		v.Int[i] = 0
		if x {
			v.Int[i] = 1
		}
	case int64:
		v.Int[i] = x
	case float64:
		v.Real[i] = x
	case value.DateTime:
		v.Int[i] = int64(x)
	case value.TimeSpan:
		v.Int[i] = int64(x)
	case value.GUID:
		v.Text[i] = string(x)
	}
	if v.Null != nil {
		v.Null[i] = false
	}
}

// Flat returns the vector with n entries where it was a constant.
func (v Vec) Flat(n int) Vec {
	if !v.Const {
		return v
	}
	return v.Pick(make([]int32, n))
}

// Parsed returns a dynamic with its cells parsed.
func (v Vec) Parsed() Vec {
	if v.Kind != table.Dynamic || v.Dyn != nil {
		return v
	}
	d := make([]any, len(v.Text))
	for i, t := range v.Text {
		d[i] = Parse(t)
	}
	return Vec{Kind: v.Kind, Const: v.Const, Dyn: d}
}
