// Package try judges files without a server: what `towpath policy test` does.
//
// It loads policies (the built-in catalogue, or a folder of Azure Policy definitions and
// constraint templates), reads objects (manifests, folders, charts) and prints what each
// rule says about each object, with the line of the source. The evaluator is the one that
// the API server's webhook and the audit use.
//
// Invariants: a rule that cannot judge is said and ends with 2, never with 0; nothing is
// read but the files that are named.
//
// It imports its sister packages of policy and the kernel.
package try
