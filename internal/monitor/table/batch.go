package table

// Column is a name and a type.
type Column struct {
	Name string
	Kind Kind
}

// Vector holds the values of one column. Which of the slices is used follows from the
// kind: Int for bool, int, long, datetime and timespan, Real for real and decimal, Text
// for guid, string and dynamic. The others are nil.
type Vector struct {
	Kind Kind
	Int  []int64
	Real []float64
	Text []string
	// Null says which entries of Int or Real are null; nil when none is. Text has no need
	// of it: "" is the null of guid and dynamic, and a string has none.
	Null []bool
}

// Len returns the number of entries.
func (v Vector) Len() int {
	switch v.Kind {
	case Real, Decimal:
		return len(v.Real)
	case GUID, String, Dynamic:
		return len(v.Text)
	}
	return len(v.Int)
}

// IsNull reports whether entry i is null.
func (v Vector) IsNull(i int) bool {
	switch v.Kind {
	case String:
		return false
	case GUID, Dynamic:
		return v.Text[i] == ""
	}
	return v.Null != nil && v.Null[i]
}

// Batch is rows of one table, or of a result when Table is "".
type Batch struct {
	// ID is what the sender calls the batch. The lake takes a batch of an ID that it has
	// taken before as done, so that a retry stores nothing twice. Zero means no such check.
	ID      [16]byte
	Table   string
	Columns []Column
	Vectors []Vector // one per column
}

// Rows returns the number of rows.
func (b *Batch) Rows() int {
	if len(b.Vectors) == 0 {
		return 0
	}
	return b.Vectors[0].Len()
}

// Index returns the place of a column by its name (case-sensitive), -1 when there is none.
func (b *Batch) Index(name string) int {
	for i, c := range b.Columns {
		if c.Name == name {
			return i
		}
	}
	return -1
}
