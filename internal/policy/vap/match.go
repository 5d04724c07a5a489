package vap

import (
	"cmp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// nameLabel is set on every namespace by the API server, to the namespace's name; nobody
// can set it to anything else.
const nameLabel = "kubernetes.io/metadata.name"

// target is what a rule matches, in the API server's words. Rules with equal targets share
// a policy.
type target struct {
	Constraints admissionv1.MatchResources
	Conditions  []admissionv1.MatchCondition
	Actions     []admissionv1.ValidationAction
}

// targetOf works out what a rule matches in a cluster; why says in a sentence that it can
// match nothing there, or that the API server cannot match as it asks.
func targetOf(r rule.Rule, o Options) (t target, why string) {
	reach := engine.ReachOf(r, o.Cluster, o.Places)
	rules, kinds := resourceRules(r, reach, o)
	if len(rules) == 0 {
		return target{}, "the cluster serves none of the kinds that it matches"
	}
	if kinds[schema.GroupKind{Kind: "Namespace"}] && len(reach.Excluded) > 0 {
		return target{}, "it judges namespaces, and a scope is taken out of it: the API server would leave out the namespaces as well"
	}
	equivalent := admissionv1.Equivalent
	t.Constraints = admissionv1.MatchResources{ResourceRules: rules, MatchPolicy: &equivalent, ObjectSelector: &metav1.LabelSelector{}}
	if r.Match.LabelSelector != nil {
		// The API server matches when the new or the old object does; so does the engine.
		t.Constraints.ObjectSelector = r.Match.LabelSelector.DeepCopy()
	}
	in, notIn, ok := namespaces(r, reach)
	if !ok {
		return target{}, "no namespace of the cluster is in its scope"
	}
	t.Constraints.NamespaceSelector = &metav1.LabelSelector{}
	add := func(op metav1.LabelSelectorOperator, names []string) {
		if len(names) > 0 {
			t.Constraints.NamespaceSelector.MatchExpressions = append(t.Constraints.NamespaceSelector.MatchExpressions,
				metav1.LabelSelectorRequirement{Key: nameLabel, Operator: op, Values: names})
		}
	}
	add(metav1.LabelSelectorOpIn, in)
	add(metav1.LabelSelectorOpNotIn, notIn)
	// What only lets go of a deleted object, or of pods, is not judged, here as in the engine.
	t.Conditions = append(globConditions(r, reach), admissionv1.MatchCondition{Name: "not-leaving", Expression: "!(" + engine.Leaving + ")"},
		admissionv1.MatchCondition{Name: "not-shrinking", Expression: "!(" + engine.Shrinking + ")"})
	t.Actions = actions(r)
	return t, ""
}

// actions says what becomes of a violation. The API server takes Warn with Deny for a
// mistake.
func actions(r rule.Rule) []admissionv1.ValidationAction {
	switch {
	case r.Refuses():
		return []admissionv1.ValidationAction{admissionv1.Deny, admissionv1.Audit}
	case r.Warn:
		return []admissionv1.ValidationAction{admissionv1.Warn, admissionv1.Audit}
	}
	return []admissionv1.ValidationAction{admissionv1.Audit}
}

// resourceRules writes the kinds of a rule as resources, each subresource by itself.
func resourceRules(r rule.Rule, reach engine.Reach, o Options) ([]admissionv1.NamedRuleWithOperations, map[schema.GroupKind]bool) {
	type key struct {
		group, version string
		namespaced     bool
	}
	found, kinds := map[key][]string{}, map[schema.GroupKind]bool{}
	for _, m := range r.Match.Kinds {
		for _, g := range m.Groups {
			for _, k := range m.Kinds {
				gk := schema.GroupKind{Group: g, Kind: k}
				res, ok := o.find(gk)
				if !ok || len(res.Versions) == 0 || !res.Namespaced && !reach.All {
					continue
				}
				kinds[gk] = true
				// One version is enough: the API server converts the others to it.
				at := key{res.Group, res.Versions[0], res.Namespaced}
				found[at] = append(found[at], res.Plural)
				for _, sub := range res.Subresources {
					found[at] = append(found[at], res.Plural+"/"+sub)
				}
			}
		}
	}
	operations := []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	if asksForDelete(r.Template) {
		operations = append(operations, admissionv1.Delete)
	}
	out := make([]admissionv1.NamedRuleWithOperations, 0, len(found))
	for at, resources := range found {
		slices.Sort(resources)
		scope := admissionv1.ClusterScope
		if at.namespaced {
			scope = admissionv1.NamespacedScope
		}
		out = append(out, admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: operations,
			Rule:       admissionv1.Rule{APIGroups: []string{at.group}, APIVersions: []string{at.version}, Resources: slices.Compact(resources), Scope: &scope},
		}})
	}
	slices.SortFunc(out, func(a, b admissionv1.NamedRuleWithOperations) int {
		return cmp.Or(cmp.Compare(a.APIGroups[0], b.APIGroups[0]), cmp.Compare(a.APIVersions[0], b.APIVersions[0]), cmp.Compare(*a.Scope, *b.Scope))
	})
	return out, kinds
}

