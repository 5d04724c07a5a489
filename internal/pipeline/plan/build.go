package plan

import (
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// TaskNames tells the canonical names of task inputs and the titles of tasks. It
// answers for the tasks that validation knows, from memory.
type TaskNames interface {
	// TaskName returns the canonical form of a task reference, "Name@Major", or
	// the reference as it is when the task is unknown.
	TaskName(task string) string
	// InputName returns the canonical name of an input that may be written as an
	// alias or in another case (X003), or the name as it is when it is unknown.
	InputName(task, input string) string
	// InputType returns the type of an input, "" when nobody knows it.
	InputType(task, input string) string
	// Title returns the name of a task for people, or "" when it is unknown.
	Title(task string) string
}

// BuildOptions are what a plan depends on beside the tree.
type BuildOptions struct {
	// File is the path of the pipeline file.
	File string
	// Parameters are the declared parameters with their values.
	Parameters []Parameter
	// Tasks names inputs; nil leaves them as they are written.
	Tasks TaskNames
}

// Build makes the plan of an expanded tree that validation has accepted. It
// cannot fail on such a tree; on any other it makes the best of it.
func Build(root *parse.Node, options BuildOptions) *Plan {
	b := &builder{options: options}
	p := &Plan{
		File:                options.File,
		Name:                root.Get("name").Text(),
		AppendCommitMessage: truth(root.Get("appendCommitMessageToRunName"), true),
		LockBehavior:        root.Get("lockBehavior").Text(),
		Trigger:             trigger(root.Get("trigger")),
		PR:                  prTrigger(root.Get("pr")),
		Schedules:           schedules(root.Get("schedules")),
		Resources:           resources(root.Get("resources")),
		Parameters:          options.Parameters,
		Variables:           variables(root.Get("variables")),
	}
	if p.Name == "" {
		p.Name = DefaultRunName
	}
	b.containers, b.pipelines, b.feeds = p.Resources.Containers, p.Resources.Pipelines, p.Resources.Feeds
	b.checkouts = map[string]map[string]string{}
	for _, r := range p.Resources.Repositories {
		b.checkouts[strings.ToLower(r.Alias)] = r.Checkout
	}
	b.pool = pool(root.Get("pool"))
	p.Stages = b.stages(root)
	p.inline()
	return p
}

// builder holds what is inherited from the root.
type builder struct {
	options    BuildOptions
	containers []ContainerResource
	pipelines  []PipelineResource
	feeds      []Feed
	checkouts  map[string]map[string]string // checkoutOptions by the lower-case alias
	pool       Pool
}

// stages writes out the short forms (X007) and the order of the file (X026).
func (b *builder) stages(root *parse.Node) []Stage {
	list := root.Get("stages")
	if list == nil {
		return []Stage{b.implicitStage(root)}
	}
	stages := make([]Stage, 0, len(list.Items))
	for _, n := range list.Items {
		s := Stage{
			Name:         n.Get("stage").Text(),
			Condition:    condition(n),
			Variables:    variables(n.Get("variables")),
			LockBehavior: n.Get("lockBehavior").Text(),
			Group:        strings.Trim(n.Get("group").Text(), "/ "),
			Manual:       n.Get("trigger").Text() == "manual",
			Skippable:    truth(n.Get("isSkippable"), true),
			Pos:          n.Pos,
		}
		s.DisplayName = or(n.Get("displayName").Text(), s.Name)
		switch dependsOn := n.Get("dependsOn"); {
		case dependsOn != nil:
			s.DependsOn = texts(dependsOn)
		case len(stages) > 0:
			s.DependsOn = []string{stages[len(stages)-1].Name}
		}
		s.Jobs = b.jobs(n.Get("jobs"), b.poolOf(n, b.pool))
		stages = append(stages, s)
	}
	return stages
}

func (b *builder) implicitStage(root *parse.Node) Stage {
	s := Stage{Name: ImplicitStage, DisplayName: ImplicitStage, Condition: DefaultCondition, Skippable: true, Pos: root.Pos}
	if jobs := root.Get("jobs"); jobs != nil {
		s.Jobs = b.jobs(jobs, b.pool)
		return s
	}
	job := b.job(root, b.pool)
	job.Name, job.DisplayName, job.Condition, job.DependsOn, job.Variables = ImplicitJob, ImplicitJob, DefaultCondition, nil, nil
	s.Jobs = []Job{job}
	return s
}

func (b *builder) jobs(list *parse.Node, inherited Pool) []Job {
	if list == nil {
		return nil
	}
	jobs := make([]Job, 0, len(list.Items))
	taken := map[string]bool{}
	for _, n := range list.Items {
		jobs = append(jobs, b.job(n, b.poolOf(n, inherited)))
		taken[strings.ToLower(jobs[len(jobs)-1].Name)] = true
	}
	number := 0
	for i := range jobs {
		for jobs[i].Name == "" {
			number++
			if name := ImplicitJob + strconv.Itoa(number); !taken[strings.ToLower(name)] {
				jobs[i].Name = name
			}
		}
		jobs[i].DisplayName = or(jobs[i].DisplayName, jobs[i].Name)
	}
	return jobs
}

// poolOf returns the pool of a stage or job, or the one from outside.
func (b *builder) poolOf(n *parse.Node, inherited Pool) Pool {
	if own := n.Get("pool"); !own.IsNull() {
		return pool(own)
	}
	return inherited
}

func (b *builder) job(n *parse.Node, p Pool) Job {
	job := Job{
		Name:                 or(n.Get("job").Text(), n.Get("deployment").Text()),
		DisplayName:          n.Get("displayName").Text(),
		Kind:                 KindJob,
		DependsOn:            texts(n.Get("dependsOn")),
		Condition:            condition(n),
		Variables:            variables(n.Get("variables")),
		Pool:                 p,
		TimeoutMinutes:       or(n.Get("timeoutInMinutes").Text(), DefaultTimeoutMinutes),
		CancelTimeoutMinutes: or(n.Get("cancelTimeoutInMinutes").Text(), DefaultCancelTimeoutMinutes),
		ContinueOnError:      or(n.Get("continueOnError").Text(), "false"),
		Container:            b.container(n.Get("container")),
		WorkspaceClean:       n.Get("workspace").Get("clean").Text(),
		Pos:                  n.Pos,
	}
	if u := n.Get("uses"); !u.IsNull() {
		job.Uses = &Uses{Repositories: texts(u.Get("repositories")), Pools: texts(u.Get("pools"))}
	}
	for _, service := range pairs(n.Get("services")) {
		if c := b.container(service.Value); c != nil {
			job.Services = append(job.Services, Service{Name: service.Key.Value, Container: *c})
		}
	}
	if n.Get("deployment") != nil {
		job.Kind = KindDeployment
		job.Environment = environment(n.Get("environment"))
		job.Strategy = b.strategy(n.Get("strategy"), p)
		// The pool of a deployment is that of its first hook: nothing else of it asks for one (D001).
		if s := job.Strategy; s != nil && len(s.Hooks) > 0 {
			job.Pool = s.Hooks[0].Pool
		}
		return job
	}
	job.Matrix = matrix(n.Get("strategy"))
	job.Steps = withCheckout(b.steps(n.Get("steps")), p)
	return job
}

// withCheckout adds the implicit checkout of the pipeline's repository, unless
// the steps check out something themselves, or there is no agent.
func withCheckout(steps []Step, p Pool) []Step {
	if p.Server {
		return steps
	}
	for _, s := range steps {
		if s.Kind == StepCheckout {
			return withoutNone(steps)
		}
	}
	checkout := Step{
		ID: "Checkout", DisplayName: "Checkout self", Kind: StepCheckout, Task: TaskCheckout,
		Inputs: map[string]string{"repository": "self"}, Condition: DefaultCondition, Enabled: true, Implicit: true,
	}
	return numbered(append([]Step{checkout}, steps...))
}

// withoutNone drops "checkout: none" and "download: none", which only say that
// there is no implicit step.
func withoutNone(steps []Step) []Step {
	kept := make([]Step, 0, len(steps))
	for _, s := range steps {
		none := s.Kind == StepCheckout && s.Inputs["repository"] == "none" || s.Kind == StepDownload && s.Inputs["source"] == "none"
		if !none {
			kept = append(kept, s)
		}
	}
	return kept
}

// strategy makes the strategy of a deployment with its hooks in order.
func (b *builder) strategy(n *parse.Node, p Pool) *Strategy {
	if n == nil || len(n.Pairs) == 0 {
		return nil
	}
	body := n.Pairs[0].Value
	s := &Strategy{Name: n.Pairs[0].Key.Value, MaxParallel: body.Get("maxParallel").Text()}
	for _, item := range items(body.Get("increments")) {
		if percent, err := strconv.Atoi(item.Text()); err == nil {
			s.Increments = append(s.Increments, percent)
		}
	}
	add := func(name string, hook *parse.Node) {
		if hook != nil {
			own := b.poolOf(hook, p)
			s.Hooks = append(s.Hooks, Hook{Name: name, Pool: own, Steps: b.hookSteps(name, hook, own)})
		}
	}
	for _, name := range []string{HookPreDeploy, HookDeploy, HookRouteTraffic, HookPostRouteTraffic} {
		add(name, body.Get(name))
	}
	add(HookSuccess, body.Get("on").Get("success"))
	add(HookFailure, body.Get("on").Get("failure"))
	return s
}

// hookSteps are the steps of a hook. Deployments check nothing out by themselves;
// the deploy hook downloads the artifacts of the run and of the pipeline resources (X030), where
// there is an agent.
func (b *builder) hookSteps(name string, hook *parse.Node, p Pool) []Step {
	steps := b.steps(hook.Get("steps"))
	if name != HookDeploy || p.Server {
		return withoutNone(steps)
	}
	for _, s := range steps {
		if s.Kind == StepDownload {
			return withoutNone(steps)
		}
	}
	download := Step{
		ID: "Download", DisplayName: "Download artifacts", Kind: StepDownload, Task: TaskDownload,
		Inputs: map[string]string{"source": "current"}, Condition: DefaultCondition, Enabled: true, Implicit: true,
	}
	implicit := []Step{download}
	for _, r := range b.pipelines {
		download.DisplayName = "Download artifacts of " + r.Alias
		download.Inputs = map[string]string{"source": "specific", "pipeline": r.Alias}
		implicit = append(implicit, download)
	}
	return withoutNone(numbered(append(implicit, steps...)))
}

// variables reads both forms of a section.
func variables(n *parse.Node) []Variable {
	var result []Variable
	for _, p := range pairs(n) {
		result = append(result, Variable{Name: p.Key.Value, Value: p.Value.Text(), Pos: p.Key.Pos})
	}
	for _, item := range items(n) {
		result = append(result, Variable{
			Name:     item.Get("name").Text(),
			Value:    item.Get("value").Text(),
			ReadOnly: truth(item.Get("readonly"), false),
			Group:    item.Get("group").Text(),
			Pos:      item.Pos,
		})
	}
	return result
}

func pool(n *parse.Node) Pool {
	if n == nil {
		return Pool{}
	}
	if n.Kind == parse.Scalar {
		if n.Text() == "server" {
			return Pool{Server: true}
		}
		return Pool{Name: n.Text()}
	}
	return Pool{Name: n.Get("name").Text(), VMImage: n.Get("vmImage").Text(), Demands: texts(n.Get("demands"))}
}

func matrix(strategy *parse.Node) *Matrix {
	if strategy.IsNull() {
		return nil
	}
	m := &Matrix{MaxParallel: or(strategy.Get("maxParallel").Text(), "0")}
	switch legs, parallel := strategy.Get("matrix"), strategy.Get("parallel"); {
	case legs != nil && legs.Kind == parse.Scalar:
		m.Expression = legs.Text()
	case legs != nil:
		for _, p := range legs.Pairs {
			m.Legs = append(m.Legs, Leg{Name: p.Key.Value, Variables: variables(p.Value)})
		}
	case parallel != nil:
		m.Slices = true
		m.Legs = sliceLegs(parallel.Text())
	default:
		return nil
	}
	return m
}

// sliceLegs are the legs of "parallel: n" (V009).
func sliceLegs(text string) []Leg {
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil
	}
	n = min(n, maxLegs)
	legs := make([]Leg, n)
	for i := range legs {
		legs[i] = Leg{Name: fmt.Sprintf("Parallel%d", i+1), Variables: []Variable{
			{Name: "System.JobPositionInPhase", Value: strconv.Itoa(i + 1), ReadOnly: true},
			{Name: "System.TotalJobsInPhase", Value: strconv.Itoa(n), ReadOnly: true},
		}}
	}
	return legs
}

