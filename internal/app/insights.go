package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/depend"
	"towpath.dev/towpath/internal/source/git"
	codeowners "towpath.dev/towpath/internal/source/owners"
	"towpath.dev/towpath/internal/work/dora"
	signals "towpath.dev/towpath/internal/work/insight"
)

// openInsights wires the engine that turns what the platform sees into work.
func (a *App) openInsights(context.Context) error {
	a.Insights = signals.New(signals.Parts{
		DB: a.db, Log: a.Log, Auth: a.Identity, Items: a.Work, Commits: changes{a.Source, a.Identity, a.Log}, Telemetry: services{a.Insight, a.clock.Now},
		Vulnerabilities: weaknesses{a.Registry, a.Supply, a.Deploy, a.Source}, Compliance: audited{a.Audit}, Clock: a.clock, Logger: a.logger,
	}, a.cfg.Signals)
	a.Dora = dora.New(dora.Parts{DB: a.db, Log: a.Log, Auth: a.Identity, Clock: a.clock, Logger: a.logger})
	return nil
}

// insightParts are what runs of it.
func (a *App) insightParts() []part {
	return []part{{"signals", a.Insights.Run}, {"dora", a.Dora.Run}}
}

// audited says what of that which lives violates a rule.
type audited struct{ audit *audit.Service }

var _ signals.Compliance = audited{}

// Violators returns the live objects that violate a rule now.
func (v audited) Violators(ctx context.Context, project, environment, assignment, rule string) ([]string, error) {
	var out []string
	f := audit.Filter{Project: project, Environment: environment, Assignment: assignment, Outcome: audit.Violated, Limit: audit.MaxLimit}
	for {
		r, err := v.audit.Compliance(ctx, signals.Actor(), f)
		if err != nil {
			return nil, err
		}
		if !r.Synced {
			return nil, fault.New(fault.Unavailable, "The audit has not caught up with the cluster yet.")
		}
		for _, o := range r.Objects {
			// An exemption is no violation; a ReplicaSet is spoken for by its Deployment.
			if o.Rule == rule && o.Outcome != "exempt" && o.Kind != "ReplicaSet" {
				out = append(out, o.Ref())
			}
		}
		if f.Offset += len(r.Objects); len(r.Objects) == 0 || f.Offset >= r.Total {
			return out, nil
		}
	}
}

// changes says which commits are between two, who wrote them, and who owns them.
type changes struct {
	source   *source.Service
	identity *identity.Service
	log      *event.Log
}

var _ signals.Commits = changes{}

// Range returns the commits that to has and from has not, the newest first.
func (c changes) Range(ctx context.Context, project, from, to string) (string, []signals.Commit, error) {
	repos, err := c.source.Repos(ctx, signals.Actor(), project)
	if err != nil {
		return "", nil, err
	}
	for _, r := range repos {
		_, dir, err := c.source.Locate(ctx, signals.Actor(), r.FullName())
		if err != nil {
			return "", nil, err
		}
		if !c.has(ctx, dir, to) {
			continue
		}
		if !c.has(ctx, dir, from) {
			from = ""
		}
		list, err := c.between(ctx, dir, from, to)
		return r.FullName(), list, err
	}
	return "", nil, fault.New(fault.NotFound, "No repository of %s has commit %.12s.", project, to)
}

// has reports whether a repository holds a commit.
func (c changes) has(ctx context.Context, dir, commit string) bool {
	if !git.IsHash(commit) {
		return false
	}
	info, err := c.source.Git().Info(ctx, dir, commit)
	return err == nil && len(info) == 1 && info[0].Type == "commit"
}

