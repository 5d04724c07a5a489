package live_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
)

func deployment(name string, p *corev1.Pod) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	for k, v := range p.Labels {
		labels[k] = v
	}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: p.Spec},
	}}
}

// refusedByVAP fails unless the API server itself refused, in the name of an assignment of
// the set in force.
func (w *world) refusedByVAP(what string, err error, assignment string) {
	w.t.Helper()
	policyDigest := ""
	for _, r := range w.policies.Current().Rules() {
		if r.Assignment == assignment {
			policyDigest = r.Policy[:len("sha256:")+12]
		}
	}
	for _, want := range []string{"ValidatingAdmissionPolicy", "[assignment " + assignment + ",", "policy " + policyDigest + "]"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			w.t.Errorf("%s: got %v, want a refusal that says %q", what, err, want)
		}
	}
}

func ofRun(run int64, kind string) func(policy.Decision) bool {
	return func(d policy.Decision) bool {
		return d.Run == run && d.Point == policy.PointAdmission && len(d.Objects) == 1 && d.Objects[0].Kind == kind
	}
}

// TestEverything goes through what enforcement and audit promise, on one cluster.
func TestEverything(t *testing.T) {
	w := newWorld(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"the API server refuses", refusals},
		{"subresources", subresources},
		{"a namespace's labels are no way around", labels},
		{"what a controller may not make is the run's refusal", controllers},
		{"drift is undone", drift},
		{"the webhook is away", away},
		{"a cold start with the webhook away", coldStart},
		{"compliance", compliance},
	} {
		t.Run(step.name, func(t *testing.T) {
			w.t = t
			step.run(t, w)
		})
		if t.Failed() {
			return
		}
	}
}

func refusals(t *testing.T, w *world) {
	ctx := t.Context()
	c := w.as(7)
	_, err := c.CoreV1().Pods(production).Create(ctx, privileged("bad"), metav1.CreateOptions{})
	w.refusedByVAP("a privileged pod", err, policy.Baseline)
	_, err = c.AppsV1().Deployments(production).Create(ctx, deployment("bad", privileged("bad")), metav1.CreateOptions{})
	w.refusedByVAP("a Deployment of privileged pods", err, policy.Baseline)
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Spec: batchv1.CronJobSpec{Schedule: "0 0 * * *", JobTemplate: batchv1.JobTemplateSpec{
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: privileged("bad").Spec}},
	}}}
	cron.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err = c.BatchV1().CronJobs(production).Create(ctx, cron, metav1.CreateOptions{})
	w.refusedByVAP("a CronJob of privileged pods", err, policy.Baseline)

	for _, kind := range []string{"Pod", "Deployment", "CronJob"} {
		d := w.decision("the refusal of the "+kind+" is recorded for run 7", ofRun(7, kind))
		o := d.Objects[0]
		if d.Allowed || d.Actor != "run:7" || d.Job != "Deploy.Production" || d.Project != "shop" || d.Environment != "production" ||
			d.Commit != strings.Repeat("ab", 20) || o.Name != "bad" || o.Namespace != production {
			t.Errorf("recorded %+v", d)
		}
		v := o.Verdicts[0]
		if v.Assignment != policy.Baseline || v.Outcome != rule.Denied || len(v.Violations) == 0 || !strings.Contains(v.Violations[0].Path, "containers[name=app]") || v.Fix == "" {
			t.Errorf("recorded verdict %+v", v)
		}
	}
	w.eventually("the run's log is told", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.refusals); n < 3 {
			return fmt.Errorf("%d refusals were told", n)
		}
		return nil
	})
	if _, err := c.CoreV1().Pods(production).Create(ctx, pod("good"), metav1.CreateOptions{}); err != nil {
		t.Errorf("a good pod: %v", err)
	}
	// Recorded also when it is allowed, as a run asked.
	w.eventually("the admission of run 7 is recorded", func() error {
		yes := true
		all, err := w.policies.Decisions(ctx, root, policy.DecisionFilter{Allowed: &yes, Run: 7})
		if err != nil || len(all) == 0 {
			return fmt.Errorf("%d decisions, %v", len(all), err)
		}
		return nil
	})
}

