package webtest

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Long is the run whose step "Unit tests" printed LongLines lines.
const (
	Long      = 2036
	LongLines = 100_000
)

// Pipeline is the fixture's runs.
type Pipeline struct{ f *Fixture }

func runs() []pipeline.Run {
	run := func(n int64, hash, title, branch, who string, ago, took time.Duration, result plan.Result) pipeline.Run {
		r := pipeline.Run{
			Number: n, Name: fmt.Sprintf("20261123.%d", n-2030), Project: "shop", Repo: "shop/shop", File: "azure-pipelines.yml", Ref: "refs/heads/" + branch, Commit: hash,
			Title: title, Reason: "IndividualCI", Requester: who, Status: plan.Completed, Result: result, Queued: Now.Add(-ago), Started: Now.Add(-ago + time.Second), Finished: Now.Add(-ago + took),
		}
		if result == "" {
			r.Status, r.Finished = plan.Running, time.Time{}
		}
		if result == plan.Failed {
			r.Why = "1 of 312 tests failed in Build / cart"
		}
		return r
	}
	return []pipeline.Run{
		run(2041, Newest, "Price rounding for multi-currency carts", "main", "ada", 2*time.Minute, 0, ""),
		run(2040, "a41c9d2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f", "Price rounding, first try", "price-rounding", "ada", 11*time.Minute, 48*time.Second, plan.Failed),
		run(2038, "b51c9d2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f", "Bump grpc to 1.78", "deps/grpc", "bob", 70*time.Minute, 58*time.Second, plan.Succeeded),
		run(2037, Second, "Checkout: retry on 503 from pricing", "main", "bob", 80*time.Minute, 40*time.Second, plan.Canceled),
		run(2036, Third, "Catalog search by tag", "main", "bob", 2*time.Hour, 72*time.Second, plan.Succeeded),
	}
}

func (p Pipeline) find(ctx context.Context, a identity.Actor, n int64, role identity.Role) (pipeline.Run, error) {
	for _, r := range runs() {
		if r.Number == n {
			return r, p.f.Require(ctx, a, "shop", role)
		}
	}
	return pipeline.Run{}, fault.New(fault.NotFound, "There is no run %d.", n).WithNext("list the runs with: towpath run list")
}

// Runs lists them.
func (p Pipeline) Runs(ctx context.Context, a identity.Actor, f pipeline.Filter) ([]pipeline.Run, error) {
	if err := p.f.Require(ctx, a, f.Project, identity.Read); err != nil || p.f.Empty {
		return nil, err
	}
	var out []pipeline.Run
	for _, r := range runs() {
		if (f.Status == "" || r.Status == f.Status) && (f.Result == "" || r.Result == f.Result) && (f.Ref == "" || r.Ref == f.Ref) && (f.Before == 0 || r.Number < f.Before) {
			out = append(out, r)
		}
	}
	return out, nil
}

