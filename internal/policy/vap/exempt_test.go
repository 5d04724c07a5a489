package vap_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"

	"towpath.dev/towpath/internal/policy/catalog/catalogtest"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

const (
	replicaSets = "system:serviceaccount:kube-system:replicaset-controller"
	deployments = "system:serviceaccount:kube-system:deployment-controller"
	jobs        = "system:serviceaccount:kube-system:job-controller"
	cronJobs    = "system:serviceaccount:kube-system:cronjob-controller"
)

func owner(apiVersion, kind, name string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, Controller: pointer(true)}}
}

// badPod violates privileged; its labels are those of a ReplicaSet's pod.
func badPod(name string, owners []metav1.OwnerReference) *corev1.Pod {
	p := onePod("x")
	p.Name, p.Namespace, p.OwnerReferences = name, "shop", owners
	p.Labels = map[string]string{"pod-template-hash": "5f6d8"}
	p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: pointer(true)}
	return p
}

func badTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: badPod("", nil).Spec}
}

func badDeployment(name string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Spec: appsv1.DeploymentSpec{Template: badTemplate()}}
}

// What is exempt and what only pretends to be: both judges agree.
func TestExemptions(t *testing.T) {
	rules := catalogtest.Assign(t, "baseline", "container-no-privilege", "platform", nil)
	places := []rule.Place{
		{Cluster: "embedded", Namespace: "shop", Project: "shop", Environment: "production"},
		{Cluster: "embedded", Namespace: "shop-test", Project: "shop", Environment: "test"},
		{Cluster: "embedded", Namespace: "other", Project: "other", Environment: "production"},
		{Cluster: "far", Namespace: "elsewhere", Project: "shop", Environment: "far"},
	}
	compiled, err := engine.Compile(context.Background(), rules, nil, places, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	objects := func(o ...rule.ObjectRef) rule.Exemption {
		return rule.Exemption{Name: "x", Assignment: "baseline", Category: rule.Waiver, Scope: rule.Scope{Kind: rule.Platform}, Objects: o}
	}
	deployment := objects(rule.ObjectRef{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web.v1"})
	create := func(o runtime.Object, user string) request {
		return request{object: o, namespace: "shop", operation: admission.Create, user: user}
	}
	replicaSet := func(name string) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", OwnerReferences: owner("apps/v1", "Deployment", "web.v1")}, Spec: appsv1.ReplicaSetSpec{Template: badTemplate()}}
	}
	good := onePod("x")
	good.Name, good.Namespace = "p", "shop"
	owned, debugged := badPod("p", owner("apps/v1", "ReplicaSet", "web.v1-5f6d8")), badPod("p", owner("apps/v1", "ReplicaSet", "web.v1-5f6d8"))
	debugged.Spec.EphemeralContainers = []corev1.EphemeralContainer{privileged("debug")}
	pet := badPod("p", owner("apps/v1", "StatefulSet", "db"))
	job := objects(rule.ObjectRef{Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "nightly"})
	theJob := func(name string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", OwnerReferences: owner("batch/v1", "CronJob", "nightly")}, Spec: batchv1.JobSpec{Template: badTemplate()}}
	}
	expired, later := deployment, deployment
	expired.Expires, later.Expires = now, now.Add(time.Second)
	other, byRule, otherRule := deployment, deployment, deployment
	other.Assignment, byRule.References, otherRule.References = "other", []string{rules[0].Reference}, []string{"other"}
	scoped := func(kind, name string) rule.Exemption {
		return rule.Exemption{Name: "x", Assignment: "baseline", Scope: rule.Scope{Kind: kind, Name: name}}
	}
	for _, group := range []struct {
		name      string
		exemption rule.Exemption
		asked     []asked
	}{
		{"of a deployment", deployment, []asked{
			{"itself", create(badDeployment("web.v1"), "ada"), true},
			{"itself, updated", request{object: badDeployment("web.v1"), old: badDeployment("web.v1"), namespace: "shop", operation: admission.Update}, true},
			{"another", create(badDeployment("web"), "ada"), false},
			{"a dot is not any character", create(badDeployment("web-v1"), "ada"), false},
			{"the same name elsewhere", request{object: badDeployment("web.v1"), namespace: "other", operation: admission.Create}, false},
			{"its replica set", create(replicaSet("web.v1-5f6d8"), deployments), true},
			{"its replica set, from somebody", create(replicaSet("web.v1-5f6d8"), "ada"), false},
			{"its pod", create(badPod("", owner("apps/v1", "ReplicaSet", "web.v1-5f6d8")), replicaSets), true},
			{"its pod, from somebody", create(badPod("p", owner("apps/v1", "ReplicaSet", "web.v1-5f6d8")), "ada"), false},
			{"its pod, from another controller", create(badPod("p", owner("apps/v1", "ReplicaSet", "web.v1-5f6d8")), jobs), false},
			{"a pod of another hash", create(badPod("p", owner("apps/v1", "ReplicaSet", "web.v1-aaaaa")), replicaSets), false},
			{"a pod of a longer name", create(badPod("p", owner("apps/v1", "ReplicaSet", "web.v1-b-5f6d8")), replicaSets), false},
			{"a pod of another group's ReplicaSet", create(badPod("p", owner("example.com/v1", "ReplicaSet", "web.v1-5f6d8")), replicaSets), false},
			{"its pod, updated", request{object: owned, old: owned, namespace: "shop", operation: admission.Update, user: "ada"}, true},
			{"a pod that becomes its pod", request{object: owned, old: good, namespace: "shop", operation: admission.Update, user: "ada"}, false},
			{"an ephemeral container in its pod", request{object: debugged, old: owned, namespace: "shop", operation: admission.Update, sub: "ephemeralcontainers", user: "ada"}, false},
			{"a bare pod", create(badPod("web.v1", nil), "ada"), false},
		}},
		{"of a stateful set", objects(rule.ObjectRef{Group: "apps", Kind: "StatefulSet", Namespace: "shop"}), []asked{
			{"a pod of any", create(pet, "system:serviceaccount:kube-system:statefulset-controller"), true},
			{"a pod of any, from the old identity", create(pet, "system:kube-controller-manager"), true},
			{"a deployment", create(badDeployment("db"), "ada"), false},
		}},
		{"of a cron job", job, []asked{
			{"its job", create(theJob("nightly-29000000"), cronJobs), true},
			{"its pod", create(badPod("p", owner("batch/v1", "Job", "nightly-29000000")), jobs), true},
			{"a pod of a job by hand", create(badPod("p", owner("batch/v1", "Job", "nightly-test")), jobs), false},
			{"a pod of a longer name", create(badPod("p", owner("batch/v1", "Job", "nightly-b-29000000")), jobs), false},
		}},
		{"of every deployment", objects(rule.ObjectRef{Group: "apps", Kind: "Deployment", Namespace: "shop"}), []asked{
			{"one", create(badDeployment("any"), "ada"), true},
			{"a pod of one", create(badPod("p", owner("apps/v1", "ReplicaSet", "any-5f6d8")), replicaSets), true},
			{"a pod of a replica set by hand", create(badPod("p", owner("apps/v1", "ReplicaSet", "any")), replicaSets), false},
		}},
		{"that ended", expired, one(create(badDeployment("web.v1"), "ada"), false)},
		{"that ends", later, one(create(badDeployment("web.v1"), "ada"), true)},
		{"of another assignment", other, one(create(badDeployment("web.v1"), "ada"), false)},
		{"of the rule", byRule, one(create(badDeployment("web.v1"), "ada"), true)},
		{"of another rule", otherRule, one(create(badDeployment("web.v1"), "ada"), false)},
		{"of the platform", scoped(rule.Platform, ""), one(create(badDeployment("web"), "ada"), true)},
		{"of the project", scoped(rule.Project, "shop"), one(create(badDeployment("web"), "ada"), true)},
		{"of another project", scoped(rule.Project, "other"), one(create(badDeployment("web"), "ada"), false)},
		{"of the environment", scoped(rule.Environment, "shop/production"), one(create(badDeployment("web"), "ada"), true)},
		{"of another environment", scoped(rule.Environment, "shop/test"), one(create(badDeployment("web"), "ada"), false)},
		{"of the cluster", scoped(rule.Cluster, "embedded"), one(create(badDeployment("web"), "ada"), true)},
		{"of another cluster", scoped(rule.Cluster, "far"), one(create(badDeployment("web"), "ada"), false)},
	} {
		t.Run(group.name, func(t *testing.T) {
			exemptions := []rule.Exemption{group.exemption}
			set, err := compiled.With(exemptions, places)
			if err != nil {
				t.Fatal(err)
			}
			pairs := emit(t, rules, exemptions, places, now)
			w := &world{rules: rules, pairs: pairs, set: set, server: newServer(t, pairs, "shop", "other")}
			defer w.server.stop()
			for _, c := range group.asked {
				byEngine, byServer := w.both(t, c.r)
				if (byEngine == "") != c.exempt || (byServer == "") != c.exempt {
					t.Errorf("%s: exempt must be %v; the evaluator said %q, the API server %q", c.name, c.exempt, byEngine, byServer)
				}
			}
		})
	}
}

// asked is a request, and whether it is exempt.
type asked struct {
	name   string
	r      request
	exempt bool
}

func one(r request, exempt bool) []asked { return []asked{{"it", r, exempt}} }
