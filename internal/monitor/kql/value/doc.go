// Package value is what a cell of a query holds: the types that a Go value stands for, how
// each is read from a text and written as one, and how two are compared.
//
// Nouns. A cell is an any: nil is null; bool; int64 for int and long; float64 for real and
// decimal; string; DateTime and TimeSpan in ticks of 100 ns; GUID; and for dynamic any of
// these, []any, or *Bag. A Bag is a property bag that keeps the order of its keys.
//
// Invariants. Reading gives (value, false) for what is not of the type and never panics
// and never costs more than linear time; writing gives Kusto's own spelling ("Scalar data
// types" in the Kusto documentation), and what is written is read back as the same value.
//
// It imports package table and the standard library.
package value
