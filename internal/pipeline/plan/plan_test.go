package plan_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/plan"
)

func TestTriggerX021(t *testing.T) {
	filter := func(include, exclude string) plan.Filter {
		return plan.Filter{Include: strings.Fields(include), Exclude: strings.Fields(exclude)}
	}
	tests := []struct {
		name    string
		trigger plan.Trigger
		ref     string
		paths   string
		want    bool
	}{
		{"implied", plan.Trigger{Implied: true}, "refs/heads/any/thing", "a", true},
		{"none", plan.Trigger{Disabled: true}, "main", "a", false},
		{"short and full names", plan.Trigger{Branches: filter("refs/heads/main", "")}, "main", "a", true},
		{"full ref", plan.Trigger{Branches: filter("main", "")}, "refs/heads/main", "", true},
		{"not included", plan.Trigger{Branches: filter("main", "")}, "dev", "", false},
		{"case matters", plan.Trigger{Branches: filter("main", "")}, "Main", "", false},
		{"star crosses slashes", plan.Trigger{Branches: filter("releases/*", "")}, "releases/1/hotfix", "", true},
		{"star in the middle", plan.Trigger{Branches: filter("*/rc-*", "")}, "releases/rc-1", "", true},
		{"question mark", plan.Trigger{Branches: filter("v?", "")}, "v12", "", false},
		{"exclude wins", plan.Trigger{Branches: filter("*", "old/*")}, "old/x", "", false},
		{"exclude alone", plan.Trigger{Branches: filter("", "dev")}, "main", "", true},
		{"path included", plan.Trigger{Paths: filter("src", "")}, "main", "src/a.go", true},
		{"path with slash", plan.Trigger{Paths: filter("/src/", "")}, "main", "src/a.go", true},
		{"path is no prefix", plan.Trigger{Paths: filter("src", "")}, "main", "src2/a.go", false},
		{"path excluded", plan.Trigger{Paths: filter("", "docs")}, "main", "docs/a.md", false},
		{"one path counts", plan.Trigger{Paths: filter("", "docs")}, "main", "docs/a.md src/b.go", true},
		{"deeper include wins", plan.Trigger{Paths: filter("docs/api", "docs")}, "main", "docs/api/x", true},
		{"deeper exclude wins", plan.Trigger{Paths: filter("docs", "docs/api")}, "main", "docs/api/x", false},
		{"root and exclude", plan.Trigger{Paths: filter("*", "docs/*")}, "main", "docs/x", false},
		{"root includes", plan.Trigger{Paths: filter("/", "")}, "main", "x", true},
		{"extension anywhere", plan.Trigger{Paths: filter("**/*.go", "")}, "main", "a/b/c.go", true},
		{"extension elsewhere", plan.Trigger{Paths: filter("**/*.go", "")}, "main", "a/b/c.md", false},
		{"paths unknown", plan.Trigger{Paths: filter("src", "")}, "main", "", true},
		{"tag without filter", plan.Trigger{Implied: true}, "refs/tags/v1", "", false},
		{"tag", plan.Trigger{Tags: filter("v*", "v0*")}, "refs/tags/v1", "", true},
		{"tag excluded", plan.Trigger{Tags: filter("v*", "v0*")}, "refs/tags/v0.1", "", false},
		{"tag among branches", plan.Trigger{Branches: filter("refs/tags/v*", "")}, "refs/tags/v1", "", true},
		{"tag ignores paths", plan.Trigger{Tags: filter("*", ""), Paths: filter("src", "")}, "refs/tags/v1", "docs/a", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.trigger.Matches(tt.ref, strings.Fields(tt.paths)); got != tt.want {
				t.Errorf("Matches(%q, %q) = %t", tt.ref, tt.paths, got)
			}
		})
	}
}

func TestPRTriggerX022(t *testing.T) {
	pr := plan.PRTrigger{Branches: plan.Filter{Include: []string{"main"}}}
	if !pr.Matches("refs/heads/main", nil, false) || pr.Matches("main", nil, true) || pr.Matches("dev", nil, false) {
		t.Error("drafts and branches must be filtered")
	}
}

func TestSkipsCI(t *testing.T) {
	for message, want := range map[string]bool{
		"fix [skip ci]": true, "[CI SKIP] x": true, "a\n\n***NO_CI***": true, "skip-checks: true": true, "[skip azp]": true,
		"skip ci": false, "": false, "[skip": false,
	} {
		if got := plan.SkipsCI(message); got != want {
			t.Errorf("SkipsCI(%q) = %t", message, got)
		}
	}
}

