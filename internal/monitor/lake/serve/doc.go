// Package serve is the door of towpath-lake: the lake's protocol on a private socket.
//
// Invariants. The socket can be used by the user that runs the lake only: its mode is 0600
// and the credentials of each peer are checked. Every body is bounded.
//
// It imports package lake and the kernel; the engine comes as an interface.
package serve
