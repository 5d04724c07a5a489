package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/source/pull"
)

// InPull names a pull request.
type InPull struct {
	InRepo
	Number int64 `path:"number" doc:"number of the pull request in its repository" minimum:"1"`
}

// PullDetail is a pull request with everything that decides about it.
type PullDetail struct {
	pull.Pull
	URL       string            `json:"url"`
	Gate      pull.Gate         `json:"gate"`
	Reviews   []pull.Review     `json:"reviews"`
	Checks    []pull.Check      `json:"checks_reported"`
	Decisions []policy.Decision `json:"decisions"`
}

// Pulls is a page of pull requests.
type Pulls struct {
	Pulls []pull.Pull `json:"pulls"`
	More  bool        `json:"more"`
}

// InCommit names a commit by its full hash.
type InCommit struct {
	InRepo
	Commit string `path:"commit" doc:"full hash" minLength:"40" maxLength:"40"`
}

func (a *server) pullRoutes() {
	a.pullReads()
	a.pullWrites()
	a.pullTalk()
	a.checkRoutes()
}

func (a *server) pullReads() {
	const one = "/projects/{project}/repos/{repo}/pulls/{number}"
	op(a, http.MethodGet, "/projects/{project}/pulls", "pull-list", "Pull requests, newest first", func(ctx context.Context, in *struct {
		In
		Repo     string `query:"repo" doc:"only of this repository" maxLength:"100"`
		State    string `query:"state" enum:"open,merged,closed,all" doc:"open when empty"`
		Author   string `query:"author" maxLength:"100"`
		Reviewer string `query:"reviewer" doc:"only those that wait for this user" maxLength:"100"`
		Text     string `query:"text" maxLength:"200"`
		Limit    int    `query:"limit" minimum:"0" maximum:"200"`
		Skip     int    `query:"skip" minimum:"0" maximum:"1000000"`
	}) (*Body[Pulls], error) {
		f := pull.Filter{State: in.State, Author: in.Author, Reviewer: in.Reviewer, Text: in.Text, Limit: in.Limit, Skip: in.Skip}
		if in.Repo != "" {
			f.Repo = in.Project + "/" + in.Repo
		}
		got, more, err := a.Pulls.List(ctx, actor(ctx), in.Project, f)
		if got == nil {
			got = []pull.Pull{}
		}
		return body(Pulls{got, more}, err)
	})
	op(a, http.MethodGet, one, "pull-show", "A pull request: what it proposes, what was said, and what keeps it from being merged", func(ctx context.Context, in *InPull) (*Body[PullDetail], error) {
		return body(a.pullDetail(ctx, in))
	})
	op(a, http.MethodGet, one+"/diff", "pull-diff", "What a pull request changes", func(ctx context.Context, in *InPull) (*Body[Diff], error) {
		d, err := a.Pulls.Diff(ctx, actor(ctx), in.full(), in.Number)
		return body(diff(d), err)
	})
	op(a, http.MethodGet, one+"/commits", "pull-commits", "Commits of a pull request, oldest first", func(ctx context.Context, in *InPull) (*Body[[]Commit], error) {
		got, err := a.Pulls.Commits(ctx, actor(ctx), in.full(), in.Number)
		out := make([]Commit, 0, len(got))
		for _, c := range got {
			out = append(out, commit(c))
		}
		return body(out, err)
	})
	op(a, http.MethodGet, one+"/timeline", "pull-timeline", "Everything that happened to a pull request", func(ctx context.Context, in *InPull) (*Body[[]pull.Entry], error) {
		return body(list(a.Pulls.Timeline(ctx, actor(ctx), in.full(), in.Number)))
	})
	op(a, http.MethodGet, one+"/manifests", "pull-manifests", "What a pull request would apply to an environment, rendered", func(ctx context.Context, in *struct {
		InPull
		Environment string `query:"environment" doc:"empty takes them all" maxLength:"63"`
	}) (*Body[Manifests], error) {
		text, err := a.Judge.Manifests(ctx, actor(ctx), in.full(), in.Number, in.Environment)
		return body(Manifests{text}, err)
	})
}

