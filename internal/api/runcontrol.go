package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// InStage names a stage of a run.
type InStage struct {
	InRun
	Stage string `path:"stage" maxLength:"256"`
}

// pipelineSettings are what a pipeline can be given when it runs, and what a person does with
// the stages of a run.
func (a *server) pipelineSettings() {
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/parameters", "pipeline-parameters", "Parameters that the pipeline of a ref declares, with their defaults", func(ctx context.Context, in *struct {
		InPipeline
		Ref string `query:"ref" maxLength:"256" doc:"branch or full ref; empty means the default branch"`
	}) (*Body[[]plan.Parameter], error) {
		return body(list(a.Pipeline.Parameters(ctx, actor(ctx), in.key(), in.Ref)))
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/variables", "pipeline-variables", "Variables of a pipeline that do not stand in its file", func(ctx context.Context, in *InPipeline) (*Body[[]pipeline.Variable], error) {
		return body(list(a.Pipeline.Variables(ctx, actor(ctx), in.key())))
	})
	op(a, http.MethodPut, "/projects/{project}/repos/{repo}/variables/{name}", "pipeline-variable-set", "Set a variable of a pipeline", func(ctx context.Context, in *struct {
		InPipeline
		Name string `path:"name" maxLength:"128"`
		Body struct {
			Value    string `json:"value" maxLength:"32768"`
			Settable bool   `json:"settable,omitempty" doc:"who starts a run may give it another value"`
		}
	}) (*Empty, error) {
		return &Empty{}, a.Pipeline.SetVariable(ctx, actor(ctx), in.key(), pipeline.Variable{Name: in.Name, Value: in.Body.Value, Settable: in.Body.Settable})
	})
	op(a, http.MethodDelete, "/projects/{project}/repos/{repo}/variables/{name}", "pipeline-variable-delete", "Remove a variable of a pipeline", func(ctx context.Context, in *struct {
		InPipeline
		Name string `path:"name" maxLength:"128"`
	}) (*Empty, error) {
		return &Empty{}, a.Pipeline.RemoveVariable(ctx, actor(ctx), in.key(), in.Name)
	})
	op(a, http.MethodPost, "/runs/{run}/stages/{stage}/start", "stage-start", "Start a manual stage", func(ctx context.Context, in *InStage) (*Body[*pipeline.Detail], error) {
		if err := a.Pipeline.StartStage(ctx, actor(ctx), in.Run, in.Stage); err != nil {
			return nil, err
		}
		return body(a.Pipeline.Show(ctx, actor(ctx), in.Run))
	})
	op(a, http.MethodPost, "/runs/{run}/stages/{stage}/skip", "stage-skip", "Leave out a stage that has not started", func(ctx context.Context, in *InStage) (*Body[*pipeline.Detail], error) {
		if err := a.Pipeline.SkipStage(ctx, actor(ctx), in.Run, in.Stage); err != nil {
			return nil, err
		}
		return body(a.Pipeline.Show(ctx, actor(ctx), in.Run))
	})
}