// find looks up a kind as the options say. The subresource scope of "*" is never used:
// rules.Matcher of the API server regards pods/ephemeralcontainers as its own resource.
func (o Options) find(gk schema.GroupKind) (Resource, bool) {
	if o.KindResources == nil {
		return Builtin(gk)
	}
	return o.KindResources(gk)
}

// namespaces returns the namespaces that a rule is limited to and those that are left out;
// ok is false when none can be left.
func namespaces(r rule.Rule, reach engine.Reach) (in, notIn []string, ok bool) {
	if !reach.All {
		for _, n := range reach.Namespaces {
			if (len(r.Match.Namespaces) == 0 || anyMatches(r.Match.Namespaces, n)) && !anyMatches(r.Match.ExcludedNamespaces, n) {
				in = append(in, n)
			}
		}
		return in, nil, len(in) > 0
	}
	notIn = append(notIn, reach.Excluded...)
	for _, n := range r.Match.ExcludedNamespaces {
		if !isGlob(n) {
			notIn = append(notIn, n)
		}
	}
	if !slices.ContainsFunc(r.Match.Namespaces, isGlob) {
		in = append(in, r.Match.Namespaces...)
	}
	slices.Sort(in)
	slices.Sort(notIn)
	return slices.Compact(in), slices.Compact(notIn), true
}

// globConditions writes the lists of namespaces that a selector cannot express: those with
// an asterisk. What has no namespace always matches.
func globConditions(r rule.Rule, reach engine.Reach) []admissionv1.MatchCondition {
	if !reach.All {
		return nil
	}
	var out []admissionv1.MatchCondition
	if slices.ContainsFunc(r.Match.Namespaces, isGlob) {
		out = append(out, admissionv1.MatchCondition{Name: "namespaces", Expression: `request.namespace == "" || ` + globs(r.Match.Namespaces)})
	}
	var excluded []string
	for _, n := range r.Match.ExcludedNamespaces {
		if isGlob(n) {
			excluded = append(excluded, n)
		}
	}
	if len(excluded) > 0 {
		out = append(out, admissionv1.MatchCondition{Name: "excluded-namespaces", Expression: `request.namespace == "" || !(` + globs(excluded) + `)`})
	}
	return out
}

func isGlob(s string) bool { return strings.HasPrefix(s, "*") || strings.HasSuffix(s, "*") }

// globs writes a condition over request.namespace that is true when one of the names
// matches; an asterisk stands at an end, as in Gatekeeper.
func globs(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		text := quote(strings.TrimSuffix(strings.TrimPrefix(n, "*"), "*"))
		switch front, back := strings.HasPrefix(n, "*"), strings.HasSuffix(n, "*"); {
		case front && back:
			out[i] = "request.namespace.contains(" + text + ")"
		case front:
			out[i] = "request.namespace.endsWith(" + text + ")"
		case back:
			out[i] = "request.namespace.startsWith(" + text + ")"
		default:
			out[i] = "request.namespace == " + text
		}
	}
	return strings.Join(out, " || ")
}

func anyMatches(names []string, candidate string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		text := strings.TrimSuffix(strings.TrimPrefix(n, "*"), "*")
		switch front, back := strings.HasPrefix(n, "*"), strings.HasSuffix(n, "*"); {
		case front && back:
			return strings.Contains(candidate, text)
		case front:
			return strings.HasSuffix(candidate, text)
		case back:
			return strings.HasPrefix(candidate, text)
		}
		return n == candidate
	})
}
