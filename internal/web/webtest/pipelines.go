package webtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// NightlyID is the number of the second pipeline of the fixture, FlakyTest that of its flaky test.
const (
	NightlyID = 7
	FlakyTest = 4711
)

// Definitions are two: that of azure-pipelines.yml, and a disabled one.
func (p Pipeline) Definitions(ctx context.Context, a identity.Actor, project string) ([]pipeline.Definition, error) {
	if err := p.f.Require(ctx, a, project, identity.Read); err != nil || p.f.Empty {
		return nil, err
	}
	last := pipeline.Run{Number: Long, Project: "shop", Repo: "shop/shop", File: pipeline.File, Title: "A change", Status: plan.Completed, Result: plan.Failed, Queued: Now.Add(-time.Hour), Started: Now.Add(-time.Hour), Finished: Now.Add(-30 * time.Minute)}
	return []pipeline.Definition{
		{ID: NightlyID, Name: "nightly <b>", Folder: `\team`, Repo: "shop/shop", File: "ci/nightly.yml", Disabled: true},
		{ID: 1, Name: "shop", Folder: pipeline.Root, Repo: "shop/shop", File: pipeline.File, Last: &last},
	}, nil
}

// Definition finds one of them.
func (p Pipeline) Definition(ctx context.Context, a identity.Actor, project, name string) (pipeline.Definition, error) {
	all, err := p.Definitions(ctx, a, project)
	if err != nil {
		return pipeline.Definition{}, err
	}
	for _, d := range all {
		if strconv.FormatInt(d.ID, 10) == name || d.Name == name || d.Key() == name {
			return d, nil
		}
	}
	return pipeline.Definition{}, fault.New(fault.NotFound, "There is no pipeline %q.", name)
}

// CreateDefinition notes the pipeline.
func (p Pipeline) CreateDefinition(ctx context.Context, a identity.Actor, project string, d pipeline.Definition) (pipeline.Definition, error) {
	return d, noteAs(ctx, p.f, a, project, "pipeline "+d.Name+" of "+d.Repo+"/"+d.File)
}

// ChangeDefinition notes whether it is disabled.
func (p Pipeline) ChangeDefinition(ctx context.Context, a identity.Actor, project, name string, c pipeline.DefinitionChange) (pipeline.Definition, error) {
	d, err := p.Definition(ctx, a, project, name)
	if err != nil {
		return d, err
	}
	if c.Disabled != nil {
		d.Disabled = *c.Disabled
	}
	return d, noteAs(ctx, p.f, a, project, fmt.Sprintf("pipeline %s disabled %v", name, d.Disabled))
}

// RemoveDefinition notes the pipeline.
func (p Pipeline) RemoveDefinition(ctx context.Context, a identity.Actor, project, name string) error {
	return noteAs(ctx, p.f, a, project, "delete pipeline "+name)
}

// AgentsOf is the one agent with a job of its own.
func (p Pipeline) AgentsOf(ctx context.Context, a identity.Actor, _ string) ([]pipeline.Agent, error) {
	list, err := p.Agents(ctx, a)
	for i := range list {
		list[i].Pool, list[i].Capabilities = pool.Default, pool.Capabilities{"git": "/usr/bin/git", "Agent.OS": "Linux"}
		list[i].Jobs = []pool.Busy{{Run: Long, Job: "Build.Go"}}
	}
	return list, err
}

// Retention is one rule of the project and one of the installation.
func (p Pipeline) Retention(ctx context.Context, a identity.Actor, project string) (own, installation []pipeline.RetentionRule, err error) {
	return []pipeline.RetentionRule{{Branch: "main", Days: 365, Keep: 20}}, []pipeline.RetentionRule{{Days: 30, Keep: 3}}, p.f.Require(ctx, a, project, identity.Read)
}

