// Package bloom answers "can this text hold that term?" for a row group without reading it.
//
// Nouns. A term is a run of three or more ASCII letters and digits, in lower case (Kusto's
// own rule, "String operators": terms of three or more characters, underscore splits; runs
// that touch other letters are terms here too, so that a condition which takes them for
// borders finds its rows). A Filter is a split-block Bloom filter: a term is looked up in
// one block of 32 bytes, so that a filter on disk costs one small read per question.
//
// Invariants. A filter never denies a term that was added.
//
// It imports the standard library only.
package bloom
