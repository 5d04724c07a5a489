// Package series is the mathematics of the series_ functions: fits, filters, outliers,
// seasons.
//
// Nouns. A series is numbers at equal distances. A Line is a linear fit. A Decomposition
// splits a series into season, trend and what remains.
//
// Invariants. Inputs are not changed. The formulas are those of the pages of the
// functions; where a page gives none (the score of a period, the scale of an outlier's
// score) the comment says what is taken.
//
// It imports the standard library only.
package series
