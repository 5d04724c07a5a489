package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// InPool names an agent pool.
type InPool struct {
	Pool string `path:"pool" doc:"name of the pool" example:"Default" maxLength:"63"`
}

// InAgent names an agent.
type InAgent struct {
	Agent string `path:"agent" doc:"name of the agent" example:"host" maxLength:"63"`
}

// PoolDetail is a pool with its agents.
type PoolDetail struct {
	pool.Pool
	Members []pipeline.Agent `json:"members"`
}

// PoolToken is what the agents of a pool register with.
type PoolToken struct {
	Token string `json:"token" doc:"told once"`
}

// poolRoutes are about the pools of agents and the agents in them.
func (a *server) poolRoutes() {
	const at = "/pools/{pool}"
	op(a, http.MethodGet, "/pools", "pool-list", "Agent pools, by name", func(ctx context.Context, _ *Empty) (*Body[[]pool.Pool], error) {
		return body(list(a.Pipeline.Pools().Pools(ctx, actor(ctx))))
	})
	op(a, http.MethodGet, at, "pool-show", "An agent pool with its agents", func(ctx context.Context, in *InPool) (*Body[PoolDetail], error) {
		p, err := a.Pipeline.Pools().Pool(ctx, actor(ctx), in.Pool)
		if err != nil {
			return nil, err
		}
		members, err := list(a.Pipeline.AgentsOf(ctx, actor(ctx), in.Pool))
		return body(PoolDetail{Pool: p, Members: members}, err)
	})
	op(a, http.MethodPost, "/pools", "pool-create", "Make an agent pool", func(ctx context.Context, in *struct {
		Body struct {
			Name     string        `json:"name" example:"linux" maxLength:"63"`
			Kind     pool.Kind     `json:"kind" enum:"host,kubernetes"`
			Settings pool.Settings `json:"settings"`
		}
	}) (*Body[pool.Pool], error) {
		return body(a.Pipeline.Pools().Create(ctx, actor(ctx), in.Body.Name, in.Body.Kind, in.Body.Settings))
	})
	op(a, http.MethodPut, at, "pool-edit", "Replace the settings of an agent pool", func(ctx context.Context, in *struct {
		InPool
		Body pool.Settings
	}) (*Body[pool.Pool], error) {
		return body(a.Pipeline.Pools().Edit(ctx, actor(ctx), in.Pool, func(s *pool.Settings) { *s = in.Body }))
	})
	op(a, http.MethodDelete, at, "pool-remove", "Take an agent pool away that no job is in", func(ctx context.Context, in *InPool) (*struct{}, error) {
		return nil, a.Pipeline.Pools().Remove(ctx, actor(ctx), in.Pool)
	})
	op(a, http.MethodPost, at+"/token", "pool-token", "Make a new token for the agents of a pool; the old one ends", func(ctx context.Context, in *InPool) (*Body[PoolToken], error) {
		token, err := a.Pipeline.Pools().Token(ctx, actor(ctx), in.Pool)
		return body(PoolToken{token}, err)
	})
	op(a, http.MethodGet, "/agents", "agent-list", "Agents", func(ctx context.Context, in *struct {
		Pool string `query:"pool" doc:"only those of this pool" maxLength:"63"`
	}) (*Body[[]pipeline.Agent], error) {
		return body(list(a.Pipeline.AgentsOf(ctx, actor(ctx), in.Pool)))
	})
	op(a, http.MethodPatch, "/agents/{agent}", "agent-edit", "Enable or disable an agent, or set capabilities of it", func(ctx context.Context, in *struct {
		InAgent
		Body pool.Edit
	}) (*Body[pipeline.Agent], error) {
		return body(a.Pipeline.Pools().EditAgent(ctx, actor(ctx), in.Agent, in.Body))
	})
	op(a, http.MethodDelete, "/agents/{agent}", "agent-remove", "Forget an agent that is away", func(ctx context.Context, in *InAgent) (*struct{}, error) {
		return nil, a.Pipeline.Pools().RemoveAgent(ctx, actor(ctx), in.Agent)
	})
}
