package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// InRun names a run.
type InRun struct {
	Run int64 `path:"run" doc:"number of the run" example:"7" minimum:"1"`
}

// maxWait bounds how long a reader of a log is kept waiting.
const maxWait = 25 * time.Second

func (a *server) pipelineRoutes() {
	op(a, http.MethodGet, "/projects/{project}/runs", "run-list", "Runs of a project, newest first", func(ctx context.Context, in *struct {
		In
		Repo   string `query:"repo" maxLength:"200" doc:"project/repo"`
		File   string `query:"file" maxLength:"400" doc:"path of the pipeline file"`
		Ref    string `query:"ref" maxLength:"256"`
		Commit string `query:"commit" maxLength:"64"`
		Status string `query:"status" enum:"Pending,Running,Completed"`
		Result string `query:"result" enum:"Succeeded,SucceededWithIssues,Failed,Canceled"`
		Before int64  `query:"before" doc:"only runs with a smaller number, for the next page"`
		Limit  int    `query:"limit" minimum:"0" maximum:"200"`
	}) (*Body[[]pipeline.Run], error) {
		return body(list(a.Pipeline.Runs(ctx, actor(ctx), pipeline.Filter{
			Project: in.Project, Repo: in.Repo, File: in.File, Ref: in.Ref, Commit: in.Commit, Status: plan.Status(in.Status), Result: plan.Result(in.Result),
			Before: in.Before, Limit: in.Limit,
		})))
	})
	op(a, http.MethodPost, "/projects/{project}/repos/{repo}/runs", "pipeline-run", "Run the pipeline of a branch", func(ctx context.Context, in *struct {
		InPipeline
		Body struct {
			Ref        string            `json:"ref,omitempty" doc:"branch or full ref; empty means the default branch" maxLength:"256"`
			Parameters map[string]string `json:"parameters,omitempty"`
			Variables  map[string]string `json:"variables,omitempty" doc:"of the variables of the pipeline that are settable"`
			Skip       []string          `json:"skip,omitempty" doc:"stages to leave out" maxItems:"200"`
			Keep       int               `json:"keep_seconds,omitempty" doc:"for how long jobs that fail are kept with their agent; -1 is the installation's time" minimum:"-1" maximum:"86400"`
		}
	}) (*Body[pipeline.Run], error) {
		return body(a.Pipeline.StartWith(ctx, actor(ctx), in.key(), pipeline.Request{
			Ref: in.Body.Ref, Parameters: in.Body.Parameters, Variables: in.Body.Variables, Skip: in.Body.Skip, Stay: stayFor(in.Body.Keep),
		}))
	})
	a.definitionRoutes()
	a.pipelineSettings()
	a.retentionRoutes()
	a.stayRoutes()
	a.testRoutes()
	op(a, http.MethodGet, "/runs/{run}", "run-show", "A run with stages, jobs, steps, tests, artifacts and images", func(ctx context.Context, in *InRun) (*Body[*pipeline.Detail], error) {
		return body(a.Pipeline.Show(ctx, actor(ctx), in.Run))
	})
	op(a, http.MethodPost, "/runs/{run}/cancel", "run-cancel", "Cancel a run", func(ctx context.Context, in *InRun) (*Empty, error) {
		return &Empty{}, a.Pipeline.Cancel(ctx, actor(ctx), in.Run)
	})
	op(a, http.MethodPost, "/runs/{run}/rerun", "run-rerun", "Run the same commit again in a new run, or a part of this run in it", func(ctx context.Context, in *struct {
		InRun
		Body *struct {
			Failed    bool   `json:"failed,omitempty" doc:"only what failed, in the same run, with the outputs of the rest"`
			Stage     string `json:"stage,omitempty" doc:"only this stage, in the same run" maxLength:"256"`
			Following bool   `json:"following,omitempty" doc:"and the stages that depend on it, also those that ran"`
			Keep      int    `json:"keep_seconds,omitempty" doc:"for how long jobs that fail are kept with their agent; -1 is the installation's time" minimum:"-1" maximum:"86400"`
		} `required:"false"`
	}) (*Body[pipeline.Run], error) {
		if in.Body == nil {
			return body(a.Pipeline.Rerun(ctx, actor(ctx), in.Run))
		}
		part := pipeline.Part{Failed: in.Body.Failed, Stage: in.Body.Stage, Following: in.Body.Following, Stay: stayFor(in.Body.Keep)}
		if part.Whole() && !part.Following {
			return body(a.Pipeline.RerunKept(ctx, actor(ctx), in.Run, part.Stay))
		}
		return body(a.Pipeline.Repeat(ctx, actor(ctx), in.Run, part))
	})
	op(a, http.MethodGet, "/runs/{run}/attempts", "run-attempts", "Jobs of a run as they were in the attempts before the last", func(ctx context.Context, in *InRun) (*Body[[]pipeline.Job], error) {
		return body(list(a.Pipeline.Attempts(ctx, actor(ctx), in.Run)))
	})
	op(a, http.MethodGet, "/runs/{run}/tests", "run-tests", "Test results of a run", func(ctx context.Context, in *InRun) (*Body[[]pipeline.TestRun], error) {
		return body(list(a.Pipeline.Tests(ctx, actor(ctx), in.Run)))
	})
	op(a, http.MethodGet, "/runs/{run}/log", "run-logs", "Lines of a step's log; waits for new ones", a.runLog)
	op(a, http.MethodGet, "/runs/{run}/attachments/{attachment}", "run-attachment", "The content of an attachment", a.runAttachment)
	op(a, http.MethodGet, "/runs/{run}/artifacts/{name}", "run-artifact", "An artifact as a tar", a.runArtifact)
}

