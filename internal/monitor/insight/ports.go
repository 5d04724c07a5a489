package insight

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/query"
)

// Queries answers questions; *query.Runner is one.
type Queries interface {
	// Run answers from the rows that the Ask names; it asks for no rights. Errors are faults.
	Run(ctx context.Context, a query.Ask) (*query.Result, error)
}

// Auth says what somebody may do; *identity.Service is one.
type Auth interface {
	// Require returns nil when the actor has the role in the project.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil for an administrator of the installation.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// Intake tells of rows that come in; *ingest.Service is one.
type Intake interface {
	// Settled returns a moment of which everything is decided: no row with an earlier
	// _TimeReceived is stored any more.
	Settled() time.Time
	// Watch begins to watch rows as they are acknowledged.
	Watch(f ingest.Filter) (*ingest.Watch, error)
}

// Releases says what was rolled out; deployments do.
type Releases interface {
	// Rollouts returns the releases of all projects that became live since a moment,
	// oldest first, at most 500.
	Rollouts(ctx context.Context, since time.Time) ([]Rollout, error)
	// Between returns the releases of a project that were started in a range of time,
	// oldest first, at most 500; environment "" is any.
	Between(ctx context.Context, project, environment string, from, to time.Time) ([]Rollout, error)
}

// Rollout is a release that was rolled out.
type Rollout struct {
	Release     string    `json:"release"` // "shop/production/48"
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Baseline    string    `json:"baseline,omitempty"` // the release that was live before, "" for the first
	Result      string    `json:"result"`             // as deployments name it
	Commit      string    `json:"commit,omitempty"`
	Run         int64     `json:"run,omitempty"`
	Actor       string    `json:"actor,omitempty"`
	Started     time.Time `json:"started"`
	Live        time.Time `json:"live,omitzero"` // when its pods were ready
}