func TestHooksD001(t *testing.T) {
	strategy := func(name string, increments []int, hooks ...string) *plan.Strategy {
		s := &plan.Strategy{Name: name, Increments: increments}
		for _, hook := range hooks {
			s.Hooks = append(s.Hooks, plan.Hook{Name: hook})
		}
		return s
	}
	all := []string{plan.HookPreDeploy, plan.HookDeploy, plan.HookRouteTraffic, plan.HookPostRouteTraffic, plan.HookSuccess, plan.HookFailure}
	tests := []struct {
		name     string
		strategy *plan.Strategy
		fails    string // the hook whose first round fails
		result   plan.Result
		want     string
	}{
		{"D001 all", strategy(plan.RunOnce, nil, all...), "", plan.Failed, "preDeploy deploy routeTraffic postRouteTraffic on.success"},
		{"D001 deploy alone", strategy(plan.RunOnce, nil, plan.HookDeploy), "", plan.Failed, "deploy"},
		{"D006 failure", strategy(plan.RunOnce, nil, all...), "deploy", plan.Failed, "preDeploy deploy on.failure"},
		{"D006 failure without hook", strategy(plan.RunOnce, nil, "deploy", "routeTraffic"), "deploy", plan.Failed, "deploy"},
		{"D006 failure in on.success", strategy(plan.RunOnce, nil, all...), "on.success", plan.Failed, "preDeploy deploy routeTraffic postRouteTraffic on.success"},
		{"cancelled", strategy(plan.RunOnce, nil, all...), "deploy", plan.Canceled, "preDeploy deploy"},
		{"D003 canary", strategy(plan.Canary, []int{10, 50}, "preDeploy", "deploy", "postRouteTraffic", "on.success"), "", plan.Failed,
			"preDeploy deploy:10 postRouteTraffic:10 deploy:50 postRouteTraffic:50 on.success"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ended []plan.HookResult
			var names []string
			for len(ended) < 20 {
				run, ok := tt.strategy.Next(ended)
				if !ok {
					break
				}
				name := run.Hook
				if run.Increment > 0 {
					name += ":" + string(rune('0'+run.Increment/10)) + "0"
				}
				names = append(names, name)
				result := plan.Succeeded
				if run.Hook == tt.fails {
					result = tt.result
				}
				ended = append(ended, plan.HookResult{HookRun: run, Result: result})
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOutputNamesV006V007(t *testing.T) {
	deployment := func(name, resource string, hooks ...string) *plan.Job {
		j := &plan.Job{Name: "Dep", Kind: plan.KindDeployment, Environment: &plan.Environment{Name: "e", Resource: resource}, Strategy: &plan.Strategy{Name: name}}
		for _, hook := range hooks {
			j.Strategy.Hooks = append(j.Strategy.Hooks, plan.Hook{Name: hook})
		}
		return j
	}
	tests := []struct {
		name string
		job  *plan.Job
		leg  string
		run  plan.HookRun
		want string
	}{
		{"ordinary", &plan.Job{Name: "A"}, "", plan.HookRun{}, "step.v"},
		{"V006 leg", &plan.Job{Name: "A"}, "linux", plan.HookRun{}, "linux.step.v"},
		{"V007 deploy alone", deployment(plan.RunOnce, "", "deploy"), "", plan.HookRun{Hook: "deploy"}, "Dep.step.v"},
		{"V007 several hooks", deployment(plan.RunOnce, "", "preDeploy", "deploy"), "", plan.HookRun{Hook: "deploy"}, "deploy.step.v"},
		{"V007 resource", deployment(plan.RunOnce, "vm", "deploy"), "", plan.HookRun{Hook: "deploy"}, "deploy_vm.step.v"},
		{"V007 machine", deployment(plan.Rolling, "", "deploy"), "web-1", plan.HookRun{Hook: "deploy"}, "deploy_web-1.step.v"},
		{"V007 machine, closing hook", deployment(plan.RunOnce, "", "deploy"), "web-1", plan.HookRun{Hook: "on.failure"}, "failure_web-1.step.v"},
		{"V007 canary", deployment(plan.Canary, "", "deploy"), "", plan.HookRun{Hook: "deploy", Increment: 25}, "deploy_25.step.v"},
	}
	for _, tt := range tests {
		if got := tt.job.OutputName(tt.leg, tt.run, "step", "v"); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestStepRunsX091X110X112X113(t *testing.T) {
	values := plan.Values{}
	values.Set(plan.Value{Name: "Agent.JobStatus", Text: "Failed"})
	tests := []struct {
		condition string
		job       plan.Result
		want      bool
	}{
		{"", plan.Succeeded, true}, {"", plan.Failed, false}, {"", plan.SucceededWithIssues, true}, {"", plan.Canceled, false},
		{"failed()", plan.Failed, true}, {"failed()", plan.Canceled, false}, {"canceled()", plan.Canceled, true},
		{"succeededOrFailed()", plan.Failed, true}, {"succeededOrFailed()", plan.Canceled, false}, {"always()", plan.Canceled, true},
		{"eq(variables['agent.jobstatus'], 'failed')", plan.Failed, true}, {"false", plan.Succeeded, false},
	}
	for _, tt := range tests {
		if got, err := plan.StepRuns(tt.condition, tt.job, values); err != nil || got != tt.want {
			t.Errorf("StepRuns(%q, %s) = %t, %v", tt.condition, tt.job, got, err)
		}
	}
	if _, err := plan.StepRuns("gt(1, 'x')", plan.Succeeded, values); err == nil {
		t.Error("X113: a condition that cannot be evaluated must be an error")
	}
}

func TestVariablesX047X090X093(t *testing.T) {
	counts := map[string]int64{}
	rt := plan.Runtime{
		StartTime: time.Date(2026, 3, 9, 7, 5, 4, 0, time.UTC),
		Group: func(name string) ([]plan.Value, error) {
			if name != "g" {
				return nil, errors.New("there is no such group; create it in the project's library")
			}
			return []plan.Value{{Name: "token", Text: "s3cret", Secret: true}}, nil
		},
		Counter: func(prefix string, seed int64) (int64, error) {
			n, ok := counts[prefix]
			if !ok {
				n = seed - 1
			}
			counts[prefix] = n + 1
			return n + 1, nil
		},
	}
	p := &plan.Plan{
		Variables: []plan.Variable{
			{Name: "a", Value: "root"}, {Group: "g"}, {Name: "n", Value: "$[ counter(format('{0:yyyyMM}', pipeline.startTime), 100) ]"},
			{Name: "b", Value: "$[ format('{0}-{1}', variables.a, variables.n) ]"}, {Name: "fixed", Value: "1", ReadOnly: true},
			{Name: "Build.Id", Value: "overwritten"},
		},
		Stages: []plan.Stage{
			{Name: "A", Jobs: []plan.Job{{Name: "J"}}},
			{Name: "B", DependsOn: []string{"A"}, Variables: []plan.Variable{{Name: "a", Value: "stage"}, {Name: "s", Value: "$[ stageDependencies.A.J.outputs['set.v'] ]"}},
				Jobs: []plan.Job{{Name: "J", Variables: []plan.Variable{{Name: "a", Value: "job"}, {Name: "seen", Value: "$[ variables.s ]"}}}}},
		},
	}
	predefined := plan.Values{}
	predefined.Set(plan.Value{Name: "Build.Id", Text: "7", ReadOnly: true})
	root, err := p.RootVariables(predefined, rt)
	if err != nil {
		t.Fatal(err)
	}
	state := plan.State{Variables: root, Stages: map[string]plan.StageState{"A": {Status: plan.Completed, Result: plan.Succeeded,
		Jobs: map[string]plan.JobState{"J": {Status: plan.Completed, Result: plan.Succeeded, Outputs: map[string]string{"set.v": "from A"}}}}}}
	stage, err := p.StageVariables(state, p.Stage("b"), rt)
	if err != nil {
		t.Fatal(err)
	}
	state.Stages["B"] = plan.StageState{Status: plan.Running, Variables: stage}
	leg := &plan.Leg{Name: "x", Variables: []plan.Variable{{Name: "leg", Value: "L"}}}
	job, err := p.JobVariables(state, p.Stage("B"), p.Stage("B").Job("j"), leg, rt)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range job.Sorted() {
		got[v.Name] = v.Text
	}
	want := map[string]string{"a": "job", "token": "s3cret", "n": "100", "b": "root-100", "fixed": "1", "s": "from A", "seen": "from A", "leg": "L", "Build.Id": "7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables differ (-want +got):\n%s", diff)
	}
	if token, _ := job.Get("TOKEN"); !token.Secret {
		t.Error("a secret of a group must stay secret")
	}
	p.Variables = []plan.Variable{{Group: "none"}}
	if _, err := p.RootVariables(nil, rt); err == nil || !strings.Contains(err.Error(), "create it") {
		t.Errorf("an unknown group must be an error with a next step: %v", err)
	}
}

func TestLegsV009(t *testing.T) {
	stage := plan.Stage{Name: "S", Jobs: []plan.Job{
		{Name: "Gen"},
		{Name: "M", DependsOn: []string{"Gen"}, TimeoutMinutes: "$[ variables.t ]", CancelTimeoutMinutes: "5", ContinueOnError: "$[ eq(1, 1) ]",
			Matrix: &plan.Matrix{Expression: "$[ dependencies.Gen.outputs['g.legs'] ]", MaxParallel: "2"}},
	}}
	p := &plan.Plan{Stages: []plan.Stage{stage}}
	state := plan.State{Stages: map[string]plan.StageState{"S": {Status: plan.Running, Jobs: map[string]plan.JobState{
		"Gen": {Status: plan.Completed, Result: plan.Succeeded, Outputs: map[string]string{"g.legs": `{"b": {"os": "x", "n": 1.50, "y": true}, "a": {}}`}}}}}}
	values := plan.Values{}
	values.Set(plan.Value{Name: "t", Text: "30"})
	legs, err := p.Legs(state, &p.Stages[0], p.Stages[0].Job("M"), values)
	want := []plan.Leg{{Name: "b", Variables: []plan.Variable{{Name: "os", Value: "x"}, {Name: "n", Value: "1.5"}, {Name: "y", Value: "True"}}}, {Name: "a"}}
	if diff := cmp.Diff(want, legs); err != nil || diff != "" {
		t.Errorf("legs differ: %v\n%s", err, diff)
	}
	settings, err := p.JobSettings(state, &p.Stages[0], p.Stages[0].Job("M"), values)
	if diff := cmp.Diff(plan.Settings{Timeout: 30 * time.Minute, CancelTimeout: 5 * time.Minute, ContinueOnError: true, MaxParallel: 2}, settings); err != nil || diff != "" {
		t.Errorf("settings differ: %v\n%s", err, diff)
	}
	for _, text := range []string{"[]", `{"a": 1}`, `{"1a": {}}`, `{"a": {"x": {}}}`, `{"a": {`, "text"} {
		if _, err := plan.ParseMatrix(text); err == nil {
			t.Errorf("ParseMatrix(%q) must be an error", text)
		}
	}
	if legs, err := plan.ParseMatrix(""); err != nil || len(legs) != 0 {
		t.Errorf("an empty text has no legs: %v, %v", legs, err)
	}
}

func TestCombineV001(t *testing.T) {
	tests := []struct {
		parts []plan.Result
		want  plan.Result
	}{
		{nil, plan.Succeeded},
		{[]plan.Result{plan.Skipped, plan.Skipped}, plan.Skipped},
		{[]plan.Result{plan.Skipped, plan.Succeeded}, plan.Succeeded},
		{[]plan.Result{plan.Succeeded, plan.SucceededWithIssues}, plan.SucceededWithIssues},
		{[]plan.Result{plan.SucceededWithIssues, plan.Canceled}, plan.Canceled},
		{[]plan.Result{plan.Canceled, plan.Failed}, plan.Failed},
	}
	for _, tt := range tests {
		if got := plan.Combine(tt.parts...); got != tt.want {
			t.Errorf("Combine(%v) = %s, want %s", tt.parts, got, tt.want)
		}
	}
}

func TestManualStageX028(t *testing.T) {
	p := &plan.Plan{Stages: []plan.Stage{{Name: "A", Manual: true, Condition: plan.DefaultCondition}}}
	state := plan.State{Stages: map[string]plan.StageState{}}
	if got := p.Next(state); len(got) != 0 {
		t.Errorf("a manual stage starts by itself: %v", got)
	}
	state.Stages["A"] = plan.StageState{Requested: true}
	if got := p.Next(state); len(got) != 1 || got[0].Action != plan.Start {
		t.Errorf("a requested stage does not start: %v", got)
	}
	state = plan.State{Canceled: true}
	if got := p.Next(state); len(got) != 1 || got[0].Action != plan.Cancel {
		t.Errorf("a waiting stage must be cancelled with the run: %v", got)
	}
}
