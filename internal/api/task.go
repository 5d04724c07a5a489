package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/pipeline/gallery"
)

// InTask names an added task of a project.
type InTask struct {
	In
	Task string `path:"task" maxLength:"200" doc:"Name, Name@Major, Name@Version or a GUID"`
}

func (a *server) taskRoutes() {
	op(a, http.MethodPost, "/jobs/{job}/callback", "job-callback", "End an InvokeRESTAPI@1 that waits to be called back; with the token of the job alone", func(ctx context.Context, in *struct {
		Job  string `path:"job" maxLength:"100" doc:"System.JobId"`
		Body struct {
			Result  string `json:"result" doc:"succeeded or failed" maxLength:"100"`
			Message string `json:"message,omitempty" maxLength:"2000"`
		}
	}) (*struct{}, error) {
		return nil, a.Pipeline.Callback(ctx, actor(ctx), in.Job, in.Body.Result, in.Body.Message)
	})
	op(a, http.MethodGet, "/projects/{project}/tasks", "task-list", "Tasks that pipelines of the project may use beside the built-in ones", func(ctx context.Context, in *In) (*Body[[]gallery.Task], error) {
		return body(list(a.Pipeline.Gallery().List(ctx, actor(ctx), in.Project)))
	})
	sized(a, gallery.MaxUpload+1, http.MethodPost, "/projects/{project}/tasks", "task-add", "Add the tasks of a zip or .vsix to a project", func(ctx context.Context, in *struct {
		In
		RawBody []byte `contentType:"application/octet-stream"`
	}) (*Body[[]gallery.Task], error) {
		return body(list(a.Pipeline.Gallery().Add(ctx, actor(ctx), in.Project, in.RawBody)))
	})
	op(a, http.MethodGet, "/projects/{project}/tasks/{task}", "task-show", "An added task with its inputs", func(ctx context.Context, in *InTask) (*Body[gallery.Task], error) {
		return body(a.Pipeline.Gallery().Show(ctx, actor(ctx), in.Project, in.Task))
	})
	op(a, http.MethodDelete, "/projects/{project}/tasks/{task}", "task-remove", "Remove versions of a task from a project", func(ctx context.Context, in *InTask) (*struct{}, error) {
		return nil, a.Pipeline.Gallery().Remove(ctx, actor(ctx), in.Project, in.Task)
	})
	op(a, http.MethodGet, "/tasks", "installation-task-list", "Tasks that every pipeline of the installation may use beside the built-in ones", func(ctx context.Context, _ *struct{}) (*Body[[]gallery.Task], error) {
		return body(list(a.Pipeline.Gallery().List(ctx, actor(ctx), "")))
	})
	sized(a, gallery.MaxUpload+1, http.MethodPost, "/tasks", "installation-task-add", "Add the tasks of a zip or .vsix to the installation", func(ctx context.Context, in *struct {
		RawBody []byte `contentType:"application/octet-stream"`
	}) (*Body[[]gallery.Task], error) {
		return body(list(a.Pipeline.Gallery().Add(ctx, actor(ctx), "", in.RawBody)))
	})
	op(a, http.MethodGet, "/tasks/{task}", "installation-task-show", "An added task of the installation with its inputs", func(ctx context.Context, in *struct {
		Task string `path:"task" maxLength:"200"`
	}) (*Body[gallery.Task], error) {
		return body(a.Pipeline.Gallery().Show(ctx, actor(ctx), "", in.Task))
	})
	op(a, http.MethodDelete, "/tasks/{task}", "installation-task-remove", "Remove versions of a task from the installation", func(ctx context.Context, in *struct {
		Task string `path:"task" maxLength:"200"`
	}) (*struct{}, error) {
		return nil, a.Pipeline.Gallery().Remove(ctx, actor(ctx), "", in.Task)
	})
}