var errEnough = errors.New("enough lines for one answer")

func (a *server) runLog(ctx context.Context, in *struct {
	InRun
	Job   string `query:"job" required:"true" doc:"path of the job; Build.Go#1 is the first attempt of one that ran again" example:"Build.Go" maxLength:"300"`
	Step  int    `query:"step" required:"true" minimum:"1"`
	From  int64  `query:"from" doc:"first line, from 0" minimum:"0"`
	Limit int    `query:"limit" minimum:"0" maximum:"10000"`
	Wait  int    `query:"wait" doc:"seconds to wait for a line when there is none yet" minimum:"0" maximum:"25"`
}) (*Body[pipeline.LogPage], error) {
	page, err := a.Pipeline.ReadLog(ctx, actor(ctx), in.Run, in.Job, in.Step, in.From, in.Limit)
	if err != nil || len(page.Lines) > 0 || page.Over || in.Wait == 0 {
		return body(page, err)
	}
	wait, cancel := context.WithTimeout(ctx, min(maxWait, time.Duration(in.Wait)*time.Second))
	defer cancel()
	err = a.Pipeline.Follow(wait, actor(ctx), in.Run, in.Job, in.Step, in.From, func([]pipeline.Line) error { return errEnough })
	if err != nil && !errors.Is(err, errEnough) && wait.Err() == nil {
		return nil, err
	}
	return body(a.Pipeline.ReadLog(ctx, actor(ctx), in.Run, in.Job, in.Step, in.From, in.Limit))
}

func (a *server) runArtifact(ctx context.Context, in *struct {
	InRun
	Name string `path:"name" maxLength:"256"`
}) (*huma.StreamResponse, error) {
	artifact, r, err := a.Pipeline.OpenArtifact(ctx, actor(ctx), in.Run, in.Name)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer r.Close()
		h.SetHeader("Content-Type", "application/x-tar")
		h.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename*=UTF-8''%s.tar", url.PathEscape(artifact.Name)))
		_, _ = io.Copy(h.BodyWriter(), r) // The client is gone when this fails.
	}}, nil
}
