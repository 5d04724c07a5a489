package dev

import (
	"context"
	"io"
)

// Target is what a session stands in for.
type Target struct {
	Workload string // Deployment
	Ports    []Port
	Env      []Value  // a value may hold a Mark, which Fields of the session's pod resolve
	LeftOut  []string // values that were not resolved, each with the reason: "DB_PASSWORD (secret shop-db)"
	Services []Neighbor
	Domain   string // "cluster.local"
}

// Pods is what sessions need of the cluster. Package kube holds the implementation.
type Pods interface {
	// Target reads a service of a namespace with the Deployment behind it. The values of
	// Secrets are among Env only with secrets. fault.NotFound when there is no such service;
	// fault.Invalid when no Deployment is behind it.
	Target(ctx context.Context, namespace, service string, secrets bool) (Target, error)
	// Create makes the pod of a session, with all that belongs to it, and returns its address
	// when it runs.
	Create(ctx context.Context, s Session, token string) (host string, err error)
	// Fields returns what only the running pod of a session knows, by the field paths of the
	// downward API: "status.hostIP".
	Fields(ctx context.Context, s Session) (map[string]string, error)
	// Revive makes the session's pod anew when it has ended or is gone, as an evicted one and
	// one of a node that was started anew are, and returns its address when it runs.
	Revive(ctx context.Context, s Session) (host string, err error)
	// Hosts returns the addresses of all session pods that are ready, by the session's id.
	Hosts(ctx context.Context) (map[string]string, error)
	// Remove takes away what Create made; what is not there is no error.
	Remove(ctx context.Context, s Session) error
	// Dial connects to the session's pod, at the end of the tunnel.
	Dial(ctx context.Context, s Session) (io.ReadWriteCloser, error)
	// Logs returns the last lines that the session's pod wrote.
	Logs(ctx context.Context, s Session, lines int) (string, error)
	// Accesses returns what the router of a namespace remembers of requests with a key,
	// oldest first.
	Accesses(ctx context.Context, namespace, key string) ([]Access, error)
	// Guard labels the namespaces with whether sessions are forbidden in them and has the API
	// server refuse the pods of sessions where they are. Namespaces that do not exist yet are
	// passed over.
	Guard(ctx context.Context, forbidden map[string]bool) error
}