// Manifests are rendered Kubernetes objects.
type Manifests struct {
	YAML string `json:"yaml"`
}

func (a *server) pullDetail(ctx context.Context, in *InPull) (out PullDetail, err error) {
	who := actor(ctx)
	if out.Pull, err = a.Pulls.Get(ctx, who, in.full(), in.Number); err != nil {
		return out, err
	}
	out.URL = a.PublicURL + pullPath(in.Project, in.Repo, in.Number)
	if out.Gate, err = a.Pulls.State(ctx, who, in.full(), in.Number); err != nil {
		return out, err
	}
	if out.Reviews, err = list(a.Pulls.Reviews(ctx, who, in.full(), in.Number)); err != nil {
		return out, err
	}
	if out.Checks, err = list(a.Pulls.Annotations(ctx, who, in.full(), out.Head)); err != nil {
		return out, err
	}
	all, err := a.Pulls.Checks(ctx, who, in.full(), out.Head)
	if err != nil {
		return out, err
	}
	out.Checks = merge(out.Checks, all)
	out.Decisions, err = list(a.Policy.Decisions(ctx, who, policy.DecisionFilter{Project: in.Project, Point: policy.PointPull, Commit: out.Head}))
	return out, err
}

// merge adds the checks without annotations to those that have some.
func merge(with, all []pull.Check) []pull.Check {
	for _, c := range all {
		known := false
		for _, w := range with {
			known = known || w.Name == c.Name && w.Source == c.Source
		}
		if !known {
			with = append(with, c)
		}
	}
	return with
}

func (a *server) pullWrites() {
	const one = "/projects/{project}/repos/{repo}/pulls/{number}"
	op(a, http.MethodPost, "/projects/{project}/repos/{repo}/pulls", "pull-create", "Open a pull request", func(ctx context.Context, in *struct {
		InRepo
		Body pull.Proposal
	}) (*Body[pull.Pull], error) {
		return body(a.Pulls.Open(ctx, actor(ctx), in.full(), in.Body))
	})
	op(a, http.MethodPatch, one, "pull-edit", "Change title, text, target or draft", func(ctx context.Context, in *struct {
		InPull
		Body pull.Edit
	}) (*Body[pull.Pull], error) {
		return body(a.Pulls.Edit(ctx, actor(ctx), in.full(), in.Number, in.Body))
	})
	op(a, http.MethodPost, one+"/merge", "pull-merge", "Merge a pull request", func(ctx context.Context, in *struct {
		InPull
		Body pull.Merge
	}) (*Body[pull.Pull], error) {
		return body(a.Pulls.Merge(ctx, actor(ctx), in.full(), in.Number, in.Body))
	})
	op(a, http.MethodPost, one+"/close", "pull-close", "Close a pull request without merging it", func(ctx context.Context, in *InPull) (*Body[pull.Pull], error) {
		return body(a.Pulls.Close(ctx, actor(ctx), in.full(), in.Number))
	})
	op(a, http.MethodPost, one+"/reopen", "pull-reopen", "Open a closed pull request again", func(ctx context.Context, in *InPull) (*Body[pull.Pull], error) {
		return body(a.Pulls.Reopen(ctx, actor(ctx), in.full(), in.Number))
	})
	op(a, http.MethodPost, one+"/reviewers", "pull-request", "Ask users for their review", func(ctx context.Context, in *struct {
		InPull
		Body struct {
			Users []string `json:"users" minItems:"1" maxItems:"20"`
		}
	}) (*Body[pull.Pull], error) {
		return body(a.Pulls.Request(ctx, actor(ctx), in.full(), in.Number, in.Body.Users))
	})
}

