package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/enforce"
)

// InName names a policy document.
type InName struct {
	Name string `path:"name" doc:"name of the document" maxLength:"200"`
}

// OfProject selects what concerns a project.
type OfProject struct {
	Project string `query:"project" doc:"empty: everything that you may see" maxLength:"63"`
}

// Document is a policy document as Azure Policy writes it.
type Document struct {
	RawBody []byte `contentType:"application/json"`
}

// PolicyStatus says what is in force, and how.
type PolicyStatus struct {
	Set         string              `json:"set" doc:"digest of the policy set"`
	Rules       int                 `json:"rules"`
	Enforcement enforce.Enforcement `json:"enforcement"`
	Audit       audit.Progress      `json:"audit"`
}

func (a *server) policyRoutes() {
	a.policyDocuments()
	a.policyLibrary()
	a.policyFacts()
}

func (a *server) policyDocuments() {
	foreign(a, http.MethodPost, "/policy/documents", "policy-apply", "Store a definition, initiative, assignment or exemption", func(ctx context.Context, in *Document) (*Body[policy.Applied], error) {
		return body(a.Policy.Apply(ctx, actor(ctx), json.RawMessage(in.RawBody)))
	})
	op(a, http.MethodGet, "/policy/assignments", "policy-list", "Assignments", func(ctx context.Context, in *OfProject) (*Body[[]policy.Assignment], error) {
		return body(list(a.Policy.Assignments(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodGet, "/policy/assignments/{name}", "policy-show", "An assignment with its rules", func(ctx context.Context, in *InName) (*Body[policy.Assignment], error) {
		return body(a.Policy.Assignment(ctx, actor(ctx), in.Name))
	})
	op(a, http.MethodDelete, "/policy/assignments/{name}", "policy-unassign", "Remove an assignment with its exemptions", func(ctx context.Context, in *InName) (*struct{}, error) {
		return nil, a.Policy.Unassign(ctx, actor(ctx), in.Name)
	})
	op(a, http.MethodGet, "/policy/exemptions", "policy-exemptions", "Exemptions, ended ones too", func(ctx context.Context, in *OfProject) (*Body[[]policy.Exemption], error) {
		return body(list(a.Policy.Exemptions(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodDelete, "/policy/exemptions/{name}", "policy-unexempt", "Remove an exemption", func(ctx context.Context, in *InName) (*struct{}, error) {
		return nil, a.Policy.Unexempt(ctx, actor(ctx), in.Name)
	})
}

func (a *server) policyLibrary() {
	op(a, http.MethodGet, "/policy/definitions", "policy-definitions", "Definitions, built-in ones too", func(ctx context.Context, _ *Empty) (*Body[[]policy.Definition], error) {
		return body(list(a.Policy.Definitions(ctx, actor(ctx))))
	})
	op(a, http.MethodGet, "/policy/definitions/{name}", "policy-definition", "A definition with its program", func(ctx context.Context, in *InName) (*Body[policy.Definition], error) {
		return body(a.Policy.Definition(ctx, actor(ctx), in.Name))
	})
	op(a, http.MethodGet, "/policy/initiatives", "policy-initiatives", "Initiatives, built-in ones too", func(ctx context.Context, _ *Empty) (*Body[[]policy.Initiative], error) {
		return body(list(a.Policy.Initiatives(ctx, actor(ctx))))
	})
	op(a, http.MethodDelete, "/policy/{kind}/{name}", "policy-remove", "Remove a definition or an initiative that was added", func(ctx context.Context, in *struct {
		InName
		Kind string `path:"kind" enum:"definition,initiative"`
	}) (*struct{}, error) {
		return nil, a.Policy.Remove(ctx, actor(ctx), in.Kind, in.Name)
	})
}

func (a *server) policyFacts() {
	op(a, http.MethodGet, "/policy/status", "policy-status", "What is in force, and how", func(ctx context.Context, in *OfProject) (*Body[PolicyStatus], error) {
		// Whoever may list assignments may know how they are enforced.
		if _, err := a.Policy.Assignments(ctx, actor(ctx), in.Project); err != nil {
			return nil, err
		}
		set := a.Policy.Current()
		out := PolicyStatus{Set: set.Digest(), Rules: len(set.Rules())}
		if a.Sync != nil {
			out.Enforcement, out.Audit = a.Sync.State(), a.Audit.Progress()
		}
		return body(out, nil)
	})
	op(a, http.MethodGet, "/policy/compliance", "policy-compliance", "What each assignment says of each live object, and since when", func(ctx context.Context, in *struct {
		OfProject
		Environment string `query:"environment" maxLength:"63"`
		Assignment  string `query:"assignment" maxLength:"200"`
		Outcome     string `query:"outcome" enum:"compliant,denied,audited,exempt,error,violated"`
		Kind        string `query:"kind" maxLength:"100"`
		Namespace   string `query:"namespace" maxLength:"63"`
		Text        string `query:"text" maxLength:"200"`
		Limit       int    `query:"limit" minimum:"0" maximum:"2000"`
		Offset      int    `query:"offset" minimum:"0"`
	}) (*Body[audit.Report], error) {
		return body(a.Audit.Compliance(ctx, actor(ctx), audit.Filter{
			Project: in.Project, Environment: in.Environment, Assignment: in.Assignment, Outcome: in.Outcome, Kind: in.Kind,
			Namespace: in.Namespace, Text: in.Text, Limit: in.Limit, Offset: in.Offset,
		}))
	})
	op(a, http.MethodPost, "/policy/sweep", "policy-sweep", "List everything again and count the differences to the stored verdicts", func(ctx context.Context, _ *Empty) (*Body[Swept], error) {
		if err := a.Identity.RequireAdmin(ctx, actor(ctx)); err != nil {
			return nil, err
		}
		n, err := a.Audit.SweepNow(ctx)
		return body(Swept{n}, err)
	})
	op(a, http.MethodGet, "/policy/decisions", "policy-decisions", "Decisions, newest first", func(ctx context.Context, in *struct {
		OfProject
		Environment string `query:"environment" maxLength:"63"`
		Point       string `query:"point" enum:"pull,pipeline,deploy,admission,audit,test"`
		Refused     bool   `query:"refused" doc:"only refusals"`
		Run         int64  `query:"run" minimum:"0"`
		Commit      string `query:"commit" maxLength:"40"`
		Pull        int64  `query:"pull" minimum:"0"`
		Limit       int    `query:"limit" minimum:"0" maximum:"500"`
		Before      string `query:"before" maxLength:"64"`
	}) (*Body[[]policy.Decision], error) {
		f := policy.DecisionFilter{
			Project: in.Project, Environment: in.Environment, Point: in.Point, Run: in.Run, Commit: in.Commit, Pull: in.Pull, Limit: in.Limit, Before: in.Before,
		}
		if in.Refused {
			f.Allowed = new(bool)
		}
		return body(list(a.Policy.Decisions(ctx, actor(ctx), f)))
	})
	op(a, http.MethodGet, "/policy/decisions/{id}", "policy-decision", "A decision", func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"64"`
	}) (*Body[policy.Decision], error) {
		return body(a.Policy.Decision(ctx, actor(ctx), in.ID))
	})
}

// Swept is what a sweep found.
type Swept struct {
	Differences int `json:"differences"`
}

// pullPath is the page of a pull request.
func pullPath(project, repo string, n int64) string {
	return "/projects/" + project + "/pulls/" + repo + "/" + strconv.FormatInt(n, 10)
}
