// Package stat owns the tests by which two samples are compared: of shares (Fisher's exact
// test, two proportions), of locations (Mann–Whitney), and the correction for asking
// several questions at once (Holm).
//
// Every p is two-sided: how probable a difference as large as the seen one is when there
// is none. It imports the standard library only.
package stat
