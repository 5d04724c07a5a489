package app

import (
	"context"
	"maps"
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/work"
)

// openWork wires items and sprints. It comes before the source code, whose pull requests
// ask it for items; what it reads there it asks for when it runs.
func (a *App) openWork(context.Context) error {
	a.Work = work.New(work.Parts{
		DB: a.db, Log: a.Log, Auth: a.Identity, Clock: a.clock, Queue: a.queue, Commits: written{a}, Pulls: written{a}, Chains: chains{a},
		Announcer: heralds{a}, Logger: a.logger,
		Releases: []string{"release/*", "releases/*"},
	})
	return nil
}

// written answers what people wrote about code.
type written struct{ app *App }

var (
	_ work.Commits = written{}
	_ work.Pulls   = written{}
)

// chains answers what became of commits.
type chains struct{ app *App }

var _ work.Chains = chains{}

// Items returns the items of the change of a commit. Package work has authorised who asks.
func (c chains) Items(ctx context.Context, project, commit string) ([]int64, error) {
	return c.app.Evidence.Items(ctx, workActor(), project, commit)
}

// heralds tells people of items over the routes of alerts.
type heralds struct{ app *App }

var _ work.Announcer = heralds{}

// Announce sends an item to the receivers that the routes name for it.
func (h heralds) Announce(ctx context.Context, it work.Item, what string) error {
	severity := alert.Error
	if it.Severity == work.Critical {
		severity = alert.Critical
	}
	source := ""
	if it.Insight != nil {
		source = it.Insight.Source
	}
	return h.app.Alerts.Announce(ctx, workActor(), alert.Announcement{
		Project: it.Project, Item: it.Number, Title: it.Title, Text: what, Kind: it.Type, Source: source, Severity: severity,
	})
}

func workActor() identity.Actor { return identity.SystemActor("work") }

// Range returns the commits of a push.
func (w written) Range(ctx context.Context, repo, branch, before, tip string, limit int) ([]work.Commit, error) {
	r, dir, err := w.app.Source.Locate(ctx, workActor(), repo)
	if err != nil {
		return nil, err
	}
	program := w.app.Source.Git()
	without := before
	switch {
	case before == git.Zero && branch == r.DefaultBranch:
		without = ""
	case before == git.Zero:
		without = "refs/heads/" + r.DefaultBranch
	}
	names := []string{tip + "^{commit}"}
	if without != "" {
		names = append(names, without+"^{commit}")
	}
	found, err := program.Info(ctx, dir, names...)
	if err != nil {
		return nil, err
	}
	if len(found) != len(names) || found[0].Type != "commit" {
		return nil, fault.New(fault.NotFound, "The commit %s of %s is gone.", tip, repo)
	}
	if without != "" {
		without = ""
		if found[1].Type == "commit" {
			without = found[1].Hash
		}
	}
	nodes, err := program.RevList(ctx, dir, nil, tip, without, limit)
	if err != nil {
		return nil, err
	}
	hashes := make([]string, 0, len(nodes))
	for _, n := range nodes {
		hashes = append(hashes, n.Hash)
	}
	list, err := program.Commits(ctx, dir, hashes)
	if err != nil {
		return nil, err
	}
	out := make([]work.Commit, 0, len(list))
	for _, c := range list {
		out = append(out, work.Commit{Hash: c.Hash, Title: c.Title, Message: c.Title + "\n\n" + c.Body})
	}
	return out, nil
}

// Lost returns the commits that no branch has any more.
func (w written) Lost(ctx context.Context, repo, tip string, limit int) ([]string, error) {
	_, dir, err := w.app.Source.Locate(ctx, workActor(), repo)
	if err != nil {
		return nil, err
	}
	program := w.app.Source.Git()
	heads, err := program.Refs(ctx, dir, "refs/heads/")
	if err != nil {
		return nil, err
	}
	found, err := program.Info(ctx, dir, tip+"^{commit}")
	if err != nil {
		return nil, err
	}
	if len(found) != 1 || found[0].Type != "commit" {
		return nil, fault.New(fault.NotFound, "The commit %s of %s is gone.", tip, repo)
	}
	known := make([]string, 0, len(heads))
	for _, h := range heads {
		known = append(known, h.Object)
	}
	graph, err := program.Fresh(ctx, dir, []string{tip}, known)
	if err != nil {
		return nil, err
	}
	out := slices.Sorted(maps.Keys(graph))
	return out[:min(len(out), limit)], nil
}

// Pull returns a pull request.
func (w written) Pull(ctx context.Context, repo string, number int64) (work.Pull, error) {
	p, err := w.app.Pulls.Get(ctx, workActor(), repo, number)
	if err != nil {
		return work.Pull{}, err
	}
	r, err := w.app.Source.Repo(ctx, workActor(), repo)
	if err != nil {
		return work.Pull{}, err
	}
	return work.Pull{
		Repo: p.Repo, Number: p.Number, Title: p.Title, Body: p.Body, Source: p.Source, Target: p.Target, Default: p.Target == r.DefaultBranch,
	}, nil
}
