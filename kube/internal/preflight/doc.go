// Package preflight looks at a host before a cluster is started on it, and says in words what is missing, why that matters and
// what to do.
//
// Invariants: it changes nothing on the host but a temporary folder; it never stops at the first problem; every check that
// does not pass names its remedy.
//
// May import config and node (which knows what the node will do to the host).
package preflight
