package plan

import "towpath.dev/towpath/internal/pipeline/parse"

// trigger reads "trigger" in its three forms (Y020 to Y025, X021).
func trigger(n *parse.Node) Trigger {
	switch {
	case n.IsNull():
		return Trigger{Implied: true}
	case n.Kind == parse.Scalar:
		return Trigger{Disabled: n.Text() == "none"}
	case n.Kind == parse.Sequence:
		return Trigger{Branches: Filter{Include: texts(n)}}
	}
	return Trigger{
		Batch:    truth(n.Get("batch"), false),
		Branches: filter(n.Get("branches")),
		Paths:    filter(n.Get("paths")),
		Tags:     filter(n.Get("tags")),
	}
}

// prTrigger reads "pr" in its three forms (Y026 to Y031, X022).
func prTrigger(n *parse.Node) PRTrigger {
	t := PRTrigger{AutoCancel: true, Drafts: true}
	switch {
	case n.IsNull():
		t.Implied = true
	case n.Kind == parse.Scalar:
		t.Disabled = n.Text() == "none"
	case n.Kind == parse.Sequence:
		t.Branches = Filter{Include: texts(n)}
	default:
		t.AutoCancel = truth(n.Get("autoCancel"), true)
		t.Drafts = truth(n.Get("drafts"), true)
		t.Branches = filter(n.Get("branches"))
		t.Paths = filter(n.Get("paths"))
	}
	return t
}

// filter reads include and exclude lists; a plain list includes.
func filter(n *parse.Node) Filter {
	if n == nil {
		return Filter{}
	}
	if n.Kind == parse.Sequence {
		return Filter{Include: texts(n)}
	}
	return Filter{Include: texts(n.Get("include")), Exclude: texts(n.Get("exclude"))}
}

func schedules(n *parse.Node) []Schedule {
	var result []Schedule
	for _, item := range items(n) {
		result = append(result, Schedule{
			Cron:        item.Get("cron").Text(),
			DisplayName: item.Get("displayName").Text(),
			Branches:    filter(item.Get("branches")),
			Batch:       truth(item.Get("batch"), false),
			Always:      truth(item.Get("always"), false),
		})
	}
	return result
}

func resources(n *parse.Node) Resources {
	var r Resources
	for _, item := range items(n.Get("repositories")) {
		resource := Repository{
			Alias: item.Get("repository").Text(), Type: item.Get("type").Text(), Name: item.Get("name").Text(),
			Ref: item.Get("ref").Text(), Endpoint: item.Get("endpoint").Text(),
		}
		for _, p := range pairs(item.Get("checkoutOptions")) {
			if resource.Checkout == nil {
				resource.Checkout = map[string]string{}
			}
			resource.Checkout[p.Key.Value] = p.Value.Text()
		}
		if t := trigger(item.Get("trigger")); !t.Implied && !t.Disabled {
			resource.Trigger = &t
		}
		r.Repositories = append(r.Repositories, resource)
	}
	for _, item := range items(n.Get("containers")) {
		resource := ContainerResource{Alias: item.Get("container").Text(), Container: containerOf(item)}
		resource.Container.Alias = resource.Alias
		resource.Trigger, resource.Tags = containerTrigger(item.Get("trigger"))
		r.Containers = append(r.Containers, resource)
	}
	for _, item := range items(n.Get("pipelines")) {
		r.Pipelines = append(r.Pipelines, pipelineResource(item))
	}
	for _, item := range items(n.Get("webhooks")) {
		hook := Webhook{Alias: item.Get("webhook").Text(), Connection: item.Get("connection").Text()}
		for _, f := range items(item.Get("filters")) {
			hook.Filters = append(hook.Filters, WebhookFilter{Path: f.Get("path").Text(), Value: f.Get("value").Text()})
		}
		r.Webhooks = append(r.Webhooks, hook)
	}
	r.Feeds = feeds(n.Get("packages"), n.Get("builds"))
	return r
}

// containerTrigger reads the trigger of a container resource; it is "none", "true" or a
// mapping (Y073 to Y076).
func containerTrigger(n *parse.Node) (on bool, tags Filter) {
	if n.IsNull() {
		return false, Filter{}
	}
	if n.Kind == parse.Scalar {
		return truth(n, false), Filter{}
	}
	return truth(n.Get("enabled"), true), filter(n.Get("tags"))
}

// feeds reads the packages and the builds (Y090 to Y103).
func feeds(packages, builds *parse.Node) []Feed {
	var out []Feed
	for _, n := range items(packages) {
		out = append(out, Feed{
			Alias: n.Get("package").Text(), Kind: FeedPackage, Type: n.Get("type").Text(), Connection: n.Get("connection").Text(), Name: n.Get("name").Text(),
			Version: n.Get("version").Text(), Tag: n.Get("tag").Text(), Trigger: truth(n.Get("trigger"), false),
		})
	}
	for _, n := range items(builds) {
		out = append(out, Feed{
			Alias: n.Get("build").Text(), Kind: FeedBuild, Type: n.Get("type").Text(), Connection: n.Get("connection").Text(), Name: n.Get("source").Text(),
			Version: n.Get("version").Text(), Branch: n.Get("branch").Text(), Trigger: truth(n.Get("trigger"), false),
		})
	}
	return out
}

// pipelineResource reads a pipeline resource; its trigger is "none", "true" or a
// mapping (Y077 to Y089).
func pipelineResource(item *parse.Node) PipelineResource {
	resource := PipelineResource{
		Alias: item.Get("pipeline").Text(), Source: item.Get("source").Text(), Project: item.Get("project").Text(),
		Branch: item.Get("branch").Text(), Version: item.Get("version").Text(), Carries: texts(item.Get("tags")),
	}
	trigger := item.Get("trigger")
	if trigger.IsNull() {
		return resource
	}
	if trigger.Kind == parse.Scalar {
		resource.Trigger = truth(trigger, false)
		return resource
	}
	resource.Trigger = truth(trigger.Get("enabled"), true)
	resource.Branches = filter(trigger.Get("branches"))
	resource.Stages = texts(trigger.Get("stages"))
	resource.Tags = texts(trigger.Get("tags"))
	return resource
}