// SetRetention notes the rules.
func (p Pipeline) SetRetention(ctx context.Context, a identity.Actor, project string, rules []pipeline.RetentionRule) error {
	var said []string
	for _, r := range rules {
		said = append(said, fmt.Sprintf("%s %s %d %d", r.Repo, r.Branch, r.Days, r.Keep))
	}
	return noteAs(ctx, p.f, a, project, "retention "+strings.Join(said, "; "))
}

// Expired is nothing.
func (p Pipeline) Expired(ctx context.Context, a identity.Actor, project string) ([]pipeline.Run, error) {
	return nil, p.f.Require(ctx, a, project, identity.Read)
}

// Kept is the run Long.
func (p Pipeline) Kept(ctx context.Context, a identity.Actor, project string) ([]pipeline.KeptRun, error) {
	if err := p.f.Require(ctx, a, project, identity.Read); err != nil || p.f.Empty {
		return nil, err
	}
	return []pipeline.KeptRun{{Run: Long, Name: "20261123.1", Repo: "shop/shop", File: pipeline.File, Why: "the release <script>alert(1)</script>", By: "user:ada", Created: Now.Add(-time.Hour)}}, nil
}

// Keep notes the reason.
func (p Pipeline) Keep(ctx context.Context, a identity.Actor, n int64, why string) error {
	return noteAs(ctx, p.f, a, "shop", fmt.Sprintf("keep %d %s", n, why))
}

// Unkeep notes the run.
func (p Pipeline) Unkeep(ctx context.Context, a identity.Actor, n int64) error {
	return noteAs(ctx, p.f, a, "shop", fmt.Sprintf("unkeep %d", n))
}

// TestCases are a flaky test, and one that passes.
func (p Pipeline) TestCases(_ context.Context, _ identity.Actor, f pipeline.TestFilter) ([]pipeline.TestCase, error) {
	all := []pipeline.TestCase{
		{ID: FlakyTest, Suite: "Cart", Name: "pays <b>", Runs: 20, Failed: 5, Outcome: "Failed", Run: Long, Flaky: true, Commit: Newest, Seconds: 1.5, Last: Now.Add(-time.Hour)},
		{ID: 4712, Suite: "Cart", Name: "adds", Runs: 20, Outcome: "Passed", Run: Long, Seconds: 0.02, Last: Now.Add(-time.Hour)},
	}
	if f.Flaky {
		return all[:1], nil
	}
	return all, nil
}

// TestHistory is four outcomes.
func (p Pipeline) TestHistory(_ context.Context, _ identity.Actor, _, _, _ string, _ int) ([]pipeline.Outcome, error) {
	out := []pipeline.Outcome{}
	for i, o := range []string{"Failed", "Passed", "Skipped", "Passed"} {
		out = append(out, pipeline.Outcome{Run: Long, Attempt: 4 - i, Ref: "refs/heads/main", Commit: Newest, Outcome: o, Seconds: float64(i), Queued: Now.Add(-time.Duration(i) * time.Hour)})
	}
	return out, nil
}

// Pools are the fixture's pools of agents.
type Pools struct{ f *Fixture }

// Pools are the two that are always there.
func (p Pools) Pools(context.Context, identity.Actor) ([]pool.Pool, error) {
	return []pool.Pool{{Name: pool.Default, Kind: pool.Host, Agents: 2, Online: 1, Running: 1, Queued: 3}, {Name: pool.Containers, Kind: pool.Kubernetes}}, nil
}

// Create notes the pool.
func (p Pools) Create(ctx context.Context, a identity.Actor, name string, kind pool.Kind, _ pool.Settings) (pool.Pool, error) {
	return pool.Pool{Name: name, Kind: kind}, noteAs(ctx, p.f, a, "shop", "pool "+name+" "+string(kind))
}

// EditAgent notes whether the agent is enabled.
func (p Pools) EditAgent(ctx context.Context, a identity.Actor, name string, e pool.Edit) (pool.Agent, error) {
	return pool.Agent{Name: name}, noteAs(ctx, p.f, a, "shop", fmt.Sprintf("agent %s enabled %v", name, *e.Enabled))
}
