package table

import (
	"slices"
	"time"
)

// NewVector returns a vector of a kind with room for some entries.
func NewVector(k Kind, room int) Vector {
	v := Vector{Kind: k}
	switch slotOf(k) {
	case slotReal:
		v.Real = make([]float64, 0, room)
	case slotText:
		v.Text = make([]string, 0, room)
	default:
		v.Int = make([]int64, 0, room)
	}
	return v
}

// Nulls returns a vector of n nulls, of a string of n times "".
func Nulls(k Kind, n int) Vector {
	v := NewVector(k, n)
	for range n {
		v.AppendNull()
	}
	return v
}

// Texts returns a vector of a kind that is kept as text, with n times the same value.
func Texts(k Kind, value string, n int) Vector {
	return Vector{Kind: k, Text: slices.Repeat([]string{value}, n)}
}

// AppendNull adds a null, to a string vector "".
func (v *Vector) AppendNull() {
	switch slotOf(v.Kind) {
	case slotText:
		v.Text = append(v.Text, "")
		return
	case slotReal:
		v.Real = append(v.Real, 0)
	default:
		v.Int = append(v.Int, 0)
	}
	v.mark(true)
}

// mark says whether the entry that was just added is null.
func (v *Vector) mark(null bool) {
	if v.Null == nil && !null {
		return
	}
	for len(v.Null) < v.Len() {
		v.Null = append(v.Null, false)
	}
	v.Null[v.Len()-1] = null
}

// AppendInt adds an entry to a vector that is kept as Int.
func (v *Vector) AppendInt(x int64) {
	v.Int = append(v.Int, x)
	v.mark(false)
}

// AppendReal adds an entry to a vector that is kept as Real.
func (v *Vector) AppendReal(x float64) {
	v.Real = append(v.Real, x)
	v.mark(false)
}

// AppendText adds an entry to a vector that is kept as Text.
func (v *Vector) AppendText(x string) { v.Text = append(v.Text, x) }

// AppendFrom adds entry i of a vector of the same kind.
func (v *Vector) AppendFrom(src Vector, i int) {
	switch slotOf(v.Kind) {
	case slotText:
		v.Text = append(v.Text, src.Text[i])
		return
	case slotReal:
		v.Real = append(v.Real, src.Real[i])
	default:
		v.Int = append(v.Int, src.Int[i])
	}
	v.mark(src.IsNull(i))
}

// AppendAll adds all entries of a vector of the same kind.
func (v *Vector) AppendAll(src Vector) {
	before := v.Len()
	v.Int = append(v.Int, src.Int...)
	v.Real = append(v.Real, src.Real...)
	v.Text = append(v.Text, src.Text...)
	if v.Null == nil && src.Null == nil || slotOf(v.Kind) == slotText {
		return
	}
	for len(v.Null) < before {
		v.Null = append(v.Null, false)
	}
	v.Null = append(v.Null, src.Null...)
	for len(v.Null) < v.Len() {
		v.Null = append(v.Null, false)
	}
}

// Slice returns the entries from i to before j. It shares memory with v.
func (v Vector) Slice(i, j int) Vector {
	out := Vector{Kind: v.Kind}
	switch slotOf(v.Kind) {
	case slotText:
		out.Text = v.Text[i:j:j]
	case slotReal:
		out.Real = v.Real[i:j:j]
	default:
		out.Int = v.Int[i:j:j]
	}
	if v.Null != nil {
		out.Null = v.Null[i:j:j]
	}
	return out
}

// Pick returns the entries with these numbers, in this order.
func (v Vector) Pick(rows []int) Vector {
	out := NewVector(v.Kind, len(rows))
	for _, i := range rows {
		out.AppendFrom(v, i)
	}
	return out
}

// Slice returns the rows from i to before j as a batch of the same ID and table that
// shares memory with b.
func (b *Batch) Slice(i, j int) *Batch {
	out := &Batch{ID: b.ID, Table: b.Table, Columns: b.Columns, Vectors: make([]Vector, len(b.Vectors))}
	for k, v := range b.Vectors {
		out.Vectors[k] = v.Slice(i, j)
	}
	return out
}

// Pick returns the rows with these numbers, in this order, as a batch of the same ID and table.
func (b *Batch) Pick(rows []int) *Batch {
	out := &Batch{ID: b.ID, Table: b.Table, Columns: b.Columns, Vectors: make([]Vector, len(b.Vectors))}
	for k, v := range b.Vectors {
		out.Vectors[k] = v.Pick(rows)
	}
	return out
}

// Append adds the rows of another batch, column by column by name. A column that only one
// of the two has is null in the rows of the other; of the same name with another kind,
// the kind of b stays and the other's values are null.
func (b *Batch) Append(other *Batch) {
	before, added := b.Rows(), other.Rows()
	for k, c := range b.Columns {
		at := other.Index(c.Name)
		if at < 0 || other.Columns[at].Kind != c.Kind {
			b.Vectors[k].AppendAll(Nulls(c.Kind, added))
			continue
		}
		b.Vectors[k].AppendAll(other.Vectors[at])
	}
	for k, c := range other.Columns {
		if b.Index(c.Name) >= 0 {
			continue
		}
		v := Nulls(c.Kind, before)
		v.AppendAll(other.Vectors[k])
		b.Columns = append(slices.Clip(b.Columns), c)
		b.Vectors = append(b.Vectors, v)
	}
}