// Show returns a run of four stages.
func (p Pipeline) Show(ctx context.Context, a identity.Actor, n int64) (*pipeline.Detail, error) {
	r, err := p.find(ctx, a, n, identity.Read)
	if err != nil {
		return nil, err
	}
	at := r.Started
	steps := func(failed bool, names ...string) []pipeline.Step {
		var out []pipeline.Step
		for i, name := range names {
			s := pipeline.Step{Number: i + 1, DisplayName: name, Task: "Bash@3", Status: plan.Completed, Result: plan.Succeeded, Started: at, Finished: at.Add(time.Duration(700+900*i) * time.Millisecond), Lines: 13}
			if failed && i >= 2 {
				s.Result = plan.Failed
			}
			if failed && i > 2 {
				s.Result, s.Lines, s.Started, s.Finished = plan.Skipped, 0, time.Time{}, time.Time{}
			}
			out = append(out, s)
		}
		return out
	}
	failed := r.Result == plan.Failed
	result := plan.Succeeded
	if failed {
		result = plan.Failed
	}
	waiting := pipeline.Stage{Name: "Image", DisplayName: "Image", Group: "Supply chain", DependsOn: []string{"Build"}, Status: plan.Pending, Jobs: []pipeline.Job{{
		Path: "Image.push", Name: "push", DisplayName: "push", Status: plan.Pending, Steps: []pipeline.Step{{Number: 1, DisplayName: "Build and push", Status: plan.Pending}},
	}}}
	deploy := pipeline.Stage{Name: "Deploy", DisplayName: "Deploy production", DependsOn: []string{"Image", "Scan"}, Status: plan.Pending, Skippable: true}
	scan := pipeline.Stage{Name: "Scan", DisplayName: "Scan <script>alert(1)</script>", Group: "Supply chain", DependsOn: []string{"Build"}, Status: plan.Pending, Manual: true, Skippable: true}
	if failed {
		waiting.Status, waiting.Result, deploy.Status, deploy.Result = plan.Completed, plan.Skipped, plan.Completed, plan.Skipped
	}
	d := &pipeline.Detail{Run: r, Stages: []pipeline.Stage{
		{Name: "Verify", DisplayName: "Verify", Status: plan.Completed, Result: plan.Succeeded, Started: at, Finished: at.Add(9 * time.Second), Jobs: []pipeline.Job{{
			Path: "Verify.lint", Name: "lint", DisplayName: "lint", Status: plan.Completed, Result: plan.Succeeded, Attempt: 1, Queued: r.Queued, Started: at, Finished: at.Add(9 * time.Second), Steps: steps(false, "Checkout", "Vet", "Secret scan"),
		}}},
		{Name: "Build", DisplayName: "Build", DependsOn: []string{"Verify"}, Attempt: attempts(r), Status: plan.Completed, Result: result, Started: at.Add(9 * time.Second), Finished: at.Add(40 * time.Second), Jobs: []pipeline.Job{{
			Path: "Build.cart", Name: "cart", DisplayName: "cart", Status: plan.Completed, Result: result, Agent: "host-1", Attempt: attempts(r), Queued: at.Add(5 * time.Second), Started: at.Add(9 * time.Second), Finished: at.Add(40 * time.Second),
			Steps: steps(failed, "Checkout", "Restore cache", "Unit tests", "Publish test results", "Build binary"),
		}}},
		waiting, scan, deploy,
	}, Tags: []string{"nightly"}, Attachments: attachments(), Coverage: coverage(), Artifacts: []protocol.Artifact{{Name: "drop", Job: "Build.cart", Files: 3, Bytes: 8_400_000, Digest: Digest}}, Tests: p.sets(r)}
	if r.Result == plan.Succeeded {
		// Its deployment went from an agent to the server and on.
		hooks := steps(false, "Say what is to come", "Wait a moment", "Package and deploy Helm charts", "Smoke test")
		for i, name := range []string{plan.HookPreDeploy, plan.HookDeploy, plan.HookRouteTraffic, plan.HookRouteTraffic} {
			hooks[i].Hook = name
		}
		d.Stages[4].Status, d.Stages[4].Result, d.Stages[4].Started, d.Stages[4].Finished = plan.Completed, plan.Succeeded, at.Add(40*time.Second), at.Add(44*time.Second)
		d.Stages[4].Jobs = []pipeline.Job{{
			Path: "Deploy.shop", Name: "shop", DisplayName: "shop", Kind: plan.KindDeployment, Environment: "production", Status: plan.Completed, Result: plan.Succeeded, Agent: "host-2", Attempt: 1,
			Queued: at.Add(40 * time.Second), Started: at.Add(40 * time.Second), Finished: at.Add(44 * time.Second), Steps: hooks,
			Turns: []pipeline.Turn{
				{Agent: "host-1", Rounds: []plan.HookResult{{HookRun: plan.HookRun{Hook: plan.HookPreDeploy}, Result: plan.Succeeded}}},
				{Agent: "server", Rounds: []plan.HookResult{{HookRun: plan.HookRun{Hook: plan.HookDeploy}, Result: plan.Succeeded}}},
			},
		}}
	}
	if r.Status == plan.Running {
		job := &d.Stages[1].Jobs[0]
		d.Stages[1].Status, d.Stages[1].Result, d.Stages[1].Finished = plan.Running, "", time.Time{}
		job.Status, job.Result, job.Finished = plan.Running, "", time.Time{}
		s := &job.Steps[2]
		s.Status, s.Result, s.Finished = plan.Running, "", time.Time{}
		for i := 3; i < len(job.Steps); i++ {
			job.Steps[i] = pipeline.Step{Number: i + 1, DisplayName: job.Steps[i].DisplayName, Status: plan.Pending}
		}
	}
	return d, nil
}

