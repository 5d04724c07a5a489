// Package advisory owns what is known about vulnerable package versions: advisories
// in the OSV format (https://ossf.github.io/osv-schema/), read from a directory, a
// zip or a URL, reduced to facts, and kept in SQL.
//
// Nouns. A Record is one advisory; an Affected says which versions of one package
// it is about; a Coverage says how many advisories an ecosystem has and how fresh
// they are.
//
// Invariants.
//   - Everything read is foreign input: entry size, entry count, total size and the
//     length of every list are limited; crossing a total limit loads nothing.
//   - One Load is one transaction; a copy that is older than the stored one is
//     ignored, an unchanged one is not written.
//   - A withdrawn advisory affects nothing, but stays so that findings can end.
//   - Advisories are looked up by package in SQL and never held in memory as a whole.
//
// It imports the standard library and the kernel (fault, store).
package advisory
