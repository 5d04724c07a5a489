package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/pipeline"
)

// InTarget names a target of an environment.
type InTarget struct {
	InEnv
	Target string `path:"target" doc:"name of the target" example:"web-1" maxLength:"63"`
}

// targetRoutes are about the machines that deployment jobs go to.
func (a *server) targetRoutes() {
	const at = "/projects/{project}/envs/{env}/targets"
	op(a, http.MethodGet, at, "target-list", "Machines of an environment, by name", func(ctx context.Context, in *InEnv) (*Body[[]pipeline.Machine], error) {
		if _, err := a.Deploy.Environment(ctx, actor(ctx), in.Project, in.Env); err != nil {
			return nil, err
		}
		return body(list(a.Pipeline.Machines(ctx, actor(ctx), in.Project, in.Env)))
	})
	op(a, http.MethodPost, at, "target-add", "Make a machine of an environment; its token is told once", func(ctx context.Context, in *struct {
		InEnv
		Body struct {
			Name string   `json:"name" example:"web-1" maxLength:"63"`
			Tags []string `json:"tags,omitempty" doc:"none leaves them to its agent" maxItems:"50"`
		}
	}) (*Body[pipeline.NewMachine], error) {
		return body(a.Pipeline.AddMachine(ctx, actor(ctx), in.Project, in.Env, in.Body.Name, in.Body.Tags))
	})
	op(a, http.MethodPut, at+"/{target}", "target-edit", "Set the tags of a machine", func(ctx context.Context, in *struct {
		InTarget
		Body struct {
			Tags []string `json:"tags" maxItems:"50"`
		}
	}) (*Body[pipeline.Machine], error) {
		return body(a.Pipeline.EditMachine(ctx, actor(ctx), in.Project, in.Env, in.Target, in.Body.Tags))
	})
	op(a, http.MethodDelete, at+"/{target}", "target-remove", "Take a machine out of its environment; its token ends at once", func(ctx context.Context, in *InTarget) (*struct{}, error) {
		return nil, a.Pipeline.RemoveMachine(ctx, actor(ctx), in.Project, in.Env, in.Target)
	})
	op(a, http.MethodGet, "/projects/{project}/envs/{env}/deployments", "target-history", "Deployment jobs to an environment, newest first", func(ctx context.Context, in *struct {
		InEnv
		Resource string `query:"resource" doc:"only those to this target" maxLength:"63"`
		Limit    int    `query:"limit" minimum:"0" maximum:"500"`
	}) (*Body[[]pipeline.Deployment], error) {
		if _, err := a.Deploy.Environment(ctx, actor(ctx), in.Project, in.Env); err != nil {
			return nil, err
		}
		return body(list(a.Pipeline.Deployments(ctx, actor(ctx), in.Project, in.Env, in.Resource, in.Limit)))
	})
}
