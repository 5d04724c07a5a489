// Package session owns the session pod, "towpath-agent session": it stands in a namespace
// for a developer's program.
//
// Nouns. The Session accepts connections on the ports of its service and forwards each
// through a tunnel to the developer's machine. The Guard says which addresses the
// developer's program may reach from here. The Lease ends the pod when nobody renews it.
// With --sync the Supervisor runs the developer's binary in the pod itself, which then
// listens on the ports.
//
// Invariants.
//   - Nothing is forwarded or dialled for a connection without the session's token.
//   - When no machine is connected or its program is down, a request is answered 502 with
//     the reason, in HTTP/1.1 and in HTTP/2, and never by somebody else's program.
//   - Link-local and metadata addresses, the pod itself and the API server are never
//     dialled, whatever the list of allowed ones says or a name resolves to.
//   - The pod ends by itself: when its lease is over, and when it has reached its greatest
//     age.
//   - It needs no capability and writes to the folder of --sync only.
//
// It imports dev/tunnel, deploy/route and the standard library.
package session
