// Package turn shares out what few may do at a time: of the places that there are nobody
// has more than a share, so that the questions of one project do not keep those of the
// others waiting.
//
// Nouns. Turns are places with a bound for all and one for each name. A name is that of a
// project; Everything stands for who asks for all of them.
//
// Invariants. Who waits comes in the order of coming, but for those whose name has its
// share. No name has more than a bounded number waiting: the rest is told to come again.
//
// It imports the kernel and package query.
package turn