func (c changes) between(ctx context.Context, dir, from, to string) ([]signals.Commit, error) {
	limit := signals.MaxCommits
	if from == "" {
		limit = 1
	}
	nodes, err := c.source.Git().RevList(ctx, dir, nil, to, from, limit)
	if err != nil {
		return nil, err
	}
	hashes, parents := make([]string, 0, len(nodes)), map[string]string{}
	for _, n := range slices.Backward(nodes) {
		hashes = append(hashes, n.Hash)
		parents[n.Hash] = git.EmptyTree
		if len(n.Parents) > 0 {
			parents[n.Hash] = n.Parents[0]
		}
	}
	found, err := c.source.Git().Commits(ctx, dir, hashes)
	if err != nil {
		return nil, err
	}
	users, err := c.identity.Users(ctx, signals.Actor())
	if err != nil {
		return nil, err
	}
	out := make([]signals.Commit, 0, len(found))
	for _, k := range found {
		files, err := c.source.Git().ChangedPaths(ctx, dir, parents[k.Hash], k.Hash)
		if err != nil {
			return nil, err
		}
		user, err := c.userOf(ctx, k, users)
		if err != nil {
			return nil, err
		}
		out = append(out, signals.Commit{
			Hash: k.Hash, Title: k.Title, Author: k.Author.Name, User: user, When: k.Author.When, Files: files[:min(len(files), signals.MaxFiles)],
		})
	}
	return out, nil
}

// userOf returns the user who wrote a commit: the one with the author's name or the name
// before the @ of the address, else the one who pushed it. What a commit says of its author
// is not proven, and nothing but a suggestion comes of it.
func (c changes) userOf(ctx context.Context, k git.Commit, users []identity.User) (string, error) {
	mail, _, _ := strings.Cut(k.Author.Email, "@")
	for _, name := range []string{strings.ToLower(k.Author.Name), strings.ToLower(mail)} {
		if slices.ContainsFunc(users, func(u identity.User) bool { return u.Name == name }) {
			return name, nil
		}
	}
	pushes, err := c.log.Read(ctx, event.Query{Subject: event.Of(event.KindCommit, k.Hash), Type: event.TypeCommitPushed, Limit: 1})
	if err != nil || len(pushes) == 0 {
		return "", err
	}
	kind, name, _ := strings.Cut(pushes[0].Actor, ":")
	if kind != identity.KindUser {
		return "", nil
	}
	return name, nil
}

// Owners returns the users who own paths at a commit, who owns most of them first.
func (c changes) Owners(ctx context.Context, repo, commit string, paths []string) ([]string, error) {
	var file codeowners.File
	for _, p := range codeowners.Paths() {
		text, err := c.source.File(ctx, signals.Actor(), repo, commit, p)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err == nil {
			file, err = codeowners.Parse(text)
		}
		if err != nil {
			return nil, err
		}
		break
	}
	owns := map[string]int{}
	for _, p := range paths {
		if r, ok := file.Match(p); ok {
			for _, o := range r.Owners {
				if o = strings.ToLower(o); identity.CheckUserName(o) == nil {
					owns[o]++
				}
			}
		}
	}
	users := make([]string, 0, len(owns))
	for u := range owns {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b string) int { return cmp.Or(cmp.Compare(owns[b], owns[a]), cmp.Compare(a, b)) })
	return users, nil
}

// services says what operations do and who calls whom.
type services struct {
	insight *insight.Service
	now     func() time.Time
}

var _ signals.Telemetry = services{}

// Impact returns what a role of an environment did since a moment.
func (s services) Impact(ctx context.Context, project, environment, role string, since time.Time) (signals.Impact, error) {
	list, err := s.insight.Operations(ctx, signals.Actor(), insight.Scope{Project: project, Environment: environment, From: since, To: s.now()}, role)
	var out signals.Impact
	var failed int64
	for _, o := range list {
		out.Requests += o.Count
		failed += o.Failures
		out.P95 = max(out.P95, o.P95)
	}
	if out.Requests > 0 {
		out.FailureShare = float64(failed) / float64(out.Requests)
	}
	return out, err
}

// Callers returns the roles that called a role within the last hour, also through others.
func (s services) Callers(ctx context.Context, project, environment, role string) ([]string, error) {
	now := s.now()
	m, err := s.insight.Map(ctx, signals.Actor(), insight.Scope{Project: project, Environment: environment, From: now.Add(-time.Hour), To: now})
	if err != nil {
		return nil, err
	}
	var out []string
	for at := []string{role}; len(at) > 0; at = at[1:] {
		for _, e := range m.Edges {
			if e.To == at[0] && e.From != role && !slices.Contains(out, e.From) {
				out, at = append(out, e.From), append(at, e.From)
			}
		}
	}
	return out, nil
}

