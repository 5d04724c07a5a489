package app

import (
	"context"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/source/pull"
)

// reviewApp is the step reviewApp. In a run that is no pull request's there is nothing to make:
// the job deploys to the environment itself.
func (t tasks) reviewApp(ctx context.Context, call pipeline.TaskCall, out func(string)) (map[string]string, error) {
	if call.Job.Pull == 0 && call.Job.Environment != "" {
		out("This run is of no pull request: the job deploys to environment " + call.Job.Environment + " itself, and no review app is made.")
		return map[string]string{}, nil
	}
	env, err := t.deploy.MakeReviewApp(ctx, jobActor(call.Job), out)
	if err != nil {
		return nil, err
	}
	return map[string]string{"environment": env.Name, "namespace": env.Namespace}, nil
}

// reviewed answers deploy which pull requests are open.
type reviewed struct{ pulls *pull.Service }

var _ deploy.Pulls = reviewed{}

// Open reports whether a pull request is open.
func (r reviewed) Open(ctx context.Context, repo string, number int64) (bool, error) {
	p, err := r.pulls.Get(ctx, identity.SystemActor("deploy"), repo, number)
	return err == nil && p.State == pull.Open, err
}
