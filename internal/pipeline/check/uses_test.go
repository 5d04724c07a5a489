package check_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// TestOfListsWhatAJobSaysItUses wants that pools and repositories of `uses` are asked for like those that a
// step names, once each, and that what a job that does not run uses is not.
func TestOfListsWhatAJobSaysItUses(t *testing.T) {
	p := &plan.Plan{Resources: plan.Resources{Repositories: []plan.Repository{
		{Alias: "tools", Name: "shared/tools", Endpoint: "abroad"}, {Alias: "own", Name: "lib"},
	}}}
	uses := func(kind plan.JobKind, repositories, pools []string) plan.Job {
		return plan.Job{Kind: kind, Uses: &plan.Uses{Repositories: repositories, Pools: pools}}
	}
	for _, c := range []struct {
		name    string
		jobs    []plan.Job
		deploys bool
		want    []string
	}{
		{"Y190 repositories", []plan.Job{uses(plan.KindJob, []string{"TOOLS", "own", "self"}, nil)}, true,
			[]string{"repository shop/web", "connection shop/abroad", "repository shared/tools", "repository shop/lib"}},
		{"Y191 pools", []plan.Job{uses(plan.KindJob, nil, []string{"big", "Big"})}, true, []string{"repository shop/web", "pool big"}},
		{"Y165 deployment", []plan.Job{uses(plan.KindDeployment, nil, []string{"big"})}, true, []string{"repository shop/web", "pool big"}},
		{"deployment that does not run", []plan.Job{uses(plan.KindDeployment, nil, []string{"big"})}, false, []string{"repository shop/web"}},
	} {
		got := []string{}
		for _, r := range check.Of(p, &plan.Stage{Jobs: c.jobs}, "shop/web", func(*plan.Job) bool { return c.deploys }).Resources {
			project := r.Project + "/"
			if r.Kind == check.Pool {
				project = ""
			}
			got = append(got, string(r.Kind)+" "+project+r.Name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
