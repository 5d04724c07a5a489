package value

import (
	"cmp"
	"strings"
)

// DateTime is ticks since 0001-01-01T00:00:00Z.
type DateTime int64

// TimeSpan is a length of time in ticks.
type TimeSpan int64

// GUID is a lower-case identifier with dashes.
type GUID string

// Ticks of the units of time.
const (
	Microsecond int64 = 10
	Millisecond       = 1000 * Microsecond
	Second            = 1000 * Millisecond
	Minute            = 60 * Second
	Hour              = 60 * Minute
	Day               = 24 * Hour
	// UnixEpoch is 1970-01-01 in ticks since 0001-01-01.
	UnixEpoch int64 = 621_355_968_000_000_000
	// MaxDateTime is 9999-12-31T23:59:59.9999999Z, the last moment there is.
	MaxDateTime int64 = 3_155_378_975_999_999_999
)

// Bag is a property bag of a dynamic. The zero value is an empty bag.
type Bag struct {
	keys  []string
	vals  []any
	index map[string]int // nil while the bag is small
}

// smallBag is how many keys are found by looking at each.
const smallBag = 12

// Len returns the number of keys.
func (b *Bag) Len() int { return len(b.keys) }

// At returns the i-th key with its value.
func (b *Bag) At(i int) (string, any) { return b.keys[i], b.vals[i] }

// Keys returns the keys in order. The caller must not change them.
func (b *Bag) Keys() []string { return b.keys }

func (b *Bag) find(key string) int {
	if b.index != nil {
		if i, ok := b.index[key]; ok {
			return i
		}
		return -1
	}
	for i, k := range b.keys {
		if k == key {
			return i
		}
	}
	return -1
}

// Get returns the value of a key.
func (b *Bag) Get(key string) (any, bool) {
	if i := b.find(key); i >= 0 {
		return b.vals[i], true
	}
	return nil, false
}

// Set gives a key a value; a new key comes last.
func (b *Bag) Set(key string, v any) {
	if i := b.find(key); i >= 0 {
		b.vals[i] = v
		return
	}
	b.keys = append(b.keys, key)
	b.vals = append(b.vals, v)
	if b.index != nil {
		b.index[key] = len(b.keys) - 1
	} else if len(b.keys) > smallBag {
		b.index = make(map[string]int, 2*len(b.keys))
		for i, k := range b.keys {
			b.index[k] = i
		}
	}
}

// SetNew gives a key a value unless it has one.
func (b *Bag) SetNew(key string, v any) {
	if b.find(key) < 0 {
		b.Set(key, v)
	}
}

// Compare orders two cells: null first, then numbers and times by size, texts by code
// point, and values of different types by the type. NaN comes after null.
func Compare(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch x := a.(type) {
	case bool:
		return cmp.Compare(bit(x), bit(b.(bool)))
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(float64(x), b.(float64))
	case float64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, float64(y))
		}
		return cmp.Compare(x, b.(float64))
	case DateTime:
		return cmp.Compare(x, b.(DateTime))
	case TimeSpan:
		return cmp.Compare(x, b.(TimeSpan))
	case GUID:
		return strings.Compare(string(x), string(b.(GUID)))
	case string:
		return strings.Compare(x, b.(string))
	case []any, *Bag:
		return strings.Compare(JSON(a), JSON(b))
	}
	return 0
}

// Equal reports whether two cells are the same value; 1 and 1.0 are.
func Equal(a, b any) bool { return Compare(a, b) == 0 }

func rank(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case int64, float64:
		return 2
	case DateTime:
		return 3
	case TimeSpan:
		return 4
	case GUID:
		return 5
	case string:
		return 6
	case []any:
		return 7
	}
	return 8
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
