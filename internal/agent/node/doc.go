// Package node owns what towpath-agent does on a node of a cluster: it tails the logs of
// the containers (package tail) and relays the OTLP that pods send to the server.
//
// Nouns: the Node runs a tailer and a relay; the relay has listeners that pods reach.
//
// Invariants.
//   - Of a pod's request only the three OTLP exports pass, by path; nothing else of the
//     server can be reached with the agent's token.
//   - The credentials and the peer address that the server sees are ours: no header of a pod
//     passes as Authorization or X-Towpath-….
//   - The relay keeps nothing: a request is answered as the server answers, so that the
//     sender's own retries work.
//
// It imports monitor/tail and the standard library.
package node
