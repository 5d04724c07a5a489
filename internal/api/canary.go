package api

import (
	"context"
	"fmt"
	"net/http"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
)

// InRelease names a release.
type InRelease struct {
	InEnv
	Number int64 `path:"number" minimum:"1"`
}

func (r InRelease) id() string { return fmt.Sprintf("%s/%s/%d", r.Project, r.Env, r.Number) }

func (a *server) canaryRoutes() {
	op(a, http.MethodPatch, "/projects/{project}/envs/{env}", "env-edit", "Change how an environment is deployed to", func(ctx context.Context, in *struct {
		InEnv
		Body deploy.Change
	}) (*Body[deploy.Environment], error) {
		return body(a.Deploy.Edit(ctx, actor(ctx), in.Project, in.Env, in.Body))
	})
	op(a, http.MethodPost, "/projects/{project}/envs/{env}/end", "env-end", "Take a review app away with its namespace", func(ctx context.Context, in *InEnv) (*Body[deploy.Environment], error) {
		return body(a.Deploy.EndReviewApp(ctx, actor(ctx), in.Project, in.Env))
	})
	op(a, http.MethodGet, "/projects/{project}/envs/{env}/routing", "env-routing", "What the router of an environment knows", func(ctx context.Context, in *InEnv) (*Body[deploy.Routing], error) {
		return body(a.Deploy.Routing(ctx, actor(ctx), in.Project, in.Env))
	})
	op(a, http.MethodGet, "/projects/{project}/canaries", "canary-list", "Canaries, newest first", func(ctx context.Context, in *struct {
		In
		Environment string `query:"environment" maxLength:"63"`
	}) (*Body[[]canary.View], error) {
		return body(list(a.Deploy.Canaries(ctx, actor(ctx), in.Project, in.Environment)))
	})
	op(a, http.MethodGet, "/projects/{project}/envs/{env}/releases/{number}/canary", "canary-show", "The canary of a release with its measurements",
		func(ctx context.Context, in *InRelease) (*Body[canary.View], error) {
			return body(a.Deploy.Canary(ctx, actor(ctx), in.id()))
		})
	op(a, http.MethodPost, "/projects/{project}/envs/{env}/releases/{number}/canary/promote", "canary-promote", "Let a canary that waits go on, or promote it",
		func(ctx context.Context, in *struct {
			InRelease
			Body struct {
				Full bool `json:"full,omitempty" doc:"promote it now, whatever step it is at"`
			}
		}) (*Body[canary.View], error) {
			return body(a.Deploy.PromoteCanary(ctx, actor(ctx), in.id(), in.Body.Full))
		})
	op(a, http.MethodPost, "/projects/{project}/envs/{env}/releases/{number}/canary/reject", "canary-reject", "Take a canary back",
		func(ctx context.Context, in *struct {
			InRelease
			Body struct {
				Why string `json:"why,omitempty" maxLength:"500"`
			}
		}) (*Body[canary.View], error) {
			return body(a.Deploy.RejectCanary(ctx, actor(ctx), in.id(), in.Body.Why))
		})
	op(a, http.MethodPost, "/projects/{project}/envs/{env}/releases/{number}/redeploy", "release-redeploy", "Deploy an earlier release again, as a new one",
		func(ctx context.Context, in *InRelease) (*Body[deploy.Release], error) {
			return body(a.Deploy.Redeploy(ctx, actor(ctx), in.id(), func(string) {}))
		})
}
