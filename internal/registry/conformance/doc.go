// Package conformance holds the test that runs the OCI distribution specification's own
// conformance suite against the registry; see README.md.
package conformance
