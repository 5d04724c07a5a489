// Package vec holds the columns that the executor computes with.
//
// Nouns. A Vec is a column: the slices of table.Vector, or parsed cells for dynamics. A
// constant Vec has one entry that stands for every row.
//
// Invariants. A Vec that was handed on is never changed; taking a part of it copies nothing.
// A cell is what package value says; setting a cell converts it to the vector's kind, and
// what cannot be converted is null.
//
// It imports packages table, value and the standard library.
package vec
