package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/pipeline"
)

// InPipeline names a pipeline by the file that makes it.
type InPipeline struct {
	InRepo
	File string `query:"file" doc:"path of the pipeline file; empty means azure-pipelines.yml" example:"ci/nightly.yml" maxLength:"400"`
}

func (p InPipeline) key() string { return pipeline.Key(p.full(), p.File) }

// InDefinition names a pipeline of a project.
type InDefinition struct {
	In
	Pipeline string `path:"pipeline" doc:"number or name" example:"nightly" maxLength:"600"`
}

// definitionRoutes are those of the pipelines of a project.
func (a *server) definitionRoutes() {
	op(a, http.MethodGet, "/projects/{project}/pipelines", "pipeline-list", "Pipelines of a project by name, each with its newest run", func(ctx context.Context, in *In) (*Body[[]pipeline.Definition], error) {
		return body(list(a.Pipeline.Definitions(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPost, "/projects/{project}/pipelines", "pipeline-create", "Make a pipeline of a file of a repository", func(ctx context.Context, in *struct {
		In
		Body struct {
			Name   string `json:"name" maxLength:"128"`
			Repo   string `json:"repo" doc:"name of the repository" maxLength:"200"`
			File   string `json:"file" doc:"path of the YAML file" maxLength:"400"`
			Folder string `json:"folder,omitempty" doc:"such as team/nightly" maxLength:"256"`
			Branch string `json:"branch,omitempty" doc:"empty means the default branch of the repository" maxLength:"256"`
		}
	}) (*Body[pipeline.Definition], error) {
		b := in.Body
		return body(a.Pipeline.CreateDefinition(ctx, actor(ctx), in.Project, pipeline.Definition{Name: b.Name, Repo: b.Repo, File: b.File, Folder: b.Folder, Branch: b.Branch}))
	})
	op(a, http.MethodGet, "/projects/{project}/pipelines/{pipeline}", "pipeline-show", "A pipeline", func(ctx context.Context, in *InDefinition) (*Body[pipeline.Definition], error) {
		return body(a.Pipeline.Definition(ctx, actor(ctx), in.Project, in.Pipeline))
	})
	op(a, http.MethodPatch, "/projects/{project}/pipelines/{pipeline}", "pipeline-change", "Rename, move, disable or enable a pipeline", func(ctx context.Context, in *struct {
		InDefinition
		Body pipeline.DefinitionChange
	}) (*Body[pipeline.Definition], error) {
		return body(a.Pipeline.ChangeDefinition(ctx, actor(ctx), in.Project, in.Pipeline, in.Body))
	})
	op(a, http.MethodDelete, "/projects/{project}/pipelines/{pipeline}", "pipeline-delete", "Delete a pipeline; its runs stay as the rules of retention say", func(ctx context.Context, in *InDefinition) (*Empty, error) {
		return &Empty{}, a.Pipeline.RemoveDefinition(ctx, actor(ctx), in.Project, in.Pipeline)
	})
}
