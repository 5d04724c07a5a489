// Package tunnel is the protocol between a session pod and a developer's machine: many
// streams over one connection, each a flow to or from the cluster.
//
// It imports the standard library and the multiplexer: it goes into towpath-agent.
package tunnel
