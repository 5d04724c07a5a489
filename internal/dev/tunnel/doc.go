// Package tunnel is the protocol between a session pod and a developer's machine: many
// streams over one connection, each a flow to or from the cluster.
//
// Nouns. The Client is the developer's end, the Server the session pod's end. A connection
// begins with a Hello that carries the session's token and with its Answer; then it is
// multiplexed. A Stream begins with a Header that says its Kind and with the Answer of the
// other end; what follows is the kind's own.
//
//	http    pod → developer   raw bytes both ways
//	dial    developer → pod   raw bytes (tcp), or datagrams with a length of two bytes (udp)
//	dns     developer → pod   one message each way, with a length of two bytes
//	sync    developer → pod   zstd of a binary, then a second Answer with the Status
//	logs    developer → pod   raw bytes from the pod
//	lookup, ping, status, renew: the Answer is all
//
// Invariants.
//   - Nothing is read from a connection before its token was compared, in constant time,
//     but the Hello, which is limited in size and time.
//   - Every frame and every count is limited; a stream that breaks a rule ends alone.
//   - A connection whose other end is silent for two keepalives is closed, and each of its
//     streams with it.
//
// It imports the standard library, the multiplexer and zstd: it goes into towpath-agent.
package tunnel