// Put sets a column: that of this name is replaced, a new one is added at the end. The
// vector must have as many entries as the batch has rows.
func (b *Batch) Put(c Column, v Vector) {
	v.Kind = c.Kind
	if at := b.Index(c.Name); at >= 0 {
		b.Columns = slices.Clone(b.Columns) // It may be shared with other batches.
		b.Columns[at], b.Vectors[at] = c, v
		return
	}
	b.Columns = append(slices.Clip(b.Columns), c)
	b.Vectors = append(b.Vectors, v)
}

// Builder makes a batch of a table row by row. Next begins a row, in which every column is
// null (a string ""); the setters set a column of the row that was begun last. A place is
// that of Place; a setter with a place of -1, or of another type than the column's, does
// nothing, so that a column which a table has not needs no care.
type Builder struct {
	table   *Table
	places  map[string]int
	vectors []Vector
	rows    int
}

// NewBuilder returns a builder of batches of a table.
func NewBuilder(t *Table) *Builder {
	b := &Builder{table: t, places: make(map[string]int, len(t.Columns))}
	for i, c := range t.Columns {
		b.places[c.Name] = i
	}
	b.reset()
	return b
}

func (b *Builder) reset() {
	b.rows = 0
	b.vectors = make([]Vector, len(b.table.Columns))
	for i, c := range b.table.Columns {
		b.vectors[i] = Vector{Kind: c.Kind}
	}
}

// Place returns the place of a column by its name, -1 when the table has none.
func (b *Builder) Place(name string) int {
	if i, ok := b.places[name]; ok {
		return i
	}
	return -1
}

// Table returns the name of the table.
func (b *Builder) Table() string { return b.table.Name }

// Rows returns how many rows were begun since the last Batch.
func (b *Builder) Rows() int { return b.rows }

// Next begins a row.
func (b *Builder) Next() {
	for i := range b.vectors {
		b.vectors[i].AppendNull()
	}
	b.rows++
}

func (b *Builder) at(place int, s slot) *Vector {
	if place < 0 || b.rows == 0 || slotOf(b.vectors[place].Kind) != s {
		return nil
	}
	return &b.vectors[place]
}

// Text sets a string, guid or dynamic (JSON).
func (b *Builder) Text(place int, x string) {
	if v := b.at(place, slotText); v != nil {
		v.Text[b.rows-1] = x
	}
}

// Int sets an int or long, a bool as 0 or 1, a datetime or timespan in ticks.
func (b *Builder) Int(place int, x int64) {
	if v := b.at(place, slotInt); v != nil {
		v.Int[b.rows-1], v.Null[b.rows-1] = x, false
	}
}

// Real sets a real or decimal.
func (b *Builder) Real(place int, x float64) {
	if v := b.at(place, slotReal); v != nil {
		v.Real[b.rows-1], v.Null[b.rows-1] = x, false
	}
}

// Bool sets a bool.
func (b *Builder) Bool(place int, x bool) {
	n := int64(0)
	if x {
		n = 1
	}
	b.Int(place, n)
}

// Time sets a datetime; the zero time leaves it null.
func (b *Builder) Time(place int, t time.Time) {
	if !t.IsZero() {
		b.Int(place, TicksOf(t))
	}
}

// Set sets a column by its name to a string, bool, int, int32, int64, float64, time.Time
// or time.Duration. It reports whether the table has such a column and the value fits it.
func (b *Builder) Set(name string, value any) bool {
	place := b.Place(name)
	if place < 0 || b.rows == 0 {
		return false
	}
	k := b.table.Columns[place].Kind
	switch x := value.(type) {
	case string:
		b.Text(place, x)
		return slotOf(k) == slotText
	case bool:
		b.Bool(place, x)
		return k == Bool
	case int:
		return b.number(place, k, int64(x))
	case int32:
		return b.number(place, k, int64(x))
	case int64:
		return b.number(place, k, x)
	case float64:
		b.Real(place, x)
		return slotOf(k) == slotReal
	case time.Time:
		b.Time(place, x)
		return k == DateTime
	case time.Duration:
		b.Int(place, int64(x/100))
		return k == TimeSpan
	}
	return false
}

func (b *Builder) number(place int, k Kind, x int64) bool {
	if slotOf(k) == slotReal {
		b.Real(place, float64(x))
		return true
	}
	b.Int(place, x)
	return slotOf(k) == slotInt
}

// Row begins a row and sets columns by their names, as Set does; those that are not named
// are null.
func (b *Builder) Row(values map[string]any) {
	b.Next()
	for name, v := range values {
		b.Set(name, v)
	}
}

// Batch returns the rows as a batch with all columns of the table, and begins anew.
func (b *Builder) Batch(id [16]byte) *Batch {
	out := &Batch{ID: id, Table: b.table.Name, Columns: b.table.Columns, Vectors: b.vectors}
	for i, v := range out.Vectors {
		if !slices.Contains(v.Null, true) {
			out.Vectors[i].Null = nil
		}
	}
	b.reset()
	return out
}

// ByName returns the table of the catalogue with this name (case-sensitive), nil when there is none.
func ByName(name string) *Table {
	for _, t := range Catalog() {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Place returns the place of a column by its name (case-sensitive), -1 when there is none.
func (t *Table) Place(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}
