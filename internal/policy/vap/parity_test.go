package vap_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/scheme"

	"towpath.dev/towpath/internal/policy/catalog/catalogtest"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/vap"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// world is both judges with the same rules: each initiative holds in the namespace that
// bears its name. Programs take long to compile, so that there is one world.
type world struct {
	rules  []rule.Rule
	pairs  []vap.Pair
	set    *engine.Set
	server *server
}

var (
	worldOnce sync.Once
	theWorld  *world
)

// shared returns the world. Its plugin lives as long as the test binary.
func shared(t testing.TB) *world {
	t.Helper()
	worldOnce.Do(func() { theWorld = newWorld(t) })
	if theWorld == nil {
		t.Fatal("the world could not be made")
	}
	return theWorld
}

func newWorld(t testing.TB) *world {
	t.Helper()
	registries := []any{"localhost:7080"}
	var rules []rule.Rule
	for _, n := range []string{"baseline", "restricted"} {
		rules = append(rules, catalogtest.Assign(t, n, n, "platform", map[string]any{"namespaces": []any{n}})...)
	}
	rules = append(rules, catalogtest.Assign(t, "supply-chain", "supply-chain", "platform", map[string]any{"namespaces": []any{"supply-chain"}, "registries": registries})...)
	set, err := engine.Compile(context.Background(), rules, nil, nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	pairs := emit(t, rules, nil, nil, now)
	return &world{rules: rules, pairs: pairs, set: set, server: newServer(t, pairs, "baseline", "restricted", "supply-chain")}
}

// both asks both judges and returns their refusals, "" for none. Only CEL rules count:
// the API server does not know the others.
func (w *world) both(t testing.TB, r request) (byEngine, byServer string) {
	t.Helper()
	rev := rule.Review{Operation: string(r.operation), Sub: r.sub, Place: rule.Place{Cluster: "embedded", Namespace: r.namespace}}
	rev.User.Username = r.user
	any := r.object
	if any == nil {
		any = r.old
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(any)
	if err != nil {
		t.Fatal(err)
	}
	rev.Kind = kinds[0]
	res, _ := vap.Builtin(rev.Kind.GroupKind())
	rev.Resource = res.Plural
	rev.Object, rev.Old = w.decoded(t, r.object), w.decoded(t, r.old)
	verdicts, err := w.set.Review(t.Context(), rev, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verdicts {
		if v.Refuses && w.cel(v) {
			byEngine += fmt.Sprintf("%s/%s: %+v %s\n", v.Assignment, v.Reference, v.Violations, v.Why)
		}
	}
	if err := w.server.ask(t, r); err != nil {
		byServer = err.Error()
	}
	return byEngine, byServer
}

func (w *world) cel(v rule.Verdict) bool {
	for _, r := range w.rules {
		if r.Assignment == v.Assignment && r.Reference == v.Reference {
			return r.Template.Engine == rule.CEL
		}
	}
	return false
}

func (w *world) decoded(t testing.TB, o runtime.Object) map[string]any {
	t.Helper()
	if o == nil {
		return nil
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		t.Fatal(err)
	}
	o = o.DeepCopyObject()
	o.GetObjectKind().SetGroupVersionKind(kinds[0])
	return catalogtest.Object(t, o)
}

// wrapped returns a pod as it is and in the workloads that make it.
func wrapped(pod *corev1.Pod) map[string]runtime.Object {
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: pod.Annotations, Labels: map[string]string{"app": "x"}}, Spec: pod.Spec}
	meta := metav1.ObjectMeta{Name: "web"}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}
	return map[string]runtime.Object{
		"Pod":                   pod,
		"ReplicationController": &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Template: &template}},
		"Deployment":            &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}},
		"ReplicaSet":            &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}},
		"StatefulSet":           &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template}},
		"DaemonSet":             &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}},
		"Job":                   &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: template}},
		"CronJob":               &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}},
	}
}

// Every fixture of the Pod Security Standards, as a pod and in every workload, made and
// updated: the evaluator and the API server say what the fixture says.
func TestPodSecurityStandards(t *testing.T) {
	w := shared(t)
	for _, level := range []string{"baseline", "restricted"} {
		version, fixtures := catalogtest.Fixtures(t, level)
		score, asked := 0, 0
		for _, f := range fixtures {
			for kind, object := range wrapped(f.Pod) {
				for _, op := range []admission.Operation{admission.Create, admission.Update} {
					r := request{object: object, namespace: level, operation: op}
					if op == admission.Update {
						r.old = object
					}
					asked++
					byEngine, byServer := w.both(t, r)
					if (byEngine == "") == f.Allow && (byServer == "") == f.Allow {
						score++
						continue
					}
					t.Errorf("%s %s %s, %s of a %s: allowed must be %v; the evaluator said %q, the API server %q", level, version, f.Name, op, kind, f.Allow, byEngine, byServer)
				}
			}
		}
		t.Logf("%s %s: %d fixtures, %d of %d verdicts as they must be, by both", level, version, len(fixtures), score, asked)
	}
}