func (p Pipeline) sets(r pipeline.Run) []pipeline.TestRun {
	t := pipeline.TestRun{ID: "1", Job: "Build.cart", Title: "Unit tests", Total: 312, Passed: 312, Seconds: 22.6, Digest: Digest}
	if r.Result == plan.Failed {
		t.Passed, t.Failed = 311, 1
		t.Failures = []pipeline.Failure{{Suite: "shop/cart/price", Name: "TestPriceRounding/JPY_has_no_minor_unit", Message: "Round(JPY 129.5) = 129, want 130 <b>", Details: "rounding_test.go:61: Round(JPY 129.5) = 129, want 130", Seconds: 0.01}}
	}
	return []pipeline.TestRun{t}
}

// Tests are those of Show.
func (p Pipeline) Tests(ctx context.Context, a identity.Actor, n int64) ([]pipeline.TestRun, error) {
	r, err := p.find(ctx, a, n, identity.Read)
	return p.sets(r), err
}

// Repeat needs the write role, and notes what was asked for.
func (p Pipeline) Repeat(ctx context.Context, a identity.Actor, n int64, part pipeline.Part) (pipeline.Run, error) {
	if err := p.note(ctx, a, n, fmt.Sprintf("repeat %+v", part)); err != nil {
		return pipeline.Run{}, err
	}
	d, err := p.Show(ctx, a, n)
	if err != nil {
		return pipeline.Run{}, err
	}
	return d.Run, nil
}

// MayEnter needs the maintain role.
func (p Pipeline) MayEnter(ctx context.Context, a identity.Actor, n int64) error {
	_, err := p.find(ctx, a, n, identity.Maintain)
	return err
}

// OpenTerminal finds no job that is kept; it needs the maintain role.
func (p Pipeline) OpenTerminal(ctx context.Context, a identity.Actor, n int64, _ string, _ protocol.Size) (*pipeline.Terminal, error) {
	if err := p.MayEnter(ctx, a, n); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.NotFound, "No job of run %d is kept.", n)
}

// Release notes the job; it needs the write role.
func (p Pipeline) Release(ctx context.Context, a identity.Actor, n int64, job string) error {
	return p.note(ctx, a, n, "release "+job)
}

// RerunKept needs the write role.
func (p Pipeline) RerunKept(ctx context.Context, a identity.Actor, n int64, _ time.Duration) (pipeline.Run, error) {
	if _, err := p.find(ctx, a, n, identity.Write); err != nil {
		return pipeline.Run{}, err
	}
	return runs()[0], nil
}

// Cancel notes the run; it needs the write role.
func (p Pipeline) Cancel(ctx context.Context, a identity.Actor, n int64) error {
	if _, err := p.find(ctx, a, n, identity.Write); err != nil {
		return err
	}
	p.f.Lock()
	defer p.f.Unlock()
	p.f.Canceled = append(p.f.Canceled, n)
	return nil
}

// Log is what every step printed, but for that of Long.
var Log = []string{
	"##[section]Starting: Unit tests", "##[command]/usr/bin/bash --noprofile --norc script.sh", "##[group] go test ./...", "ok   shop/cart/basket          0.214s  coverage: 88.1% of statements",
	"\x1b[32mok\x1b[0m   shop/cart/store           0.131s  coverage: 79.4% of statements", "=== RUN   TestPriceRounding/JPY_has_no_minor_unit",
	"    rounding_test.go:61: Round(JPY 129.5) = 129, want 130", "\x1b[1;31m--- FAIL: TestPriceRounding (0.00s)\x1b[0m", "FAIL <script>alert(1)</script>", "ok   shop/cart/transport       0.342s  coverage: 84.0% of statements",
	"##[endgroup]", "##[warning] 1 of 312 tests failed; results published as run/2040/tests", "##[error] Bash exited with code 1",
}