// LastError returns when a group of errors was seen last.
func (s services) LastError(ctx context.Context, project, group string) (time.Time, error) {
	g, err := s.insight.Group(ctx, signals.Actor(), project, group)
	if fault.Is(err, fault.NotFound) {
		return time.Time{}, nil
	}
	return g.LastSeen, err
}

// weaknesses says what is known against images that count, and against code.
type weaknesses struct {
	registry *registry.Service
	supply   *supply.Service
	deploy   *deploy.Service
	source   *source.Service
}

var _ signals.Vulnerabilities = weaknesses{}

// OfImages returns what holds against the images of a repository that run, and the newest.
func (w weaknesses) OfImages(ctx context.Context, repository string) ([]signals.Finding, error) {
	images, err := w.counting(ctx, repository)
	if err != nil {
		return nil, err
	}
	var out []signals.Finding
	for digest, runs := range images {
		r, err := w.supply.Report(ctx, signals.Actor(), repository, digest)
		if fault.Is(err, fault.NotFound) {
			continue // It was deleted meanwhile.
		}
		if err != nil {
			return nil, err
		}
		for _, f := range r.Findings {
			out = append(out, signals.Finding{
				ID: f.Advisory, Aliases: f.Aliases, Severity: string(f.Severity), Package: f.Package, Version: f.Version, Fixed: f.Fixed, Summary: f.Summary,
				Where: digest, Running: runs,
			})
		}
	}
	slices.SortFunc(out, func(a, b signals.Finding) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Where, b.Where)) })
	return out, nil
}

// counting returns the digests of a repository that run (true) or are the newest there.
func (w weaknesses) counting(ctx context.Context, repository string) (map[string]bool, error) {
	project, _, _ := strings.Cut(repository, "/")
	out := map[string]bool{}
	if project == registry.OwnProject {
		return out, nil // The platform's own images have no backlog.
	}
	pushed, err := w.registry.Images(ctx, signals.Actor(), project)
	if err != nil {
		return nil, err
	}
	for _, i := range pushed { // The newest first.
		if i.Repository == repository {
			out[i.Digest] = false
			break
		}
	}
	environments, err := w.deploy.Environments(ctx, signals.Actor(), project)
	if err != nil {
		return nil, err
	}
	for _, e := range environments {
		if e.Current == nil {
			continue
		}
		for _, i := range e.Current.Images {
			if name, digest, ok := strings.Cut(i, "@"); ok && strings.HasSuffix(name, "/"+repository) {
				out[digest] = true
			}
		}
	}
	return out, nil
}

// OfCode returns what holds against the packages that a commit asks for.
func (w weaknesses) OfCode(ctx context.Context, repo, commit string) ([]signals.Finding, error) {
	_, dir, err := w.source.Locate(ctx, signals.Actor(), repo)
	if err != nil {
		return nil, err
	}
	paths, err := w.source.Git().ChangedPaths(ctx, dir, git.EmptyTree, commit)
	if err != nil {
		return nil, err
	}
	var files []depend.File
	for _, p := range paths {
		if !depend.Manifest(p) {
			continue
		}
		text, err := w.source.File(ctx, signals.Actor(), repo, commit, p)
		if err != nil {
			return nil, err
		}
		files = append(files, depend.File{Path: p, Head: text})
	}
	review, err := depend.Review(ctx, advisories{w.supply}, files, "")
	if err != nil {
		return nil, err
	}
	var out []signals.Finding
	for _, c := range review.Changes {
		for _, v := range c.Advisories {
			out = append(out, signals.Finding{
				ID: v.ID, Aliases: v.Aliases, Severity: v.Severity, Package: c.Name, Version: c.Version, Fixed: v.Fixed, Summary: v.Summary, Where: c.File,
			})
		}
	}
	return out, nil
}
