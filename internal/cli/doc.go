// Package cli is the command line: `towpath NOUN VERB`, or the verb alone where there
// is one meaning. Commands that look at or change a server go through the HTTP API, so
// they need the same permission as the pages; `serve`, `up`, `down` and `doctor` act on
// this host.
//
// Data goes to stdout, progress and errors to stderr. `-o table|wide|json|yaml` chooses
// the form of what is read. Exit codes: 0 done, 1 failed or denied by a rule, 2 wrong
// usage, 3 not found, 4 not allowed, 5 unreachable.
//
// It imports app (to serve), the API's client and shapes, and the kernel; no SQL.
package cli
