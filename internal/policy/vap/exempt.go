package vap

import (
	"regexp"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// This file writes engine's exemptions in CEL. Both must say the same; a test compares
// them. Where one could only be said approximately, fewer objects are exempt here.

// waiver is the condition under which a rule is not asked of an object.
type waiver struct {
	always bool   // of every object that the rule matches
	direct string // the object itself is exempt; "" for never
	made   string // a workload that is exempt made the object; "" for never
}

// waiverOf puts the exemptions of a rule together. They are alternatives, each by itself.
func waiverOf(r rule.Rule, exemptions []rule.Exemption, o Options) waiver {
	var direct, made []string
	for _, e := range exemptions {
		if e.Assignment != r.Assignment || len(e.References) > 0 && !slices.Contains(e.References, r.Reference) {
			continue
		}
		if !e.Expires.IsZero() && !o.Now.Before(e.Expires) {
			continue
		}
		place, ok := inScope(e.Scope, o)
		if !ok {
			continue
		}
		if len(e.Objects) == 0 {
			if place == "" {
				return waiver{always: true}
			}
			direct = append(direct, place)
			continue
		}
		for _, ref := range e.Objects {
			direct = append(direct, all(place, named(ref)))
			if owns := madeBy(ref); owns != "" {
				made = append(made, all(place, "request.namespace == "+quote(ref.Namespace), owns))
			}
		}
	}
	return waiver{direct: anyOf(direct), made: anyOf(made)}
}

// inScope writes the condition that a request is within a scope, "" for always; false when
// no request to the cluster is.
func inScope(s rule.Scope, o Options) (string, bool) {
	if engine.Holds(s, rule.Place{Cluster: o.Cluster}, true) {
		return "", true
	}
	var names []string
	for _, p := range o.Places {
		if p.Cluster == o.Cluster && p.Namespace != "" && engine.Holds(s, p, false) {
			names = append(names, p.Namespace)
		}
	}
	slices.Sort(names)
	// A Namespace has itself as its namespace in the API server's words; it belongs to
	// no project.
	return `request.kind.kind != "Namespace" && request.namespace in ` + quoted(slices.Compact(names)), len(names) > 0
}

// named writes the condition that a reference names the object itself.
func named(o rule.ObjectRef) string {
	out := []string{
		"request.namespace == " + quote(o.Namespace),
		"request.kind.group == " + quote(o.Group), "request.kind.kind == " + quote(o.Kind),
	}
	if o.Name != "" {
		out = append(out, "(object == null ? oldObject : object).metadata.?name.orValue(\"\") == "+quote(o.Name))
	}
	return all(out...)
}

// controllers are the kinds that make objects, with the name that their controller works
// under.
var controllers = map[string]string{
	"Deployment": "deployment", "ReplicaSet": "replicaset", "StatefulSet": "statefulset", "DaemonSet": "daemon-set",
	"Job": "job", "CronJob": "cronjob", "ReplicationController": "replication",
}

// madeBy writes the condition that a workload made the object, as far as it can be
// believed: when it is made, from the controller only; later, when the object said so
// before as well. "" when objects of the kind make nothing.
func madeBy(o rule.ObjectRef) string {
	kinds := []string{o.Kind}
	switch {
	case o.Group == "apps" && o.Kind == "Deployment":
		kinds = append(kinds, "ReplicaSet")
	case o.Group == "batch" && o.Kind == "CronJob":
		kinds = append(kinds, "Job")
	}
	var create []string
	for _, kind := range kinds {
		name, ok := controllers[kind]
		if !ok {
			return ""
		}
		users := quoted([]string{"system:kube-controller-manager", "system:serviceaccount:kube-system:" + name + "-controller"})
		create = append(create, all("request.userInfo.username in "+users, owned("object", kind, o)))
	}
	owns := func(object string) string {
		var out []string
		for _, kind := range kinds {
			out = append(out, owned(object, kind, o))
		}
		return anyOf(out)
	}
	return anyOf([]string{
		all(`request.operation == "CREATE"`, anyOf(create)),
		all(`request.operation == "UPDATE"`, owns("oldObject"), owns("object")),
		all(`request.operation == "DELETE"`, owns("oldObject")),
	})
}

// owned writes the condition that the controller of an object is of a kind and is the
// workload, or bears its name and what its controller adds.
func owned(object, kind string, o rule.ObjectRef) string {
	group := `c.apiVersion.startsWith(` + quote(o.Group+"/") + `)`
	if o.Group == "" {
		group = `!c.apiVersion.contains("/")`
	}
	conditions := []string{"c.kind == " + quote(kind), group}
	switch {
	case kind == o.Kind:
		if o.Name != "" {
			conditions = append(conditions, "c.name == "+quote(o.Name))
		}
	case kind == "ReplicaSet":
		hash := object + `.metadata.?labels[?"pod-template-hash"].orValue("")`
		conditions = append(conditions, hash+` != ""`)
		if o.Name != "" {
			conditions = append(conditions, "c.name == "+quote(o.Name+"-")+" + "+hash)
		} else {
			conditions = append(conditions, `c.name.endsWith("-" + `+hash+`)`)
		}
	default: // a Job of a CronJob
		prefix := "^.*"
		if o.Name != "" {
			prefix = "^" + regexp.QuoteMeta(o.Name)
		}
		conditions = append(conditions, "c.name.matches("+quote(prefix+"-[0-9]+$")+")")
	}
	first := object + `.metadata.?ownerReferences.orValue([]).filter(c, c.?controller.orValue(false))`
	return "[" + first + "].exists(l, size(l) > 0 && [l[0]].exists(c, " + strings.Join(conditions, " && ") + "))"
}

// guard puts a waiver before an expression. What is exempt as the product of a workload is
// so but for ephemeral containers, which are in no workload's template: the message tells
// where the violations are.
func (w waiver) guard(expression, message string) string {
	if w.direct == "" && w.made == "" {
		return expression
	}
	out := make([]string, 0, 3)
	if w.direct != "" {
		out = append(out, w.direct)
	}
	if w.made != "" {
		elsewhere := `!(` + message + `).split("; ").exists(m, m.startsWith("spec.ephemeralContainers"))`
		pathed := `(request.?subResource.orValue("") != "ephemeralcontainers" || (` + message + `).matches("^[a-z][A-Za-z0-9_.-]*(\\[[^\\] ]*\\][A-Za-z0-9_.-]*)*: "))`
		out = append(out, all("("+w.made+")", pathed, elsewhere))
	}
	return anyOf(append([]string{"(" + expression + ")"}, out...))
}

// all joins conditions with and; empty ones hold.
func all(conditions ...string) string { return join(" && ", conditions) }

// anyOf joins conditions with or; "" for none.
func anyOf(conditions []string) string { return join(" || ", conditions) }

func join(with string, conditions []string) string {
	var out []string
	for _, c := range conditions {
		if c != "" {
			out = append(out, c)
		}
	}
	if len(out) < 2 {
		return strings.Join(out, "")
	}
	for i, c := range out {
		out[i] = "(" + c + ")"
	}
	return strings.Join(out, with)
}
