package validate

import (
	"regexp"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// Features are the parts of the language that an installation can carry out
// beyond the core. What is not set is reported where it is used.
type Features struct {
	// Containers runs jobs and steps in containers, and services beside them.
	Containers bool
	// Canary and Rolling are the deployment strategies beside runOnce.
	Canary, Rolling bool
	// Agentless runs jobs on the server ("pool: server").
	Agentless bool
	// PowerShell runs powershell and pwsh steps.
	PowerShell bool
	// PullRequests, Schedules and PipelineTriggers start runs by "pr", "schedules" and
	// the triggers of resources.
	PullRequests, Schedules, PipelineTriggers bool
	// Matrix runs a job several times.
	Matrix bool
}

// AllFeatures is everything that the language knows.
func AllFeatures() Features {
	return Features{
		Containers: true, Canary: true, Rolling: true, Agentless: true, PowerShell: true,
		PullRequests: true, Schedules: true, PipelineTriggers: true, Matrix: true,
	}
}

// Question is what validation is asked.
type Question uint8

// The questions. What is no pipeline at all is an error under each of them.
const (
	// Runnable asks whether this installation can run the file: what it cannot
	// do is an error.
	Runnable Question = iota
	// Correct asks whether the file is a pipeline wherever it runs: what this
	// installation cannot do is a warning, and so is a required input that only
	// the task itself would miss. A task that nobody knows is an error.
	Correct
	// Expandable is Correct for files that use tasks of the marketplace: a task
	// that is unknown here is a warning.
	Expandable
)

// Options are what validation depends on beside the tree.
type Options struct {
	// Tasks are the tasks that exist; nil stands for [Builtin].
	Tasks Catalog
	// Features are the optional abilities of the installation.
	Features Features
	// Question decides how severe it is that something cannot run here.
	Question Question
}

// Validate checks an expanded tree.
func Validate(root *parse.Node, options Options) parse.Diagnostics {
	if options.Tasks == nil {
		options.Tasks = Builtin()
	}
	v := &validator{options: options, schema: Published()}
	if root == nil {
		return nil
	}
	v.pipeline(root)
	v.found.Sort()
	return v.found
}

// validator collects the findings of one tree.
type validator struct {
	options Options
	schema  *Schema
	found   parse.Diagnostics
	// agentless says that the steps which are checked stand in a job without an agent.
	agentless bool
	// outer is the pool of those jobs that name none; nil when nothing does.
	outer *parse.Node
	// aliases are those of the repositories, the packages and the builds of the resources, in lower
	// case, by "repository", "package" and "build".
	aliases map[string][]string
}

// pipeline checks the root.
func (v *validator) pipeline(root *parse.Node) {
	v.check(root, &Definition{Ref: "pipeline"}, "")
	v.rootForm(root)
	v.variables(root.Get("variables"))
	v.outer = root.Get("pool")
	v.aliases = map[string][]string{}
	for list, key := range map[string]string{"repositories": "repository", "packages": "package", "builds": "build"} {
		for _, r := range listed(root.Get("resources").Get(list)) {
			v.aliases[key] = append(v.aliases[key], strings.ToLower(r.Get(key).Text()))
		}
	}
	switch {
	case root.Get("stages") != nil:
		v.stages(root.Get("stages"))
	case root.Get("jobs") != nil:
		v.jobs(root.Get("jobs"))
	case root.Get("steps") != nil:
		v.jobBody(root, false)
	}
	v.resources(root)
}

// bodyKeys are the keys of which exactly one must stand at the root.
var bodyKeys = []string{"stages", "jobs", "steps"}

// rootForm checks that the root has one body, and the keys of an implicit job
// only beside "steps" (X007).
func (v *validator) rootForm(root *parse.Node) {
	var present []string
	for _, key := range bodyKeys {
		if root.Get(key) != nil {
			present = append(present, key)
		}
	}
	switch {
	case len(present) == 0 && !v.found.Failed():
		v.found.Errorf(root.Pos, "X007", "A pipeline needs one of the keys stages, jobs, steps or extends")
	case len(present) > 1:
		v.found.Errorf(root.Get(present[1]).Pos, "X007", "'%s' cannot stand beside '%s'; a pipeline has one of stages, jobs and steps", present[1], present[0])
	}
	if slices.Contains(present, "steps") {
		return
	}
	for _, p := range root.Pairs {
		if slices.Contains([]string{"strategy", "continueOnError", "container", "services", "workspace"}, p.Key.Value) {
			v.found.Errorf(p.Key.Pos, "X007", "'%s' belongs to a job; at the root it stands only beside 'steps'", p.Key.Value)
		}
	}
}

var referenceName = regexp.MustCompile(`^[-_A-Za-z0-9]+$`)

// name checks a reference name (X008).
func (v *validator) name(n *parse.Node, what string) {
	if text := n.Text(); text != "" && !referenceName.MatchString(text) {
		v.found.Errorf(n.Pos, "X008", "The %s name '%s' is not valid; use letters, digits, '-' and '_'", what, text)
	}
}

// unit is a stage or job as far as the graph is concerned.
type unit struct {
	node      *parse.Node
	name      string
	dependsOn []*parse.Node
}

// stages checks the stages of a pipeline.
func (v *validator) stages(list *parse.Node) {
	if list.Kind != parse.Sequence || len(list.Items) == 0 {
		v.found.Errorf(list.Pos, "Y001", "The pipeline has no stages; add one, or use jobs or steps")
		return
	}
	var units []unit
	previous, outer := "", v.outer
	for _, stage := range list.Items {
		if stage.Kind != parse.Mapping {
			continue
		}
		if v.outer = outer; !stage.Get("pool").IsNull() {
			v.outer = stage.Get("pool")
		}
		name := stage.Get("stage")
		v.name(name, "stage")
		u := unit{node: stage, name: name.Text()}
		if dependsOn := stage.Get("dependsOn"); dependsOn != nil {
			u.dependsOn = listed(dependsOn)
		} else if previous != "" {
			u.dependsOn = []*parse.Node{parse.NewString(stage.Pos, previous)}
		}
		previous = u.name
		units = append(units, u)
		v.condition(stage.Get("condition"), placeStage)
		v.variables(stage.Get("variables"))
		if jobs := stage.Get("jobs"); jobs == nil || len(jobs.Items) == 0 {
			v.found.Errorf(stage.Pos, "Y127", "The stage '%s' has no jobs; add at least one", u.name)
		} else {
			v.jobs(jobs)
		}
	}
	v.graph("stage", units)
}

// jobs checks the jobs of a stage.
func (v *validator) jobs(list *parse.Node) {
	if list.Kind != parse.Sequence || len(list.Items) == 0 {
		v.found.Errorf(list.Pos, "Y013", "There are no jobs; add at least one")
		return
	}
	var units []unit
	for _, job := range list.Items {
		if job.Kind != parse.Mapping {
			continue
		}
		name := job.Get("job")
		if name == nil {
			name = job.Get("deployment")
		}
		v.name(name, "job")
		units = append(units, unit{node: job, name: name.Text(), dependsOn: listed(job.Get("dependsOn"))})
		v.condition(job.Get("condition"), placeJob)
		v.variables(job.Get("variables"))
		v.jobBody(job, job.Get("deployment") != nil)
	}
	v.graph("job", units)
}

// listed returns the items of a node that is one value or a list of them.
func listed(n *parse.Node) []*parse.Node {
	switch {
	case n.IsNull():
		return nil
	case n.Kind == parse.Scalar:
		return []*parse.Node{n}
	}
	return n.Items
}

// jobBody checks what is inside a job, or inside the root as an implicit job.
func (v *validator) jobBody(job *parse.Node, deployment bool) {
	for _, key := range []string{"container", "services"} {
		if n := job.Get(key); !n.IsNull() && !v.options.Features.Containers {
			v.unable(n, key, "jobs run directly on the agent; leave it out and put the tools on the agent")
		}
	}
	pool := job.Get("pool")
	v.agentless = withoutAgent(pool)
	if v.agentless && !v.options.Features.Agentless {
		v.unable(pool, "pool: server", "use a pool with agents")
	}
	for _, key := range []string{"continueOnError", "timeoutInMinutes", "cancelTimeoutInMinutes"} {
		v.runtimeValue(job.Get(key), placeRuntime)
	}
	v.uses(job.Get("uses").Get("repositories"))
	if deployment {
		v.deployment(job)
		return
	}
	v.matrix(job.Get("strategy"))
	v.steps(job.Get("steps"))
}

// unable reports something that the language has and this installation has not.
func (v *validator) unable(n *parse.Node, what, next string) {
	v.lacking(n, "", "'%s' is not supported by this installation; %s", what, next)
}

// lacking reports what an installation that lacks something cannot run.
func (v *validator) lacking(n *parse.Node, rule, format string, args ...any) {
	if v.options.Question == Runnable {
		v.found.Errorf(n.Pos, rule, format, args...)
		return
	}
	v.found.Warnf(n.Pos, rule, format, args...)
}

// legName is what a matrix leg may be called (X008).
var legName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

// matrix checks the fan-out of a job.
func (v *validator) matrix(strategy *parse.Node) {
	if strategy.IsNull() {
		return
	}
	if !v.options.Features.Matrix {
		v.unable(strategy, "strategy", "write the jobs out, or use ${{ each }}")
	}
	matrix, parallel := strategy.Get("matrix"), strategy.Get("parallel")
	if matrix != nil && parallel != nil {
		v.found.Errorf(parallel.Pos, "Y194", "'parallel' cannot stand beside 'matrix'; keep one of the two")
	}
	v.runtimeValue(strategy.Get("maxParallel"), placeRuntime)
	if matrix == nil {
		return
	}
	v.runtimeValue(matrix, placeRuntime)
	for _, leg := range matrix.Pairs {
		if dotted := strings.ReplaceAll(leg.Key.Value, ".", "_"); dotted != leg.Key.Value && legName.MatchString(dotted) {
			v.found.Warnf(leg.Key.Pos, "X008", "The matrix name '%s' has a dot, so no expression can name what its jobs put out without brackets", leg.Key.Value)
		} else if !legName.MatchString(leg.Key.Value) {
			v.found.Errorf(leg.Key.Pos, "X008", "The matrix name '%s' is not valid; use letters, digits and '_', start with a letter, at most 100 characters", leg.Key.Value)
		}
		v.variables(leg.Value)
	}
}

// deployment checks what only deployment jobs have.
func (v *validator) deployment(job *parse.Node) {
	if job.Get("environment").IsNull() {
		v.found.Errorf(job.Pos, "Y162", "The deployment '%s' needs the key 'environment'", job.Get("deployment").Text())
	} else if environment := job.Get("environment"); environment.Kind == parse.Mapping && environment.Get("name").Text() == "" {
		v.found.Errorf(environment.Pos, "Y196", "The environment needs the key 'name'")
	}
	strategy := job.Get("strategy")
	if strategy.IsNull() {
		v.found.Errorf(job.Pos, "Y163", "The deployment '%s' needs the key 'strategy' with runOnce, rolling or canary", job.Get("deployment").Text())
		return
	}
	if len(strategy.Pairs) > 1 {
		v.found.Errorf(strategy.Pairs[1].Key.Pos, "Y163", "A deployment has one strategy; remove '%s'", strategy.Pairs[1].Key.Value)
	}
	for _, p := range strategy.Pairs {
		switch {
		case p.Key.Value == "canary" && !v.options.Features.Canary:
			v.unable(p.Key, p.Key.Value, "use runOnce")
		case p.Key.Value == "rolling" && !v.options.Features.Rolling:
			v.unable(p.Key, p.Key.Value, "use runOnce")
		case p.Value.Get("deploy") == nil:
			v.found.Errorf(p.Value.Pos, "Y205", "The strategy '%s' needs the hook 'deploy'", p.Key.Value)
		}
		v.increments(p.Value.Get("increments"))
		v.batch(p.Value.Get("maxParallel"))
		v.hooks(p.Value, job.Get("pool"))
		v.hooks(p.Value.Get("on"), job.Get("pool"))
	}
}

func (v *validator) increments(n *parse.Node) {
	for _, item := range listed(n) {
		if digits := strings.TrimSpace(item.Text()); !wholeNumber(digits) || len(digits) > 3 || len(digits) == 3 && digits > "100" {
			v.found.Errorf(item.Pos, "Y215", "The increment '%s' is no percentage between 0 and 100", item.Text())
		}
	}
}

// batch checks the maxParallel of a rolling deployment, unless only a run knows it.
func (v *validator) batch(n *parse.Node) {
	text := strings.TrimSpace(n.Text())
	if text == "" || strings.Contains(text, "$") {
		return
	}
	number, percent := strings.CutSuffix(text, "%")
	if digits := strings.TrimLeft(strings.TrimSpace(number), "0"); digits == "" || !wholeNumber(digits) || len(digits) > 9 || percent && (len(digits) > 3 || len(digits) == 3 && digits > "100") {
		v.found.Errorf(n.Pos, "Y209", "maxParallel is '%s'; it is a number of machines from 1, or a percentage from 1%% to 100%%", text)
	}
}

// hooks checks the steps of the hooks in a mapping; each has its pool, or that of the job.
func (v *validator) hooks(n, job *parse.Node) {
	for _, hook := range pairs(n) {
		if hook.Value.Kind != parse.Mapping || hook.Value.Get("steps") == nil {
			continue // "on", "increments" and the like
		}
		pool := hook.Value.Get("pool")
		for _, outer := range []*parse.Node{job, v.outer} {
			if pool.IsNull() {
				pool = outer
			}
		}
		v.agentless = withoutAgent(pool)
		if v.agentless && !v.options.Features.Agentless {
			v.unable(pool, "pool: server", "use a pool with agents")
		}
		v.steps(hook.Value.Get("steps"))
	}
}

// withoutAgent reports whether a pool is the server itself.
func withoutAgent(pool *parse.Node) bool {
	return !pool.IsNull() && pool.Kind == parse.Scalar && pool.Value == "server"
}

// resources checks the resources that have no effect here.
func (v *validator) resources(root *parse.Node) {
	resources := root.Get("resources")
	if pr := root.Get("pr"); pr != nil && pr.Text() != "none" && !v.options.Features.PullRequests {
		v.found.Warnf(pr.Pos, "Y007", "'pr' has no effect: this installation starts no runs for pull requests from the file")
	}
	if schedules := root.Get("schedules"); schedules != nil && !v.options.Features.Schedules {
		v.found.Warnf(schedules.Pos, "Y008", "'schedules' has no effect: this installation starts no runs by time")
	}
	seen := map[string]parse.Pos{}
	if hooks := resources.Get("webhooks"); !hooks.IsNull() && !v.options.Features.PipelineTriggers {
		v.found.Warnf(hooks.Pos, "Y048", "'webhooks' has no effect: this installation starts no runs by calls from outside")
	}
	for _, list := range pairs(resources) {
		for _, item := range list.Value.Items {
			v.resource(list.Key.Value, item, seen)
		}
	}
}

func (v *validator) resource(kind string, item *parse.Node, seen map[string]parse.Pos) {
	if item.Kind != parse.Mapping || len(item.Pairs) == 0 {
		return
	}
	alias := item.Pairs[0].Value
	v.name(alias, "resource")
	key := strings.ToLower(alias.Text())
	if first, ok := seen[key]; ok {
		v.found.Errorf(alias.Pos, "T016", "The resource '%s' is already defined at %s", alias.Text(), first)
	}
	seen[key] = alias.Pos
	if source := item.Get("type"); kind == "repositories" && slices.Contains([]string{"tfvc", "tfsversioncontrol"}, strings.ToLower(source.Text())) {
		v.found.Errorf(source.Pos, "Y056", "Team Foundation version control (TFVC) is not supported; repositories are Git repositories")
	}
	v.feed(kind, item)
	trigger := item.Get("trigger")
	if kind == "pipelines" && !trigger.IsNull() && trigger.Text() != "none" && !v.options.Features.PipelineTriggers {
		v.found.Warnf(trigger.Pos, "Y083", "'trigger' of a pipeline resource has no effect: this installation starts no runs when another pipeline completes")
	}
	if kind == "repositories" && !trigger.IsNull() && trigger.Text() != "none" && !v.options.Features.PipelineTriggers {
		v.found.Warnf(trigger.Pos, "Y052", "'trigger' of a repository resource has no effect: only pushes to the pipeline's own repository start runs")
	}
}

// pairs returns the entries of a mapping that may be missing.
func pairs(n *parse.Node) []parse.Pair {
	if n == nil {
		return nil
	}
	return n.Pairs
}
