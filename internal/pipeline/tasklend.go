package pipeline

import (
	"context"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// here are the tasks that the server runs: what opens their connections never leaves it.
var here = []string{"docker", "helmdeploy", "kubernetes", "kubernetesmanifest", "reviewapp"}

// runsHere reports whether the server runs a step.
func runsHere(s *plan.Step) bool {
	name, _, _ := strings.Cut(strings.ToLower(s.Task), "@")
	return slices.Contains(here, name)
}

// forAgent is a job without the steps that the server runs, and without its containers, whose
// registries the cluster opens: what it uses is what the agent has to be lent.
func forAgent(job *plan.Job) *plan.Job {
	away := func(list []plan.Step) []plan.Step {
		kept := slices.DeleteFunc(slices.Clone(list), func(s plan.Step) bool { return runsHere(&s) })
		for i := range kept {
			kept[i].Target = nil
		}
		return kept
	}
	out := *job
	out.Container, out.Services = nil, nil
	out.Steps = away(job.Steps)
	if job.Strategy != nil {
		strategy := *job.Strategy
		strategy.Hooks = slices.Clone(job.Strategy.Hooks)
		for i := range strategy.Hooks {
			strategy.Hooks[i].Steps = away(strategy.Hooks[i].Steps)
		}
		out.Strategy = &strategy
	}
	return &out
}

// taskConnection lends a service connection to a task that runs here: one that a step of the
// job names, that its pipeline may use now, and never for the run of a pull request.
func (s *Service) taskConnection(ctx context.Context, run *runRow, row *jobRow, name string) (lent library.Lent, err error) {
	stage := run.plan.Stage(row.stage)
	want := check.Resource{Kind: check.Connection, Project: run.Project, Name: name}
	if s.library == nil || stage == nil || stage.Job(row.name) == nil {
		return lent, fault.New(fault.NotFound, "There is no service connection %s.", name)
	}
	named := check.OfJob(run.plan, stage.Job(row.name), run.Repo).Resources
	if !slices.ContainsFunc(named, func(r check.Resource) bool { return r.Key() == want.Key() }) {
		return lent, fault.New(fault.Denied, "No step of the job names the service connection %s.", name).
			WithNext("write its name itself into the input: a variable is known too late to be permitted")
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		var l loan
		ok, err := s.lendable(ctx, tx, run, want, &l)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.Denied, "%s.", l.refused)
		}
		if lent, err = s.library.LendConnection(ctx, tx, run.Project, name); err != nil {
			return err
		}
		return s.announceLoan(ctx, tx, run, row, l)
	})
	for _, secret := range lent.Secret {
		s.masker(row.id).Add(secret)
	}
	return lent, err
}
