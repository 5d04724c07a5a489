package engine_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// A rule in either language must not keep alive what breaks it; whatever else an update does
// is judged.
func TestWhatLeavesIsLetGo(t *testing.T) {
	dead := strings.Replace(privileged, "{name: cart}", `{name: cart, deletionTimestamp: "2026-05-01T11:00:00Z", finalizers: [batch.kubernetes.io/job-tracking]}`, 1)
	free := strings.Replace(privileged, "{name: cart}", `{name: cart, deletionTimestamp: "2026-05-01T11:00:00Z"}`, 1)
	deadPlain := strings.Replace(plain, "{name: cart}", `{name: cart, deletionTimestamp: "2026-05-01T11:00:00Z"}`, 1)
	unsaid := strings.Replace(privileged, "{name: cart}", "{name: cart, deletionTimestamp: null}", 1)
	for _, name := range []string{"nopriv-cel", "nopriv-rego"} {
		s := compile(t, []rule.Rule{with(base(t, name), func(r *rule.Rule) { r.Source = rule.All })})
		for _, tt := range []struct {
			name, operation, old, object, want string
		}{
			{"its finalizer goes", "UPDATE", dead, free, "none"},
			{"nothing changes", "UPDATE", dead, dead, "none"},
			{"it is made so", "CREATE", "", free, rule.Denied},
			{"it is so at rest", "", "", free, rule.Denied},
			{"it was not deleted before", "UPDATE", privileged, free, rule.Denied},
			{"its deletion is null", "UPDATE", unsaid, privileged, rule.Denied},
			{"it was another", "UPDATE", deadPlain, free, rule.Denied},
			{"it has a field more", "UPDATE", dead, strings.Replace(free, "kind: Pod", "kind: Pod, more: 1", 1), rule.Denied},
			{"it had a field more", "UPDATE", strings.Replace(dead, "kind: Pod", "kind: Pod, more: 1", 1), free, rule.Denied},
		} {
			r := review(t, "shop", tt.object)
			r.Operation = tt.operation
			if tt.old != "" {
				r.Old = object(t, tt.old)
			}
			if got := outcome(t, judge(t, s, r)); got != tt.want {
				t.Errorf("%s, %s: %s, want %s", name, tt.name, got, tt.want)
			}
		}
		job := workload("batch/v1", "Job", "cart")
		held := review(t, "shop", strings.Replace(job, "{name: cart}", `{name: cart, deletionTimestamp: "2026-05-01T11:00:00Z"}`, 1))
		held.Operation, held.Old = "UPDATE", object(t, strings.Replace(job, "{name: cart}", `{name: cart, deletionTimestamp: "2026-05-01T11:00:00Z", finalizers: [orphan]}`, 1))
		if got := outcome(t, judge(t, s, held)); got != "none" {
			t.Errorf("%s, a job that leaves is judged by the pods that it would make: %s", name, got)
		}
	}
	if engine.Leaves("UPDATE", nil, nil) || engine.Leaves("UPDATE", map[string]any{}, map[string]any{"metadata": "x"}) {
		t.Error("what is no object leaves")
	}
}

// Kinds that are built in lose their nulls, as the API server's decoder takes them away; of
// others it keeps what their schema allows, but in metadata.
func TestNulls(t *testing.T) {
	names := func(object string) string {
		t.Helper()
		s := compile(t, []rule.Rule{with(base(t, "nulls"), func(r *rule.Rule) {
			r.Match.Kinds = []rule.GroupKinds{{Groups: []string{"", "example.com"}, Kinds: []string{"Pod", "Cart"}}}
		})})
		v := judge(t, s, review(t, "shop", object))
		if len(v) != 1 || v[0].Outcome != rule.Denied {
			t.Fatalf("%+v", v)
		}
		return v[0].Violations[0].Message
	}
	for object, want := range map[string]string{
		`{apiVersion: v1, kind: Pod, metadata: {name: a, labels: null}, spec: {nodeName: null, containers: [{name: a, args: [null]}]}}`:                        "spec=containers labels=none",
		`{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {a: null}}, spec: {nodeName: one}}`:                                                           "spec=nodeName labels=''",
		`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: one, unheardOf: {a: null}}}`:                                                        "spec=nodeName,unheardOf labels=none",
		`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: 7, dnsPolicy: null}}`:                                                               "spec=dnsPolicy,nodeName labels=none",
		`{apiVersion: example.com/v1, kind: Cart, metadata: {name: a, labels: {a: null}, annotations: null}, spec: {nodeName: null, containers: [{a: null}]}}`: "spec=containers,nodeName labels=''",
	} {
		if got := names(object); got != want {
			t.Errorf("%s: the program saw %s, want %s", object, got, want)
		}
	}
}
