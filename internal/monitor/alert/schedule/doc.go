// Package schedule says which rules are to be evaluated now.
//
// Nouns. An entry is something that recurs. Its slots are the moments at which it is due:
// every so often, shifted by an offset of its own, so that not all are due at once. A Turn
// is one slot that is handed out.
//
// Invariants. A slot is handed out at most once, and an entry not while its last turn is
// not done. Slots that were missed while nobody asked are handed out as one turn, the last
// of them. When the clock goes back by more than an interval, the entry goes on from there:
// it does not wait until the old time comes again.
//
// It has no clock and imports the standard library only.
package schedule
