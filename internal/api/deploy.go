package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/deploy"
)

// InEnv names an environment.
type InEnv struct {
	In
	Env string `path:"env" doc:"name of the environment" example:"production" maxLength:"63"`
}

func (a *server) deployRoutes() {
	op(a, http.MethodGet, "/projects/{project}/envs", "env-list", "Environments of a project", func(ctx context.Context, in *In) (*Body[[]deploy.Environment], error) {
		return body(list(a.Deploy.Environments(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPost, "/projects/{project}/envs", "env-create", "Make an environment", func(ctx context.Context, in *struct {
		In
		Body struct {
			Name      string `json:"name" example:"production"`
			Namespace string `json:"namespace,omitempty" doc:"empty means project-name"`
		}
	}) (*Body[deploy.Environment], error) {
		return body(a.Deploy.CreateEnvironment(ctx, actor(ctx), in.Project, in.Body.Name, in.Body.Namespace))
	})
	op(a, http.MethodGet, "/projects/{project}/envs/{env}", "env-show", "An environment with its pods", func(ctx context.Context, in *InEnv) (*Body[deploy.Environment], error) {
		return body(a.Deploy.Environment(ctx, actor(ctx), in.Project, in.Env))
	})
	op(a, http.MethodGet, "/projects/{project}/envs/{env}/releases", "env-releases", "Releases, newest first", func(ctx context.Context, in *struct {
		InEnv
		Limit int `query:"limit" minimum:"0" maximum:"1000"`
	}) (*Body[[]deploy.Release], error) {
		return body(list(a.Deploy.Releases(ctx, actor(ctx), in.Project, in.Env, in.Limit)))
	})
	op(a, http.MethodGet, "/projects/{project}/envs/{env}/releases/{number}", "env-release", "A release with its pods", func(ctx context.Context, in *struct {
		InEnv
		Number int64 `path:"number"`
	}) (*Body[deploy.Release], error) {
		return body(a.Deploy.Release(ctx, actor(ctx), in.Project, in.Env, in.Number))
	})
}
