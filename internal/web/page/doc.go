// Package page draws Towpath's pages: templ components over values.
//
// Nouns. A Shell is what every page shares: who looks, where they are, how they got
// here. A component named …Page draws one whole page from a Shell and the values that
// its handler collected. A State is one of the four states in which anything on the
// way to production can be, with the colour and the icon that go with it.
//
// Invariants.
//   - A component computes nothing about rights or rules: it draws what it is given.
//   - All text is escaped by templ; the only trusted HTML comes from this package's own
//     highlighters (code.go, ansi.go), which escape what they are given.
//   - There is no inline script and no inline style, so that the content security
//     policy needs no exception.
//   - A state is never shown by colour alone.
//
// The *_templ.go files are made by `templ generate` (v0.3.977) from the .templ files and
// are committed. The package imports the domains' value types and the kernel; it makes
// no calls.
package page