func subresources(t *testing.T, w *world) {
	ctx := t.Context()
	w.definition("forbidden-image", readFile(t, "forbidden-image.yaml"), "Pod")
	w.inForce()
	good, err := w.admin().CoreV1().Pods(other).Create(ctx, pod("debugged"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(e corev1.EphemeralContainer) error {
		p := good.DeepCopy()
		p.ResourceVersion = "" // The scheduler writes to it as well.
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, e)
		_, err := w.as(8).CoreV1().Pods(other).UpdateEphemeralContainers(ctx, p.Name, p, metav1.UpdateOptions{})
		return err
	}
	common := corev1.EphemeralContainerCommon{Name: "debugger", Image: good.Spec.Containers[0].Image}
	bad := common
	bad.SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	w.refusedByVAP("a privileged ephemeral container", add(corev1.EphemeralContainer{EphemeralContainerCommon: bad}), policy.Baseline)
	w.decision("the refused ephemeral container is recorded", func(d policy.Decision) bool {
		return d.Run == 8 && len(d.Objects) == 1 && d.Objects[0].Sub == "ephemeralcontainers"
	})
	if err := add(corev1.EphemeralContainer{EphemeralContainerCommon: common}); err != nil {
		t.Errorf("a harmless ephemeral container: %v", err)
	}

	// A resize is judged as well: this rule is in Rego, so by the webhook.
	small := pod("small")
	small.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m")}
	small, err = w.admin().CoreV1().Pods(other).Create(ctx, small, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	small.ResourceVersion = ""
	small.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("13m")
	_, err = w.as(8).CoreV1().Pods(other).UpdateResize(ctx, small.Name, small, metav1.UpdateOptions{})
	for _, want := range []string{"13m brings bad luck", "[assignment forbidden-image, rule ", "decision "} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("a resize that the rule forbids: got %v, want %q", err, want)
		}
	}
	if err := w.admin().CoreV1().Pods(other).Delete(ctx, small.Name, metav1.DeleteOptions{}); err != nil {
		t.Errorf("deleting is always allowed: %v", err)
	}
}

func labels(t *testing.T, w *world) {
	w.namespace("labelled", map[string]string{
		"kubernetes.io/metadata.name": "kube-system", "admission.policy.towpath.dev/ignore": "true", "control-plane": "true",
		"pod-security.kubernetes.io/enforce": "privileged", "policy.towpath.dev/managed": "true",
	})
	_, err := w.as(9).CoreV1().Pods("labelled").Create(t.Context(), privileged("bad"), metav1.CreateOptions{})
	w.refusedByVAP("a privileged pod in a labelled namespace", err, policy.Baseline)
	p := pod("bad")
	p.Spec.Containers[0].Image = "localhost:7080/forbidden:1"
	if _, err = w.as(9).CoreV1().Pods("labelled").Create(t.Context(), p, metav1.CreateOptions{}); !strings.Contains(fmt.Sprint(err), "assignment forbidden-image") {
		t.Errorf("the webhook, in a labelled namespace: %v", err)
	}
}

