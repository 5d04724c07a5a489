// Package drain finds what lines of a log have in common, by Drain (He, Zhu, Zheng and Lyu,
// "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017).
//
// Nouns. A token is a word between spaces. Mask replaces tokens that are values by what
// they are: <num>, <id>, <ip>, <time>, <dur>, <str>, <path>. A Pattern is a list of tokens
// with <*> where lines differ. A Miner holds the tree: by the number of tokens, then by the
// first ones, then the patterns themselves.
//
// Invariants. Memory is bounded by Options, whatever the lines are: when a miner is full
// lines fall into the nearest pattern. The patterns depend on the lines and their order only.
//
// It imports the standard library and package table only, so that the executor of the query
// language can use it for the operator reduce.
package drain
