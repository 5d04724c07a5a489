package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/pipeline"
)

// Retention are rules by which runs stay; the first that matches a run counts.
type Retention struct {
	Rules []pipeline.RetentionRule `json:"rules" maxItems:"100"`
	// Installation are the rules that follow those of a project.
	Installation []pipeline.RetentionRule `json:"installation,omitempty" readOnly:"true"`
}

func (a *server) retentionRoutes() {
	op(a, http.MethodGet, "/projects/{project}/retention", "retention-show", "How long runs of a project stay", func(ctx context.Context, in *In) (*Body[Retention], error) {
		own, all, err := a.Pipeline.Retention(ctx, actor(ctx), in.Project)
		return body(Retention{Rules: own, Installation: all}, err)
	})
	op(a, http.MethodPut, "/projects/{project}/retention", "retention-set", "Set how long runs of a project stay", func(ctx context.Context, in *struct {
		In
		Body Retention
	}) (*Empty, error) {
		return &Empty{}, a.Pipeline.SetRetention(ctx, actor(ctx), in.Project, in.Body.Rules)
	})
	op(a, http.MethodGet, "/projects/{project}/retention/expired", "retention-expired", "Runs that the rules let go now", func(ctx context.Context, in *In) (*Body[[]pipeline.Run], error) {
		return body(list(a.Pipeline.Expired(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodGet, "/projects/{project}/retention/kept", "retention-kept", "Runs that somebody keeps, whatever the rules say", func(ctx context.Context, in *In) (*Body[[]pipeline.KeptRun], error) {
		return body(list(a.Pipeline.Kept(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodGet, "/retention", "retention-installation", "How long runs stay where a project says nothing", func(ctx context.Context, _ *Empty) (*Body[Retention], error) {
		all, err := a.Pipeline.InstallationRetention(ctx, actor(ctx))
		return body(Retention{Rules: all}, err)
	})
	op(a, http.MethodPut, "/retention", "retention-setinstallation", "Set how long runs stay where a project says nothing", func(ctx context.Context, in *struct{ Body Retention }) (*Empty, error) {
		return &Empty{}, a.Pipeline.SetRetention(ctx, actor(ctx), "", in.Body.Rules)
	})
	op(a, http.MethodPut, "/runs/{run}/keep", "run-keep", "Keep a run, whatever the rules of retention say", func(ctx context.Context, in *struct {
		InRun
		Body struct {
			Why string `json:"why,omitempty" maxLength:"500"`
		}
	}) (*Empty, error) {
		return &Empty{}, a.Pipeline.Keep(ctx, actor(ctx), in.Run, in.Body.Why)
	})
	op(a, http.MethodDelete, "/runs/{run}/keep", "run-unkeep", "Let the rules of retention decide about a run again", func(ctx context.Context, in *InRun) (*Empty, error) {
		return &Empty{}, a.Pipeline.Unkeep(ctx, actor(ctx), in.Run)
	})
}

func (a *server) testRoutes() {
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/tests", "test-list", "Tests of a pipeline over its newest runs", func(ctx context.Context, in *struct {
		InPipeline
		Branch string `query:"branch" maxLength:"256"`
		Flaky  bool   `query:"flaky" doc:"only those that failed and passed on one commit"`
		Failed bool   `query:"failed" doc:"only those that failed in their newest run"`
		Limit  int    `query:"limit" minimum:"0" maximum:"2000"`
	}) (*Body[[]pipeline.TestCase], error) {
		return body(list(a.Pipeline.TestCases(ctx, actor(ctx), pipeline.TestFilter{Pipeline: in.key(), Branch: in.Branch, Flaky: in.Flaky, Failed: in.Failed, Limit: in.Limit})))
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/tests/history", "test-history", "Outcomes of a test, newest first", func(ctx context.Context, in *struct {
		InPipeline
		Test   string `query:"test" required:"true" maxLength:"2000" doc:"number, name, or SUITE/NAME"`
		Branch string `query:"branch" maxLength:"256"`
		Limit  int    `query:"limit" minimum:"0" maximum:"500"`
	}) (*Body[[]pipeline.Outcome], error) {
		return body(list(a.Pipeline.TestHistory(ctx, actor(ctx), in.key(), in.Test, in.Branch, in.Limit)))
	})
}
