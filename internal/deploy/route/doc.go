// Package route owns the table by which the router of a namespace sends requests: its
// types, its text form and the rules that a table must keep. Deploy writes the table, the
// router in towpath-agent reads it.
//
// Nouns. A Table is everything that the router of one namespace knows. A Service is a
// routed Kubernetes Service; a Port is one of its ports, with the router's own port for it.
// A Track is a group of pods behind a service: stable, baseline or canary, with its weight.
// A Session is a developer's lease: requests with its key go to its backend.
//
// It imports the standard library only: the router must stay small.
package route