// ReadLog returns lines of Log, or numbered ones for Long.
func (p Pipeline) ReadLog(ctx context.Context, a identity.Actor, n int64, job string, step int, from int64, limit int) (pipeline.LogPage, error) {
	if _, err := p.find(ctx, a, n, identity.Read); err != nil {
		return pipeline.LogPage{}, err
	}
	if !strings.Contains(job, ".") || step > 5 {
		return pipeline.LogPage{}, fault.New(fault.NotFound, "Run %d has no job %q.", n, job)
	}
	total := int64(len(Log))
	if n == Long {
		total = LongLines
	}
	out := pipeline.LogPage{Total: total, Over: n != 2041}
	for i := from; i < min(from+int64(limit), total); i++ {
		text := longLine(i)
		if n != Long {
			text = Log[i]
		}
		out.Lines = append(out.Lines, pipeline.Line{N: i, Time: Now.Add(time.Duration(i) * 137 * time.Millisecond), Text: text})
	}
	return out, nil
}

// longLine is a line of the log of Long: a group of 100 lines at the start of every thousand.
func longLine(i int64) string {
	text := fmt.Sprintf("line %d of a long log", i+1)
	switch i % 1000 {
	case 0:
		return "##[group]" + text
	case 99:
		return "##[endgroup]" + text
	}
	return text
}

// Follow adds three lines to a running step, then waits for the reader to leave.
func (p Pipeline) Follow(ctx context.Context, _ identity.Actor, n int64, _ string, _ int, from int64, send func([]pipeline.Line) error) error {
	if n != 2041 {
		return nil
	}
	for i := from; i < int64(len(Log))+3; i++ {
		if err := send([]pipeline.Line{{N: i, Time: Now, Text: fmt.Sprintf("a line that came later, number %d", i+1)}}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// OpenArtifact returns some bytes.
func (p Pipeline) OpenArtifact(ctx context.Context, a identity.Actor, n int64, name string) (protocol.Artifact, io.ReadCloser, error) {
	if _, err := p.find(ctx, a, n, identity.Read); err != nil {
		return protocol.Artifact{}, nil, err
	}
	return protocol.Artifact{Name: name, Digest: Digest}, io.NopCloser(strings.NewReader("a tar")), nil
}

// Changed wakes at the next Append.
func (p Pipeline) Changed(int64) <-chan struct{} { return Logbook(p).Changed() }

// Agents lists one.
func (p Pipeline) Agents(context.Context, identity.Actor) ([]pipeline.Agent, error) {
	return []pipeline.Agent{{Name: "host-1", OS: "linux", Arch: "amd64", Version: "v0.1.0", Slots: 2, Enabled: true, Online: true, Seen: Now.Add(-4 * time.Second), Running: 1}}, nil
}

// Machines lists those of production: one that is there, one that went away, one that never
// came.
func (p Pipeline) Machines(_ context.Context, _ identity.Actor, project, environment string) ([]pipeline.Machine, error) {
	if project != "shop" || environment != "production" {
		return []pipeline.Machine{}, nil
	}
	made := Now.Add(-48 * time.Hour)
	machine := func(name string, tags ...string) pipeline.Machine {
		return pipeline.Machine{ID: "01M8MACHINE0000000000" + name, Project: project, Environment: environment, Name: name, Tags: tags, Creator: "user:ada", Created: made}
	}
	there, away, never := machine("edge-1", "edge", "eu"), machine("edge-2", "edge"), machine("edge-3")
	there.OS, there.Arch, there.Online, there.Registered, there.Seen = "linux", "arm64", true, made, Now.Add(-8*time.Second)
	away.OS, away.Arch, away.Registered, away.Seen = "linux", "arm64", made, Now.Add(-2*time.Hour)
	return []pipeline.Machine{there, away, never}, nil
}

// Deployments lists a rolling deployment that stopped at a machine.
func (p Pipeline) Deployments(_ context.Context, _ identity.Actor, project, environment, machine string, _ int) ([]pipeline.Deployment, error) {
	out := []pipeline.Deployment{}
	if project != "shop" || environment != "production" {
		return out, nil
	}
	for _, d := range []pipeline.Deployment{
		{Run: 2040, Job: "Deploy.edge.edge-1", Resource: "edge-1", Status: string(plan.Completed), Result: string(plan.Succeeded)},
		{Run: 2040, Job: "Deploy.edge.edge-2", Resource: "edge-2", Status: string(plan.Completed), Result: string(plan.Failed), Why: "the target edge-2 of the environment production is offline"},
	} {
		if machine == "" || machine == d.Resource {
			out = append(out, d)
		}
	}
	return out, nil
}