func (a *server) pullTalk() {
	const one = "/projects/{project}/repos/{repo}/pulls/{number}"
	op(a, http.MethodPost, one+"/reviews", "pull-review", "Approve, ask for changes, or comment", func(ctx context.Context, in *struct {
		InPull
		Body pull.Judgement
	}) (*Body[pull.Review], error) {
		return body(a.Pulls.Review(ctx, actor(ctx), in.full(), in.Number, in.Body))
	})
	op(a, http.MethodPost, one+"/reviews/{review}/dismiss", "pull-dismiss", "Take a review out of the count", func(ctx context.Context, in *struct {
		InPull
		Review string `path:"review" maxLength:"64"`
		Body   struct {
			Reason string `json:"reason"`
		}
	}) (*Body[pull.Review], error) {
		return body(a.Pulls.Dismiss(ctx, actor(ctx), in.full(), in.Number, in.Review, in.Body.Reason))
	})
	op(a, http.MethodGet, one+"/threads", "pull-threads", "Conversations on lines", func(ctx context.Context, in *InPull) (*Body[[]pull.Thread], error) {
		return body(list(a.Pulls.Threads(ctx, actor(ctx), in.full(), in.Number)))
	})
	op(a, http.MethodPost, one+"/comments", "pull-comment", "Comment on a line, or on the whole", func(ctx context.Context, in *struct {
		InPull
		Body pull.Remark
	}) (*Body[pull.Thread], error) {
		return body(a.Pulls.Comment(ctx, actor(ctx), in.full(), in.Number, in.Body))
	})
	op(a, http.MethodPost, one+"/threads/{thread}/replies", "pull-reply", "Answer in a thread", func(ctx context.Context, in *struct {
		InPull
		Thread string `path:"thread" maxLength:"64"`
		Body   struct {
			Body string `json:"body"`
		}
	}) (*Body[pull.Thread], error) {
		return body(a.Pulls.Reply(ctx, actor(ctx), in.full(), in.Number, in.Thread, in.Body.Body))
	})
	op(a, http.MethodPost, one+"/threads/{thread}/resolve", "pull-resolve", "End a thread, or take it up again", func(ctx context.Context, in *struct {
		InPull
		Thread string `path:"thread" maxLength:"64"`
		Body   struct {
			Resolved bool `json:"resolved"`
		}
	}) (*Body[pull.Thread], error) {
		return body(a.Pulls.Resolve(ctx, actor(ctx), in.full(), in.Number, in.Thread, in.Body.Resolved))
	})
}

// CheckReport is what somebody says about a commit.
type CheckReport struct {
	Name        string            `json:"name" example:"lint" maxLength:"100"`
	State       string            `json:"state" enum:"queued,running,success,failure,error,neutral"`
	Title       string            `json:"title,omitempty" doc:"one line" maxLength:"200"`
	Summary     string            `json:"summary,omitempty" doc:"Markdown"`
	URL         string            `json:"url,omitempty" doc:"where to read more"`
	Annotations []pull.Annotation `json:"annotations,omitempty" maxItems:"1000"`
}

func (a *server) checkRoutes() {
	op(a, http.MethodGet, "/projects/{project}/repos/{repo}/commits/{commit}/checks", "check-list", "Checks of a commit", func(ctx context.Context, in *InCommit) (*Body[[]pull.Check], error) {
		with, err := a.Pulls.Annotations(ctx, actor(ctx), in.full(), in.Commit)
		if err != nil {
			return nil, err
		}
		all, err := a.Pulls.Checks(ctx, actor(ctx), in.full(), in.Commit)
		return body(list(merge(with, all), err))
	})
	op(a, http.MethodPost, "/projects/{project}/repos/{repo}/commits/{commit}/checks", "check-report", "Report a check, or a commit status", func(ctx context.Context, in *struct {
		InCommit
		Body CheckReport
	}) (*Body[pull.Check], error) {
		b := in.Body
		return body(a.Pulls.Report(ctx, actor(ctx), in.full(), in.Commit, pull.Check{
			Name: b.Name, State: b.State, Title: b.Title, Summary: b.Summary, URL: b.URL, Annotations: b.Annotations,
		}))
	})
}
