// Package service is the frame around each of the shop's services: configuration, probes, fault switch, build id, tracing,
// listening and an orderly end.
//
// Nouns: Config (the environment, read once), Frame (a service about to be composed), App (what the service adds), Running (a
// service that listens). Invariants: every answer, also an error, carries the build id; probes pass neither the fault switch nor
// tracing; after SIGTERM /readyz fails first, and only then the listeners close. Must not import a particular service.
package service
