package expr

import (
	"math/big"
	"strings"
	"time"
)

// Kind is the type of a value.
type Kind uint8

// The kinds of value.
const (
	Null Kind = iota
	Boolean
	Number
	String
	Version
	DateTime
	Array
	Object
)

// String returns the name of the kind as messages use it.
func (k Kind) String() string {
	return [...]string{"Null", "Boolean", "Number", "String", "Version", "DateTime", "Array", "Object"}[k]
}

// Value is the result of an expression. The zero Value is Null. Values are
// immutable.
type Value struct {
	kind    Kind
	boolean bool
	text    string // String, and the source text of a Number where it has one
	number  *big.Rat
	version version
	time    time.Time
	array   List
	object  Map
}

// List is what an array value reads its items from. Arrays are equal only if
// they are the same List, so implementations must be comparable (pointers).
type List interface {
	// Len returns the number of items.
	Len() int
	// At returns the item at i, 0 ≤ i < Len().
	At(i int) Value
}

// Map is what an object value reads its entries from. Objects are equal only if
// they are the same Map, so implementations must be comparable (pointers).
type Map interface {
	// Get returns the value of a key, compared without regard to case, and
	// whether there is one.
	Get(key string) (Value, bool)
	// Keys returns the keys in their order and their original case.
	Keys() []string
}

// NewBoolean returns a Boolean.
func NewBoolean(b bool) Value { return Value{kind: Boolean, boolean: b} }

// NewString returns a String.
func NewString(s string) Value { return Value{kind: String, text: s} }

// NewInt returns a whole Number.
func NewInt(n int64) Value { return Value{kind: Number, number: new(big.Rat).SetInt64(n)} }

// NewDateTime returns a DateTime.
func NewDateTime(t time.Time) Value { return Value{kind: DateTime, time: t} }

// NewArray returns an Array over a list.
func NewArray(list List) Value { return Value{kind: Array, array: list} }

// NewObject returns an Object over a map.
func NewObject(m Map) Value { return Value{kind: Object, object: m} }

// ParseNumber returns the Number that a text stands for, and whether it is one.
// The text is kept and is what the value converts to as a string, so that 3.10
// does not become 3.1 on its way through a parameter.
func ParseNumber(text string) (Value, bool) {
	number, ok := parseNumber(text)
	if !ok {
		return Value{}, false
	}
	return Value{kind: Number, number: number, text: text}, true
}

// Kind returns the kind of the value.
func (v Value) Kind() Kind { return v.kind }

// List returns the items of an Array, and nil for every other kind.
func (v Value) List() List { return v.array }

// Map returns the entries of an Object, and nil for every other kind.
func (v Value) Map() Map { return v.object }

// Items is a List over a slice. Use it by pointer, see [NewList].
type Items struct{ values []Value }

// NewList returns an Array of the given values.
func NewList(values ...Value) Value { return NewArray(&Items{values: values}) }

// Len returns the number of items.
func (l *Items) Len() int { return len(l.values) }

// At returns the item at i.
func (l *Items) At(i int) Value { return l.values[i] }

// Dict is an ordered Map. The zero Dict is empty and ready for use.
type Dict struct {
	keys   []string
	values map[string]Value
}

// NewDict returns an empty Dict.
func NewDict() *Dict { return &Dict{values: map[string]Value{}} }

// Set adds an entry, or replaces the one whose key differs at most in case. It
// must not be called once an expression can see the Dict.
func (d *Dict) Set(key string, v Value) *Dict {
	if d.values == nil {
		d.values = map[string]Value{}
	}
	folded := strings.ToLower(key)
	if _, ok := d.values[folded]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[folded] = v
	return d
}

// Get returns the value of a key, compared without regard to case.
func (d *Dict) Get(key string) (Value, bool) {
	v, ok := d.values[strings.ToLower(key)]
	return v, ok
}

// Keys returns the keys in the order in which they were set.
func (d *Dict) Keys() []string { return d.keys }
