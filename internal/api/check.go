package api

import (
	"context"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
)

// InGate names a check of a project's resource.
type InGate struct {
	In
	Check string `path:"check" doc:"id of the check, or its last six characters or more" maxLength:"64"`
}

// InApproval names what holds a stage.
type InApproval struct {
	Approval string `path:"approval" doc:"id of what holds the stage" maxLength:"64"`
}

// InResource names a resource of pipelines.
type InResource struct {
	In
	Kind string `path:"kind" enum:"environment,connection,group,file,repository,pool"`
	Name string `path:"name" maxLength:"256"`
}

func (in *InResource) resource() check.Resource {
	return check.Resource{Kind: check.Kind(in.Kind), Project: in.Project, Name: in.Name}
}

// NewCheck is a check on a resource: exactly the rule of its type is set.
type NewCheck struct {
	Resource       string              `json:"resource" doc:"kind/name" example:"environment/production" maxLength:"300"`
	Type           check.Type          `json:"type" enum:"approval,branchControl,requiredTemplate,evaluateArtifact,businessHours,rest,alerts,exclusiveLock"`
	Title          string              `json:"title,omitempty" maxLength:"100"`
	TimeoutMinutes int                 `json:"timeoutMinutes,omitempty" doc:"0 means 30 days" minimum:"0" maximum:"43200"`
	Approval       *check.ApprovalRule `json:"approval,omitempty"`
	Branches       *check.BranchRule   `json:"branchControl,omitempty"`
	Template       *check.TemplateRule `json:"requiredTemplate,omitempty"`
	Artifact       *check.ArtifactRule `json:"evaluateArtifact,omitempty"`
	Hours          *check.HoursRule    `json:"businessHours,omitempty"`
	REST           *check.RESTRule     `json:"rest,omitempty"`
	Alerts         *check.AlertRule    `json:"alerts,omitempty"`
}

// Answer is what somebody says to an approval.
type Answer struct {
	Comment string    `json:"comment,omitempty" maxLength:"4000"`
	Until   time.Time `json:"until,omitzero" doc:"the approval counts from then on"`
}

func (a *server) gateRoutes() {
	op(a, http.MethodGet, "/projects/{project}/gates", "gate-list", "Checks on the resources of pipelines", func(ctx context.Context, in *In) (*Body[[]check.Definition], error) {
		return body(list(a.Pipeline.Checks().List(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodGet, "/projects/{project}/gates/{check}", "gate-show", "A check on a resource", func(ctx context.Context, in *InGate) (*Body[check.Definition], error) {
		return body(a.Pipeline.Checks().Get(ctx, actor(ctx), in.Project, in.Check))
	})
	op(a, http.MethodPost, "/projects/{project}/gates", "gate-add", "Put a check on a resource", a.addCheck)
	op(a, http.MethodDelete, "/projects/{project}/gates/{check}", "gate-remove", "Remove a check", func(ctx context.Context, in *InGate) (*struct{}, error) {
		return nil, a.Pipeline.Checks().Remove(ctx, actor(ctx), in.Project, in.Check)
	})
	op(a, http.MethodGet, "/projects/{project}/access/{kind}/{name}", "access-show", "Which pipelines may use a resource", func(ctx context.Context, in *InResource) (*Body[check.Access], error) {
		return body(a.Pipeline.Checks().Access(ctx, actor(ctx), in.resource()))
	})
	op(a, http.MethodPut, "/projects/{project}/access/{kind}/{name}", "access-permit", "Let a pipeline use a resource, or not", func(ctx context.Context, in *struct {
		InResource
		Body struct {
			Pipeline string `json:"pipeline" doc:"project/repo, * for all of the project" maxLength:"256"`
			Allowed  bool   `json:"allowed"`
		}
	}) (*Body[check.Access], error) {
		if err := a.Pipeline.Checks().Permit(ctx, actor(ctx), in.resource(), in.Body.Pipeline, in.Body.Allowed); err != nil {
			return nil, err
		}
		return body(a.Pipeline.Checks().Access(ctx, actor(ctx), in.resource()))
	})
	a.approvalRoutes()
}

func (a *server) approvalRoutes() {
	op(a, http.MethodGet, "/projects/{project}/approvals", "approval-list", "What holds stages of runs now, and whom it waits for", func(ctx context.Context, in *In) (*Body[[]pipeline.Hold], error) {
		return body(list(a.Pipeline.Holds(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodGet, "/runs/{run}/checks", "run-checks", "Every check that stood at a gate of a run", func(ctx context.Context, in *InRun) (*Body[[]pipeline.Hold], error) {
		return body(list(a.Pipeline.RunChecks(ctx, actor(ctx), in.Run)))
	})
	op(a, http.MethodPost, "/approvals/{approval}/approve", "approval-approve", "Approve; with until, from then on", func(ctx context.Context, in *struct {
		InApproval
		Body Answer
	}) (*Body[pipeline.Hold], error) {
		return body(a.Pipeline.Approve(ctx, actor(ctx), in.Approval, in.Body.Comment, in.Body.Until))
	})
	op(a, http.MethodPost, "/approvals/{approval}/reject", "approval-reject", "Reject, which fails the stage", func(ctx context.Context, in *struct {
		InApproval
		Body struct {
			Comment string `json:"comment,omitempty" maxLength:"4000"`
		}
	}) (*Body[pipeline.Hold], error) {
		return body(a.Pipeline.Reject(ctx, actor(ctx), in.Approval, in.Body.Comment))
	})
	op(a, http.MethodPost, "/approvals/{approval}/reassign", "approval-reassign", "Have somebody else asked", func(ctx context.Context, in *struct {
		InApproval
		Body struct {
			From string `json:"from,omitempty" doc:"user:ada, role:maintain; empty means yourself" maxLength:"100"`
			To   string `json:"to" doc:"user" maxLength:"100"`
		}
	}) (*Body[pipeline.Hold], error) {
		return body(a.Pipeline.Reassign(ctx, actor(ctx), in.Approval, in.Body.From, in.Body.To))
	})
	op(a, http.MethodPost, "/approvals/{approval}/permit", "approval-permit", "Let the pipeline that is held use the resource", func(ctx context.Context, in *InApproval) (*Body[pipeline.Hold], error) {
		return body(a.Pipeline.Permit(ctx, actor(ctx), in.Approval))
	})
	op(a, http.MethodPost, "/runs/{run}/stages/{stage}/retry", "stage-retry", "Ask the checks of a stage again that they have ended", func(ctx context.Context, in *struct {
		InRun
		Stage string `path:"stage" maxLength:"256"`
	}) (*Body[*pipeline.Detail], error) {
		if err := a.Pipeline.RetryStage(ctx, actor(ctx), in.Run, in.Stage); err != nil {
			return nil, err
		}
		return body(a.Pipeline.Show(ctx, actor(ctx), in.Run))
	})
}

func (a *server) addCheck(ctx context.Context, in *struct {
	In
	Body NewCheck
}) (*Body[check.Definition], error) {
	r, err := check.ParseResource(in.Project, in.Body.Resource)
	if err != nil {
		return nil, err
	}
	b := in.Body
	return body(a.Pipeline.Checks().Add(ctx, actor(ctx), check.Definition{
		Resource: r, Type: b.Type, Title: b.Title, TimeoutMinutes: b.TimeoutMinutes, Approval: b.Approval, Branches: b.Branches, Template: b.Template,
		Artifact: b.Artifact, Hours: b.Hours, REST: b.REST, Alerts: b.Alerts,
	}))
}