// controllers has a rule on pods alone: the Deployment passes, and its pods are refused to
// the ReplicaSet's controller.
func controllers(t *testing.T, w *world) {
	held := pod("held")
	held.Labels, held.Finalizers = map[string]string{"forbidden": "yes"}, []string{"example.com/held"}
	if _, err := w.admin().CoreV1().Pods(other).Create(t.Context(), held, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.definition("forbidden-label", readFile(t, "no-labels.yaml"), "Pod")
	w.inForce()
	labelled := pod("x")
	labelled.Labels = map[string]string{"forbidden": "yes"}
	w.eventually("the new policy refuses", func() error {
		_, err := w.admin().CoreV1().Pods(other).Create(t.Context(), labelled, metav1.CreateOptions{DryRun: []string{"All"}})
		if !strings.Contains(fmt.Sprint(err), "ValidatingAdmissionPolicy") {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	w.letsGo(held.Name)
	if _, err := w.as(10).AppsV1().Deployments(production).Create(t.Context(), deployment("stuck", labelled), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d := w.decision("the refused pods are recorded for run 10", ofRun(10, "Pod"))
	if d.Actor != "run:10" || d.Job != "Deploy.Production" || d.Objects[0].Verdicts[0].Assignment != "forbidden-label" || !strings.HasPrefix(d.Objects[0].Name, "stuck-") {
		t.Errorf("recorded %+v", d)
	}
	// Another, that the webhook refuses.
	image := pod("x")
	image.Spec.Containers[0].Image = "localhost:7080/forbidden:1"
	if _, err := w.as(11).AppsV1().Deployments(production).Create(t.Context(), deployment("stuck-too", image), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d = w.decision("the refused pods are recorded for run 11", ofRun(11, "Pod"))
	if v := d.Objects[0].Verdicts; d.Actor != "run:11" || !refuses(v, "forbidden-image") {
		t.Errorf("recorded %+v", d)
	}
	for _, n := range []string{"stuck", "stuck-too"} {
		if err := w.admin().AppsV1().Deployments(production).Delete(t.Context(), n, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// letsGo deletes a pod that breaks a rule which came after it and that waits for a finalizer,
// as the pods of Jobs do.
func (w *world) letsGo(name string) {
	w.t.Helper()
	ctx, pods := w.t.Context(), w.admin().CoreV1().Pods(other)
	free := func() error {
		_, err := pods.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		return err
	}
	w.refusedByVAP("a change of a pod that is not deleted", free(), "forbidden-label")
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		w.t.Fatal(err)
	}
	going, err := pods.Get(ctx, name, metav1.GetOptions{})
	if err != nil || going.DeletionTimestamp == nil {
		w.t.Fatalf("it must wait for its finalizer: %v, %v", going, err)
	}
	going.ResourceVersion = ""
	going.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "late", Image: going.Spec.Containers[0].Image}}}
	_, err = pods.UpdateEphemeralContainers(ctx, name, going, metav1.UpdateOptions{})
	w.refusedByVAP("an ephemeral container in a pod that was deleted", err, "forbidden-label")
	if err := free(); err != nil {
		w.t.Errorf("a pod that was deleted cannot go: %v", err)
	}
}

func refuses(all []policy.Located, assignment string) bool {
	for _, v := range all {
		if v.Assignment == assignment && v.Refuses {
			return true
		}
	}
	return false
}

func drift(t *testing.T, w *world) {
	ctx := t.Context()
	api := w.admin().AdmissionregistrationV1()
	list, err := api.ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{LabelSelector: "policy.towpath.dev/managed=true"})
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("%d policies, %v", len(list.Items), err)
	}
	name := list.Items[0].Name
	whole := func() error {
		p, err := api.ValidatingAdmissionPolicies().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		b, err := api.ValidatingAdmissionPolicyBindings().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		h, err := api.ValidatingWebhookConfigurations().Get(ctx, enforce.WebhookName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range p.Spec.MatchConditions {
			if c.Name == "never" {
				return fmt.Errorf("the condition is still there")
			}
		}
		if *p.Spec.FailurePolicy != admissionv1.Fail || p.Labels["policy.towpath.dev/managed"] != "true" || len(b.Spec.ValidationActions) == 0 || len(h.Webhooks[0].Rules) < 4 {
			return fmt.Errorf("still changed: %+v %+v", p.Spec, b.Spec)
		}
		return nil
	}
	before := w.sync.State().Drift
	for i, spoil := range []func() error{
		func() error {
			_, err := api.ValidatingAdmissionPolicies().Patch(ctx, name, types.JSONPatchType, []byte(`[{"op":"add","path":"/spec/matchConditions/-","value":{"name":"never","expression":"false"}}]`), metav1.PatchOptions{})
			if err != nil {
				_, err = api.ValidatingAdmissionPolicies().Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"matchConditions":[{"name":"never","expression":"false"}]}}`), metav1.PatchOptions{})
			}
			return err
		},
		func() error {
			_, err := api.ValidatingAdmissionPolicies().Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"failurePolicy":"Ignore"},"metadata":{"labels":{"policy.towpath.dev/managed":null}}}`), metav1.PatchOptions{})
			return err
		},
		func() error {
			return api.ValidatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{})
		},
		func() error {
			return api.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{})
		},
		func() error {
			_, err := api.ValidatingWebhookConfigurations().Patch(ctx, enforce.WebhookName, types.JSONPatchType, []byte(`[{"op":"replace","path":"/webhooks/0/rules","value":[]}]`), metav1.PatchOptions{})
			return err
		},
		func() error {
			return api.ValidatingWebhookConfigurations().Delete(ctx, enforce.WebhookName, metav1.DeleteOptions{})
		},
	} {
		start := time.Now()
		if err := spoil(); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
		w.eventually(fmt.Sprintf("change %d is undone", i), func() error {
			if n := w.sync.State().Drift; n <= before {
				return fmt.Errorf("drift %d", n)
			}
			return whole()
		})
		t.Logf("change %d was undone in %s", i, time.Since(start).Round(time.Millisecond))
		before = w.sync.State().Drift
	}
	// What bears our label without being ours goes.
	foreign := list.Items[0].DeepCopy()
	foreign.ObjectMeta = metav1.ObjectMeta{Name: "foreign", Labels: map[string]string{"policy.towpath.dev/managed": "true"}}
	if _, err := api.ValidatingAdmissionPolicies().Create(ctx, foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the foreign policy is gone", func() error {
		if _, err := api.ValidatingAdmissionPolicies().Get(ctx, "foreign", metav1.GetOptions{}); err == nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	w.inForce()
}

