package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// resolver finds the repositories that a file names, each once in a compilation, so that a
// run is made of one commit of each (T003).
type resolver struct {
	s     *Service
	order Order
	known map[string]pin // by lower-case alias
}

// pin is a repository resource at the commit that the run uses.
type pin struct {
	repo, ref, commit string
	err               error
}

// Load delivers a file of the run's own commit, or of another repository of the
// installation. See expand.Loader.
func (r *resolver) Load(ctx context.Context, ref expand.Ref) ([]byte, error) {
	repo, commit := r.order.Repo, r.order.Commit
	if res := ref.Repository; res != nil {
		p := r.resolve(ctx, res.Alias, res.Type, res.Name, res.Ref)
		if p.err != nil {
			return nil, p.err
		}
		repo, commit = p.repo, p.commit
	}
	data, err := r.s.source.File(ctx, system(), repo, commit, ref.Path)
	if fault.Is(err, fault.NotFound) {
		return nil, fs.ErrNotExist
	}
	return data, err
}

// resolve finds the commit of a repository resource that the pipeline may read.
func (r *resolver) resolve(ctx context.Context, alias, kind, name, ref string) pin {
	key := strings.ToLower(alias)
	if p, ok := r.known[key]; ok {
		return p
	}
	p := r.find(ctx, kind, name, ref)
	if o := r.order.Origin; p.err == nil && o != nil && o.Category == categoryRepository && strings.EqualFold(o.Alias, alias) && o.Repo == p.repo {
		p.ref, p.commit = o.Ref, o.Commit // The push that started the run.
	}
	r.known[key] = p
	return p
}

func (r *resolver) find(ctx context.Context, kind, name, ref string) (p pin) {
	if kind != "" && !strings.EqualFold(kind, "git") {
		p.err = fmt.Errorf("a repository of the type %s lies outside of this installation; push it here and use type: git with name: PROJECT/REPO", kind)
		return p
	}
	p.repo = fullName(r.order.Project, name)
	project, short, _ := strings.Cut(p.repo, "/")
	res := check.Resource{Kind: check.Repository, Project: project, Name: short}
	if p.err = res.Check(); p.err != nil {
		return p
	}
	var ok bool
	if ok, p.err = r.s.checks.Permitted(ctx, r.s.db, res, r.order.key()); p.err != nil {
		return p
	}
	if !ok {
		// The same words for a repository that does not exist: nobody learns of other projects.
		p.err = fmt.Errorf("there is no repository %s that %s may use; who maintains project %s may let it: towpath check permit repository/%s %s --project %s",
			p.repo, r.order.key(), project, short, r.order.key(), project)
		return p
	}
	p.ref, p.commit, _, p.err = r.s.source.Resolve(ctx, system(), p.repo, ref)
	if fault.Is(p.err, fault.NotFound) {
		p.err = fmt.Errorf("the repository %s has no %s", p.repo, firstOf(ref, "default branch"))
	}
	return p
}

// fullName is "project/repo" of a resource's name, which may leave out its own project.
func fullName(project, name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return project + "/" + name
}

// pin writes the commits of the repositories that a plan uses into it. Those that are
// checked out and cannot be are errors of the file.
func (r *resolver) pin(ctx context.Context, p *plan.Plan) error {
	for i := range p.Resources.Repositories {
		res := &p.Resources.Repositories[i]
		got, used := r.known[strings.ToLower(res.Alias)]
		if !used {
			if !checksOut(p, res.Alias) {
				continue
			}
			got = r.resolve(ctx, res.Alias, res.Type, res.Name, res.Ref)
		}
		if got.err != nil {
			return fmt.Errorf("the repository %s: %w", res.Alias, got.err)
		}
		res.Ref, res.Commit = got.ref, got.commit
	}
	return nil
}

// checksOut reports whether any job checks a repository resource out, or says that it uses it.
func checksOut(p *plan.Plan, alias string) bool {
	return anyJob(p, func(job *plan.Job) bool { return needs(job, alias) })
}

// anyJob reports whether something holds for a job of a plan.
func anyJob(p *plan.Plan, holds func(*plan.Job) bool) bool {
	for i := range p.Stages {
		for k := range p.Stages[i].Jobs {
			if holds(&p.Stages[i].Jobs[k]) {
				return true
			}
		}
	}
	return false
}

// needs reports whether a job checks a repository resource out, or says that it uses it.
func needs(job *plan.Job, alias string) bool {
	if u := job.Uses; u != nil && slices.ContainsFunc(u.Repositories, func(name string) bool { return strings.EqualFold(name, alias) }) {
		return true
	}
	return slices.ContainsFunc(steps(job), func(s plan.Step) bool { return checkout(s, alias) })
}

func checkout(s plan.Step, alias string) bool {
	return s.Enabled && strings.EqualFold(s.Task, plan.TaskCheckout) && strings.EqualFold(s.Inputs["repository"], alias)
}

// steps are all steps that a job may run.
func steps(job *plan.Job) []plan.Step {
	out := slices.Clone(job.Steps)
	if job.Strategy != nil {
		for _, h := range job.Strategy.Hooks {
			out = append(out, h.Steps...)
		}
	}
	return out
}

// checkouts are the repositories beside its own that a job checks out, or says that it uses.
func (s *Service) checkouts(p *plan.Plan, job *plan.Job, project string) []protocol.Repository {
	var out []protocol.Repository
	for _, res := range p.Resources.Repositories {
		if res.Commit == "" || !needs(job, res.Alias) {
			continue
		}
		repo := fullName(project, res.Name)
		out = append(out, protocol.Repository{Alias: res.Alias, Repo: repo, CloneURL: s.cloneURL(repo), Ref: res.Ref, Commit: res.Commit})
	}
	return out
}

// clones are the repositories of other projects that the token of a job opens for reading:
// those that the job checks out and the pipeline may use now.
func (s *Service) clones(ctx context.Context, h store.Handle, run *runRow, list []protocol.Repository) ([]string, error) {
	var out []string
	for _, r := range list {
		project, name, _ := strings.Cut(r.Repo, "/")
		if project == run.Project {
			continue
		}
		ok, err := s.checks.Permitted(ctx, h, check.Resource{Kind: check.Repository, Project: project, Name: name}, run.Key())
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, r.Repo)
		}
	}
	return out, nil
}

// linkedRepos are the pinned repositories of a plan for the logbook.
func linkedRepos(p *plan.Plan, project string) []event.LinkedRepo {
	var out []event.LinkedRepo
	for _, r := range p.Resources.Repositories {
		if r.Commit != "" {
			out = append(out, event.LinkedRepo{Alias: r.Alias, Repo: fullName(project, r.Name), Ref: r.Ref, Commit: r.Commit})
		}
	}
	return out
}
