// Package dev owns developers' sessions: a lease on one service of an environment that is
// not production, by which requests with the session's key reach a developer's program
// instead of the deployed one.
//
// Nouns. A Session belongs to one identity, targets one workload, has a Key, a Mode (run,
// sync, attach), and ends when it is stopped or its lease is over. The session pod stands
// in the namespace for the developer's program; the Tunnel joins the two through the
// server. A Preview is a signed address that enters with the key.
//
// It imports the kernel, k8s.io/client-go and its own sub-packages; no other domain.
package dev
