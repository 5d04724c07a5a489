// Package router owns the data plane of a namespace, "towpath-agent router": it stands
// behind the routed Services and sends each request to a track of the service by weight,
// or to a developer's session by the request's key.
//
// Nouns. The Router has a Listener per routed port of its route.Table, a Source that brings
// tables, and an admin address that says what it knows. A Forward is one request's way:
// its choice of a target, its tries, its record.
//
// Invariants.
//   - The table is swapped as a whole; a request sees one table from beginning to end. A
//     table that breaks a rule is refused and the last good one stays.
//   - A session is forgotten when its time is over by the router's own clock, whoever is
//     away. An unknown or expired key goes to the service's tracks.
//   - Route keys are neither added nor taken away on the way, except where requests enter:
//     by a preview's host, or at a service that is marked as an edge.
//   - No body is kept in memory, but small ones that are mirrored or may be sent twice; a
//     request is sent twice only when none of its body was read, or it is kept.
//   - Responses are flushed as they come; requests and responses flow at the same time.
//   - It needs no capability, no writable file and no other permission than to read the
//     one ConfigMap.
//
// It imports deploy/route and the standard library: it goes into other people's clusters.
package router
