package api

import (
	"context"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/source/ruleset"
)

// InRuleset names a ruleset of a repository.
type InRuleset struct {
	InRepo
	Ruleset string `path:"ruleset" doc:"name of the ruleset" maxLength:"200"`
}

// InSecret names a finding of the secret scan.
type InSecret struct {
	InRepo
	Finding string `path:"finding" doc:"id of the finding" maxLength:"64"`
}

// FileEdit is a change of one file by the API.
type FileEdit struct {
	Branch  string `json:"branch" doc:"branch to commit to" maxLength:"250"`
	Path    string `json:"path" doc:"file from the repository's root" maxLength:"4096"`
	Content string `json:"content" doc:"the whole file afterwards"`
	Message string `json:"message" doc:"commit message" maxLength:"10000"`
	Expect  string `json:"expect,omitempty" doc:"commit that was looked at; refused when the file is another one by now" maxLength:"40"`
}

// Edited is the commit that an edit made.
type Edited struct {
	Commit string `json:"commit"`
}

func (a *server) ruleRoutes() {
	const repo = "/projects/{project}/repos/{repo}"
	op(a, http.MethodGet, repo+"/rulesets", "ruleset-list", "What a repository demands of changes", func(ctx context.Context, in *InRepo) (*Body[[]ruleset.Ruleset], error) {
		return body(list(a.Rulesets.List(ctx, actor(ctx), in.full())))
	})
	op(a, http.MethodGet, repo+"/rulesets/{ruleset}", "ruleset-show", "A ruleset", func(ctx context.Context, in *InRuleset) (*Body[ruleset.Ruleset], error) {
		return body(a.Rulesets.Get(ctx, actor(ctx), in.full(), in.Ruleset))
	})
	op(a, http.MethodPut, repo+"/rulesets/{ruleset}", "ruleset-apply", "Make or change a ruleset", func(ctx context.Context, in *struct {
		InRuleset
		Body struct {
			Enforcement ruleset.Enforcement `json:"enforcement" enum:"active,evaluate,disabled"`
			Refs        []string            `json:"refs" doc:"~default, main, release/*, refs/tags/v*" minItems:"1" maxItems:"50"`
			Bypass      []string            `json:"bypass,omitempty" doc:"user:ada, role:admin" maxItems:"50"`
			Rules       ruleset.Rules       `json:"rules"`
		}
	}) (*Body[ruleset.Ruleset], error) {
		return body(a.Rulesets.Put(ctx, actor(ctx), ruleset.Ruleset{
			Repo: in.full(), Name: in.Ruleset, Enforcement: in.Body.Enforcement, Refs: in.Body.Refs, Bypass: in.Body.Bypass, Rules: in.Body.Rules,
		}))
	})
	op(a, http.MethodDelete, repo+"/rulesets/{ruleset}", "ruleset-delete", "Delete a ruleset", func(ctx context.Context, in *InRuleset) (*struct{}, error) {
		return nil, a.Rulesets.Delete(ctx, actor(ctx), in.full(), in.Ruleset)
	})
	op(a, http.MethodPost, repo+"/edit", "repo-edit", "Commit a change of one file", func(ctx context.Context, in *struct {
		InRepo
		Body FileEdit
	}) (*Body[Edited], error) {
		b := in.Body
		commit, err := a.Source.Edit(ctx, actor(ctx), source.Edit{
			Repo: in.full(), Branch: b.Branch, Path: b.Path, Content: []byte(b.Content), Message: b.Message, Expect: b.Expect,
		})
		return body(Edited{commit}, err)
	})
	a.secretRoutes()
}

func (a *server) secretRoutes() {
	const repo = "/projects/{project}/repos/{repo}"
	op(a, http.MethodGet, repo+"/secrets", "secret-list", "Secrets for which pushes were refused", func(ctx context.Context, in *InRepo) (*Body[[]protect.Finding], error) {
		return body(list(a.Protect.Blocked(ctx, actor(ctx), in.full())))
	})
	op(a, http.MethodGet, repo+"/secrets/{finding}", "secret-show", "A secret for which a push was refused", func(ctx context.Context, in *InSecret) (*Body[protect.Finding], error) {
		return body(a.Protect.Show(ctx, actor(ctx), in.Finding))
	})
	op(a, http.MethodPost, repo+"/secrets/{finding}/bypass", "secret-bypass", "Let a finding through for a while", func(ctx context.Context, in *struct {
		InSecret
		Body struct {
			Reason  string `json:"reason" enum:"test-value,false-positive,fix-later"`
			Comment string `json:"comment,omitempty" maxLength:"1000"`
			Seconds int64  `json:"seconds,omitempty" doc:"how long it holds; 0 means 3 hours" minimum:"0"`
		}
	}) (*Body[protect.Granted], error) {
		return body(a.Protect.Bypass(ctx, actor(ctx), in.Finding, protect.Bypass{
			Reason: in.Body.Reason, Comment: in.Body.Comment, For: time.Duration(in.Body.Seconds) * time.Second,
		}))
	})
	op(a, http.MethodGet, repo+"/bypasses", "secret-bypasses", "What was let through", func(ctx context.Context, in *InRepo) (*Body[[]protect.Granted], error) {
		return body(list(a.Protect.Bypasses(ctx, actor(ctx), in.full())))
	})
	op(a, http.MethodDelete, repo+"/bypasses/{bypass}", "secret-revoke", "End a bypass", func(ctx context.Context, in *struct {
		InRepo
		Bypass string `path:"bypass" maxLength:"64"`
	}) (*struct{}, error) {
		return nil, a.Protect.Revoke(ctx, actor(ctx), in.Bypass)
	})
}
