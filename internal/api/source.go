package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/source/git"
)

// InRev names a repository and a revision in it.
type InRev struct {
	InRepo
	Rev string `query:"rev" doc:"branch, tag or commit; empty means the default branch" maxLength:"256"`
}

func (a *server) sourceRoutes() {
	op(a, http.MethodGet, "/projects/{project}/repos", "repo-list", "Repositories of a project", func(ctx context.Context, in *In) (*Body[[]Repo], error) {
		got, err := a.Source.Repos(ctx, actor(ctx), in.Project)
		out := make([]Repo, 0, len(got))
		for _, r := range got {
			out = append(out, a.repo(r))
		}
		return body(out, err)
	})
	op(a, http.MethodPost, "/projects/{project}/repos", "repo-create", "Make a repository", func(ctx context.Context, in *struct {
		In
		Body struct {
			Name string `json:"name" example:"shop"`
		}
	}) (*Body[Repo], error) {
		r, err := a.Source.CreateRepo(ctx, actor(ctx), in.Project+"/"+in.Body.Name)
		return body(a.repo(r), err)
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}", "repo-show", "A repository", func(ctx context.Context, in *InRepo) (*Body[Repo], error) {
		r, err := a.Source.Repo(ctx, actor(ctx), in.full())
		return body(a.repo(r), err)
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/branches", "repo-branches", "Branches", func(ctx context.Context, in *InRepo) (*Body[[]Ref], error) {
		got, err := a.Source.Branches(ctx, actor(ctx), in.full())
		return body(refs(got), err)
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/tags", "repo-tags", "Tags", func(ctx context.Context, in *InRepo) (*Body[[]Ref], error) {
		got, err := a.Source.Tags(ctx, actor(ctx), in.full())
		return body(refs(got), err)
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/commits", "repo-commits", "Commits, newest first", func(ctx context.Context, in *struct {
		InRev
		Path string `query:"path" doc:"only commits that touch it" maxLength:"4096"`
		Page int    `query:"page" minimum:"0" maximum:"100000"`
	}) (*Body[Commits], error) {
		got, more, err := a.Source.Commits(ctx, actor(ctx), in.full(), in.Rev, in.Path, in.Page, 50)
		out := Commits{Commits: make([]Commit, 0, len(got)), More: more}
		for _, c := range got {
			out.Commits = append(out.Commits, commit(c))
		}
		return body(out, err)
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/commits/{commit}", "repo-commit", "A commit", func(ctx context.Context, in *struct {
		InRepo
		Commit string `path:"commit" maxLength:"256"`
	}) (*Body[Commit], error) {
		c, err := a.Source.Commit(ctx, actor(ctx), in.full(), in.Commit)
		return body(commit(c), err)
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/tree", "repo-tree", "Entries of a folder", func(ctx context.Context, in *struct {
		InRev
		Path string `query:"path" maxLength:"4096"`
	}) (*Body[[]Entry], error) {
		got, err := a.Source.Tree(ctx, actor(ctx), in.full(), in.Rev, in.Path)
		return body(entries(got), err)
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/file", "repo-file", "A file", func(ctx context.Context, in *struct {
		InRev
		Path string `query:"path" required:"true" maxLength:"4096"`
	}) (*Body[File], error) {
		b, err := a.Source.Blob(ctx, actor(ctx), in.full(), in.Rev, in.Path)
		return body(File{Entry: entry(b.Entry), Commit: b.Commit, Content: b.Content, Truncated: b.Truncated, Binary: b.Binary}, err)
	})
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/diff", "repo-diff", "Difference of two commits", func(ctx context.Context, in *struct {
		InRepo
		Base string `query:"base" required:"true" maxLength:"256"`
		Head string `query:"head" required:"true" maxLength:"256"`
	}) (*Body[Diff], error) {
		d, err := a.Source.Diff(ctx, actor(ctx), in.full(), in.Base, in.Head)
		return body(diff(d), err)
	})
}

func entries(in []git.Entry) []Entry {
	out := make([]Entry, 0, len(in))
	for _, e := range in {
		out = append(out, entry(e))
	}
	return out
}
