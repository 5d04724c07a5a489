package validate

import (
	"maps"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// schema is the table of keys, by the IDs Y001 to Y284. It is built anew for
// every validation, which takes microseconds and leaves no state around.
type schema struct {
	root, stage, job, step *shape
	pool, variables        *shape
	container              *shape
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// The plain values.
func text() *shape     { return &shape{scalar: func(string) string { return "" }, null: true} }
func anything() *shape { return &shape{anything: true} }

func nonEmpty() *shape {
	return &shape{scalar: func(text string) string {
		if strings.TrimSpace(text) == "" {
			return "a value is expected here"
		}
		return ""
	}}
}

// boolean accepts the words of X004.
func boolean() *shape {
	return &shape{scalar: func(text string) string {
		switch strings.ToLower(text) {
		case "true", "y", "yes", "on", "false", "n", "no", "off":
			return ""
		}
		return "expected true or false"
	}}
}

// runtimeBoolean also accepts what is known only when the job starts.
func runtimeBoolean() *shape {
	return &shape{scalar: func(text string) string {
		if lateValue(text) {
			return ""
		}
		return boolean().scalar(text)
	}}
}

// number accepts a whole number.
func number() *shape {
	return &shape{scalar: func(text string) string {
		if !wholeNumber(text) {
			return "expected a whole number that is not negative"
		}
		return ""
	}}
}

// runtimeNumber also accepts what is known only when the job starts.
func runtimeNumber() *shape {
	return &shape{scalar: func(text string) string {
		if lateValue(text) {
			return ""
		}
		return number().scalar(text)
	}}
}

func wholeNumber(text string) bool {
	return text != "" && len(text) <= 9 && strings.Trim(text, "0123456789") == ""
}

// lateValue reports whether a text holds a runtime expression or a macro.
func lateValue(text string) bool {
	_, runtime := expr.RuntimeExpression(text)
	return runtime || strings.Contains(text, "$(")
}

func oneOf(words ...string) *shape {
	return &shape{scalar: func(text string) string {
		if slices.Contains(words, text) {
			return ""
		}
		return "expected one of " + strings.Join(words, ", ") + suggest(text, words)
	}}
}

// The compound forms.
func list(item *shape) *shape        { return &shape{items: item} }
func valueOrList(s *shape) *shape    { return &shape{scalar: s.scalar, null: true, items: s} }
func freeMapping(item *shape) *shape { return &shape{values: item, null: true} }

// or adds plain values to a shape, such as "none" for a trigger.
func (s *shape) or(scalar *shape) *shape {
	s.scalar, s.null = scalar.scalar, scalar.null
	return s
}

// keyed makes a mapping of keys.
func keyed(what string, keys map[string]*shape) *shape {
	s := &shape{what: what, keys: make(map[string]*key, len(keys))}
	for name, value := range keys {
		s.keys[name] = &key{shape: value}
	}
	return s
}

// refuse adds keys that cannot be used here.
func (s *shape) refuse(reason string, names ...string) *shape {
	for _, name := range names {
		s.keys[name] = &key{shape: anything(), refused: reason}
	}
	return s
}

// warn adds keys that have no effect here.
func (s *shape) warn(reason string, names ...string) *shape {
	for _, name := range names {
		s.keys[name] = &key{shape: anything(), warning: reason}
	}
	return s
}

func newSchema() *schema {
	s := &schema{}
	s.pool = keyed("a pool", map[string]*shape{
		"name": nonEmpty(), "vmImage": nonEmpty(), "demands": valueOrList(nonEmpty()),
	}).or(nonEmpty())
	s.variables = variablesShape()
	s.container = containerShape()
	s.step = stepShape()
	s.job = s.jobShape()
	s.stage = &shape{what: "a stage", variants: map[string]*shape{"stage": s.stageShape()}}
	s.root = s.rootShape()
	return s
}

// rootShape is Y001 to Y019.
func (s *schema) rootShape() *shape {
	root := keyed("the pipeline", map[string]*shape{
		"name": text(), "appendCommitMessageToRunName": boolean(), "trigger": triggerShape(), "pr": pullRequestShape(),
		"schedules": list(scheduleShape()), "resources": resourcesShape(s.container), "variables": s.variables,
		"lockBehavior": oneOf("runLatest", "sequential"), "pool": s.pool, "stages": list(s.stage), "jobs": list(s.job),
		"steps": list(s.step), "strategy": matrixShape(), "continueOnError": runtimeBoolean(), "container": s.container,
		"services": freeMapping(s.container), "workspace": workspaceShape(),
	})
	root.keys["extends"] = &key{shape: anything()}
	root.keys["schedules"].shape.null = true
	root.refuse("the old form of jobs has been replaced; use jobs", "phases", "queue", "server")
	return root
}

// triggerShape is Y020 to Y025.
func triggerShape() *shape {
	trigger := keyed("a trigger", map[string]*shape{
		"batch": boolean(), "branches": filterShape(), "paths": filterShape(), "tags": filterShape(),
	}).or(oneOf("none"))
	trigger.items = nonEmpty()
	return trigger
}

// pullRequestShape is Y026 to Y031.
func pullRequestShape() *shape {
	pr := keyed("a pull request trigger", map[string]*shape{
		"autoCancel": boolean(), "branches": filterShape(), "paths": filterShape(), "drafts": boolean(),
	}).or(oneOf("none"))
	pr.items = nonEmpty()
	return pr
}

// filterShape is Y032 and Y033; a plain list is an include list.
func filterShape() *shape {
	filter := keyed("a filter", map[string]*shape{"include": valueOrList(nonEmpty()), "exclude": valueOrList(nonEmpty())})
	filter.items = nonEmpty()
	return filter
}

// scheduleShape is Y034 to Y038.
func scheduleShape() *shape {
	return &shape{what: "a schedule", variants: map[string]*shape{"cron": keyed("a schedule", map[string]*shape{
		"cron": nonEmpty(), "displayName": text(), "branches": filterShape(), "batch": boolean(), "always": boolean(),
	})}}
}

// resourcesShape is Y044 to Y109.
func resourcesShape(container *shape) *shape {
	resource := func(first string, keys map[string]*shape) *shape {
		keys[first] = nonEmpty()
		return list(&shape{what: "a resource", variants: map[string]*shape{first: keyed("a "+first+" resource", keys)}})
	}
	containers := map[string]*shape{
		"type": text(), "trigger": anything(), "localImage": boolean(), "mountReadOnly": anything(),
		"azureSubscription": text(), "resourceGroup": text(), "registry": text(), "repository": text(),
	}
	for name, k := range container.keys {
		if name != "alias" {
			containers[name] = k.shape
		}
	}
	resources := keyed("resources", map[string]*shape{
		"repositories": resource("repository", map[string]*shape{
			"type": text(), "name": text(), "ref": text(), "endpoint": text(), "trigger": triggerShape(), "checkoutOptions": anything(),
		}),
		"containers": resource("container", containers),
		"pipelines": resource("pipeline", map[string]*shape{
			"project": text(), "source": text(), "version": text(), "branch": text(), "tags": valueOrList(nonEmpty()), "trigger": anything(),
		}),
	})
	resources.null = true
	return resources.warn("this installation has no such resources", "builds", "packages", "webhooks")
}

// variablesShape is Y114 to Y119.
func variablesShape() *shape {
	variables := freeMapping(anything())
	variables.items = &shape{what: "a variable", variants: map[string]*shape{
		"name":  keyed("a variable", map[string]*shape{"name": nonEmpty(), "value": anything(), "readonly": boolean()}),
		"group": keyed("a variable group", map[string]*shape{"group": nonEmpty()}),
	}}
	return variables
}

// stageShape is Y120 to Y134.
func (s *schema) stageShape() *shape {
	stage := keyed("a stage", map[string]*shape{
		"stage": nonEmpty(), "displayName": text(), "pool": s.pool, "dependsOn": valueOrList(text()), "condition": text(),
		"variables": s.variables, "jobs": list(s.job), "lockBehavior": oneOf("runLatest", "sequential"),
		"trigger": oneOf("manual", "automatic"), "isSkippable": boolean(), "templateContext": anything(),
	})
	return stage.
		warn("checks belong to the environment, where its owner sets them", "checks").
		warn("stages have no groups here", "group")
}

// jobShape is Y137 to Y170.
func (s *schema) jobShape() *shape {
	common := func(what string, more map[string]*shape) *shape {
		keys := map[string]*shape{
			"displayName": text(), "dependsOn": valueOrList(text()), "condition": text(), "continueOnError": runtimeBoolean(),
			"timeoutInMinutes": runtimeNumber(), "cancelTimeoutInMinutes": runtimeNumber(), "variables": s.variables,
			"pool": s.pool, "container": s.container, "services": freeMapping(s.container), "workspace": workspaceShape(),
			"templateContext": anything(),
		}
		maps.Copy(keys, more)
		return keyed(what, keys).warn("a job may use every repository and pool of the project", "uses")
	}
	return &shape{what: "a job", variants: map[string]*shape{
		"job": common("a job", map[string]*shape{
			"job": text(), "strategy": matrixShape(), "steps": &shape{items: s.step, null: true},
		}),
		"deployment": common("a deployment", map[string]*shape{
			"deployment": text(), "environment": environmentShape(), "strategy": s.deploymentShape(),
		}),
	}}
}

// matrixShape is Y192 to Y194.
func matrixShape() *shape {
	matrix := freeMapping(freeMapping(anything()))
	matrix.scalar = func(text string) string {
		if _, ok := expr.RuntimeExpression(text); !ok {
			return "expected a mapping of names to variables, or a runtime expression $[ ]"
		}
		return ""
	}
	return keyed("a job strategy", map[string]*shape{
		"matrix": matrix, "maxParallel": runtimeNumber(), "parallel": runtimeNumber(),
	})
}

func workspaceShape() *shape {
	return keyed("a workspace", map[string]*shape{"clean": oneOf("outputs", "resources", "all")})
}

// containerShape is Y175 to Y188.
func containerShape() *shape {
	return keyed("a container", map[string]*shape{
		"alias": text(), "endpoint": text(), "env": freeMapping(text()), "image": text(), "mapDockerSocket": boolean(),
		"options": text(), "ports": list(text()), "volumes": list(text()), "mountReadOnly": anything(),
	}).or(text())
}

// environmentShape is Y195 to Y200.
func environmentShape() *shape {
	return keyed("an environment", map[string]*shape{
		"name": nonEmpty(), "resourceName": text(), "resourceId": text(), "resourceType": text(), "tags": valueOrList(text()),
	}).or(nonEmpty())
}

// deploymentShape is Y201 to Y224.
func (s *schema) deploymentShape() *shape {
	hook := keyed("a hook", map[string]*shape{"steps": list(s.step), "pool": s.pool})
	strategy := func(more map[string]*shape) *shape {
		keys := map[string]*shape{
			"preDeploy": hook, "deploy": hook, "routeTraffic": hook, "postRouteTraffic": hook,
			"on": keyed("on", map[string]*shape{"failure": hook, "success": hook}),
		}
		maps.Copy(keys, more)
		return keyed("a deployment strategy", keys)
	}
	return keyed("a deployment strategy", map[string]*shape{
		"runOnce": strategy(nil),
		"rolling": strategy(map[string]*shape{"maxParallel": nonEmpty()}),
		"canary":  strategy(map[string]*shape{"increments": list(nonEmpty())}),
	})
}
