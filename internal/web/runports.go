package web

import (
	"context"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// Definitions are the pipelines of a project; pipeline.Service is one.
type Definitions interface {
	Definitions(ctx context.Context, a identity.Actor, project string) ([]pipeline.Definition, error)
	// Definition finds one by its number, its name or its key.
	Definition(ctx context.Context, a identity.Actor, project, name string) (pipeline.Definition, error)
	CreateDefinition(ctx context.Context, a identity.Actor, project string, d pipeline.Definition) (pipeline.Definition, error)
	ChangeDefinition(ctx context.Context, a identity.Actor, project, name string, c pipeline.DefinitionChange) (pipeline.Definition, error)
	RemoveDefinition(ctx context.Context, a identity.Actor, project, name string) error
}

// Pools are the pools of agents; pool.Service is one.
type Pools interface {
	Pools(ctx context.Context, a identity.Actor) ([]pool.Pool, error)
	Create(ctx context.Context, a identity.Actor, name string, kind pool.Kind, settings pool.Settings) (pool.Pool, error)
	// EditAgent enables or disables an agent.
	EditAgent(ctx context.Context, a identity.Actor, name string, e pool.Edit) (pool.Agent, error)
}

// Retention says how long runs stay; pipeline.Service does.
type Retention interface {
	Retention(ctx context.Context, a identity.Actor, project string) (own, installation []pipeline.RetentionRule, err error)
	SetRetention(ctx context.Context, a identity.Actor, project string, rules []pipeline.RetentionRule) error
	Expired(ctx context.Context, a identity.Actor, project string) ([]pipeline.Run, error)
	Kept(ctx context.Context, a identity.Actor, project string) ([]pipeline.KeptRun, error)
	Keep(ctx context.Context, a identity.Actor, n int64, why string) error
	Unkeep(ctx context.Context, a identity.Actor, n int64) error
}

// Tests are the tests of pipelines over their runs; pipeline.Service knows them. A pipeline is
// named by its key.
type Tests interface {
	TestCases(ctx context.Context, a identity.Actor, f pipeline.TestFilter) ([]pipeline.TestCase, error)
	TestHistory(ctx context.Context, a identity.Actor, key, test, branch string, limit int) ([]pipeline.Outcome, error)
}