// away ends the webhook: the API server refuses by itself, and what passes meanwhile is
// found.
func away(t *testing.T, w *world) {
	ctx := t.Context()
	w.hangUp()
	_, err := w.as(12).CoreV1().Pods(production).Create(ctx, privileged("bad"), metav1.CreateOptions{})
	w.refusedByVAP("a privileged pod while the webhook is away", err, policy.Baseline)
	p := pod("unchecked")
	p.Spec.Containers[0].Image = "localhost:7080/forbidden:1"
	if p, err = w.as(12).CoreV1().Pods(production).Create(ctx, p, metav1.CreateOptions{}); err != nil {
		t.Fatalf("the webhook stands in the way while it is away: %v", err)
	}
	d := w.decision("the unchecked pod is found", func(d policy.Decision) bool {
		return d.Point == policy.PointAudit && d.Objects[0].UID == string(p.UID)
	})
	if d.Allowed || d.Project != "shop" || d.Objects[0].Verdicts[0].Assignment != "forbidden-image" || d.Input == "" {
		t.Errorf("recorded %+v", d)
	}
	w.eventually("it stands in the report", func() error {
		r, err := w.auditor.Compliance(ctx, root, audit.Filter{Assignment: "forbidden-image", Outcome: rule.Denied, Text: "UNCHECKED"})
		if err != nil || len(r.Objects) != 1 {
			return fmt.Errorf("%+v, %v", r, err)
		}
		return nil
	})
	w.back()
	if err := w.admin().CoreV1().Pods(production).Delete(ctx, "unchecked", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		t.Errorf("deleting what breaks a rule: %v", err)
	}
}

func coldStart(t *testing.T, w *world) {
	ctx := t.Context()
	w.hangUp()
	if err := shared.down(); err != nil {
		t.Logf("stopping the cluster: %v", err)
	}
	if err := shared.up(); err != nil {
		t.Fatalf("the cluster does not start while the webhook is away: %v", err)
	}
	w.eventually("a good pod is let in", func() error {
		_, err := w.admin().CoreV1().Pods(other).Create(ctx, pod("after"), metav1.CreateOptions{})
		return err
	})
	_, err := w.admin().CoreV1().Pods(other).Create(ctx, privileged("bad"), metav1.CreateOptions{})
	w.refusedByVAP("a privileged pod after the start", err, policy.Baseline)
	w.back()
	w.inForce()
}

func compliance(t *testing.T, w *world) {
	ctx := t.Context()
	if _, err := w.admin().AppsV1().Deployments(production).Create(ctx, deployment("fine", pod("x")), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the good Deployment and its pod stand in the report", func() error {
		r, err := w.auditor.Compliance(ctx, root, audit.Filter{Project: "shop", Assignment: policy.Baseline, Outcome: rule.Compliant, Text: "fine"})
		kinds := map[string]bool{}
		for _, o := range r.Objects {
			kinds[o.Kind] = true
			if o.Since.IsZero() || o.Project != "shop" || o.Environment != "production" || o.Policy == "" {
				t.Errorf("object %+v", o)
			}
		}
		if err != nil || !kinds["Deployment"] || !kinds["ReplicaSet"] || !kinds["Pod"] {
			return fmt.Errorf("kinds %v, %v", kinds, err)
		}
		return nil
	})
	n, err := w.auditor.SweepNow(ctx)
	if err != nil || n != 0 {
		t.Errorf("the sweep found %d differences, %v", n, err)
	}
	all, err := w.auditor.Compliance(ctx, root, audit.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(all.Assignments, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%d verdicts; lag %+v", text, all.Total, w.auditor.Progress().Lag)
	ada := identity.Actor{Kind: identity.KindUser, Name: "ada"}
	if _, err := w.auditor.Compliance(ctx, ada, audit.Filter{}); err == nil {
		t.Error("a member of a project sees everything")
	}
	mine, err := w.auditor.Compliance(ctx, ada, audit.Filter{Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range mine.Objects {
		if o.Namespace != production {
			t.Errorf("a member of shop sees %+v", o)
		}
	}
	if mine.Total == 0 || mine.Total >= all.Total {
		t.Errorf("a member of shop sees %d of %d verdicts", mine.Total, all.Total)
	}
}
