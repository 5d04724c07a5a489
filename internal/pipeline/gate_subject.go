package pipeline

import (
	"context"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// mainBranch is where a repository resource without a ref is taken from.
const mainBranch = "refs/heads/main"

// gateSubject is a run as the questions of an entry see it.
func (s *Service) gateSubject(ctx context.Context, r *runRow, e *check.Entry) (check.Subject, error) {
	out := check.Subject{
		Project: r.Project, Repo: r.Repo, Ref: r.Ref, Commit: r.Commit, Run: r.Number, Reason: r.Reason, Requester: r.Requester,
		Linked: linked(r),
	}
	var err error
	switch e.Type {
	case check.RequiredTemplate:
		out.Extends, err = s.extends(ctx, r)
	case check.EvaluateArtifact:
		out.Images, err = s.pushed(ctx, r)
	case check.REST:
		o := Order{Repo: r.Repo, File: r.File, Project: r.Project, Ref: r.Ref, Commit: r.Commit, Title: r.Title, Reason: r.Reason, Requester: r.Requester}
		if r.Pull > 0 {
			if o.Pull, err = s.pullOrder(ctx, r.Number); err != nil {
				return out, err
			}
		}
		if _, err = s.define(ctx, &o); err != nil {
			return out, err
		}
		values := plan.Values{}
		for _, v := range s.predefined(o, r.Number) {
			values.Set(v)
		}
		values.Set(plan.Value{Name: "Build.BuildNumber", Text: r.Name})
		values.Set(plan.Value{Name: "System.StageName", Text: e.Stage})
		out.Values = values.Lookup
		if s.library != nil {
			out.Lend = func(ctx context.Context, name string) (string, string, error) {
				return s.lendToCheck(ctx, r.Project, name)
			}
		}
	}
	return out, err
}

// lendToCheck opens a generic connection for a request that a check of its project sends.
func (s *Service) lendToCheck(ctx context.Context, project, name string) (address, authorization string, err error) {
	lent, err := s.library.LendConnection(ctx, s.db, project, name)
	if err != nil {
		return "", "", err
	}
	if lent.Type != library.Generic {
		return "", "", fault.New(fault.Invalid, "the service connection %s is no generic one", lent.Name)
	}
	header := map[string]string{}
	authorize(header, protocol.Connection{Scheme: lent.Scheme, Auth: lent.Auth})
	return lent.URL, header["Authorization"], nil
}

// linked are the repositories that a run is made of, its own one first.
func linked(r *runRow) []check.Branch {
	out := []check.Branch{{Repo: r.Repo, Ref: r.Ref}}
	for i := range r.plan.Resources.Repositories {
		out = append(out, branchOf(r, &r.plan.Resources.Repositories[i]))
	}
	return out
}

func branchOf(r *runRow, res *plan.Repository) check.Branch {
	b := check.Branch{Repo: res.Name, Ref: firstOf(res.Ref, mainBranch)}
	if !strings.Contains(b.Repo, "/") {
		b.Repo = r.Project + "/" + b.Repo
	}
	if !strings.HasPrefix(b.Ref, "refs/") {
		b.Ref = "refs/heads/" + b.Ref
	}
	return b
}

// extends is the template that the file of a run extends itself; nil for none. It is read
// from the commit of the run: the plan does not say where its stages came from.
func (s *Service) extends(ctx context.Context, r *runRow) (*check.Template, error) {
	data, err := s.source.File(ctx, system(), r.Repo, r.Commit, r.File)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, found := parse.Parse(r.File, data, parse.Limits{})
	if found.Failed() || root == nil {
		return nil, nil
	}
	node := root.Get("extends")
	if node == nil || node.Get("template") == nil {
		return nil, nil
	}
	path, alias, other := strings.Cut(node.Get("template").Text(), "@")
	t := &check.Template{Repo: r.Repo, Ref: r.Ref, Path: path}
	if !other || strings.EqualFold(alias, "self") {
		return t, nil
	}
	for i := range r.plan.Resources.Repositories {
		if res := &r.plan.Resources.Repositories[i]; strings.EqualFold(res.Alias, alias) {
			b := branchOf(r, res)
			t.Repo, t.Ref = b.Repo, b.Ref
			return t, nil
		}
	}
	return nil, nil
}

// pushed are the images that the jobs of a run have put into the registry.
func (s *Service) pushed(ctx context.Context, r *runRow) ([]check.Image, error) {
	jobs, err := loadJobs(ctx, s.db, r.Number)
	if err != nil {
		return nil, err
	}
	var out []check.Image
	for _, j := range jobs {
		for _, i := range images(j) {
			name := i.Name
			if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
				name = name[:at]
			}
			out = append(out, check.Image{Repository: strings.TrimPrefix(name, s.opts.Registry+"/"), Digest: i.Digest})
		}
	}
	return out, nil
}