// environment reads "name", "name.resource" and the mapping form (D007).
func environment(n *parse.Node) *Environment {
	if n.IsNull() {
		return nil
	}
	e := &Environment{Name: n.Text()}
	if n.Kind == parse.Mapping {
		e.Name = n.Get("name").Text()
		e.Resource = n.Get("resourceName").Text()
		e.ResourceType = n.Get("resourceType").Text()
		for _, tag := range texts(n.Get("tags")) {
			for part := range strings.SplitSeq(tag, ",") {
				e.Tags = append(e.Tags, strings.TrimSpace(part))
			}
		}
	}
	if name, resource, ok := strings.Cut(e.Name, "."); ok && e.Resource == "" {
		e.Name, e.Resource = name, resource
	}
	return e
}

func condition(n *parse.Node) string {
	return or(strings.TrimSpace(n.Get("condition").Text()), DefaultCondition)
}

func truth(n *parse.Node, fallback bool) bool {
	if value, ok := ParseBoolean(n.Text()); ok {
		return value
	}
	return fallback
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// texts returns the text of one value or of every item of a list.
func texts(n *parse.Node) []string {
	if n == nil {
		return nil
	}
	if n.Kind == parse.Scalar {
		if n.Text() == "" {
			return nil
		}
		return []string{n.Text()}
	}
	var result []string
	for _, item := range n.Items {
		if item.Text() != "" {
			result = append(result, item.Text())
		}
	}
	return result
}

func pairs(n *parse.Node) []parse.Pair {
	if n == nil {
		return nil
	}
	return n.Pairs
}

func items(n *parse.Node) []*parse.Node {
	if n == nil {
		return nil
	}
	return n.Items
}
