package vap_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"

	"towpath.dev/towpath/internal/policy/vap"
)

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// onePod returns a pod that baseline allows.
func onePod(image string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "cart", Image: image}}}}
}

func privileged(name string) corev1.EphemeralContainer {
	return corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: name, Image: "x", SecurityContext: &corev1.SecurityContext{Privileged: pointer(true)}}}
}

// going returns a pod that was deleted and waits for a finalizer, and the same without one.
func going(p *corev1.Pod) (held, free *corev1.Pod) {
	held = p.DeepCopy()
	held.DeletionTimestamp, held.Finalizers = &metav1.Time{Time: now}, []string{"batch.kubernetes.io/job-tracking"}
	free = held.DeepCopy()
	free.Finalizers = nil
	return held, free
}

// What a request does decides nothing about how it is judged, but that a deletion is free,
// and what only lets go of an object that was deleted.
func TestOperationMatrix(t *testing.T) {
	w := shared(t)
	good, bad, debugged, helped := onePod("x"), onePod("x"), onePod("x"), onePod("x")
	bad.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: pointer(true)}
	debugged.Spec.EphemeralContainers = []corev1.EphemeralContainer{privileged("debug")}
	helped.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "help", Image: "x"}}}
	held, free := going(bad)
	heldGood, _ := going(good)
	alive, debuggedGoing, debuggedGood := bad.DeepCopy(), held.DeepCopy(), heldGood.DeepCopy()
	debuggedGoing.Spec.EphemeralContainers = debugged.Spec.EphemeralContainers
	debuggedGood.Spec.EphemeralContainers = debugged.Spec.EphemeralContainers
	alive.Finalizers = held.Finalizers
	resized := held.DeepCopy()
	resized.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	badDeployment := wrapped(bad)["Deployment"].(*appsv1.Deployment)
	heldDeployment := badDeployment.DeepCopy()
	heldDeployment.DeletionTimestamp, heldDeployment.Finalizers = &metav1.Time{Time: now}, []string{"foregroundDeletion"}
	freeDeployment := heldDeployment.DeepCopy()
	freeDeployment.Finalizers = nil
	for _, c := range []struct {
		name    string
		r       request
		refused string // path, "" for admitted
	}{
		{"let go of a deleted bad pod", request{object: free, old: held, operation: admission.Update}, ""},
		{"let go of a deleted bad deployment", request{object: freeDeployment, old: heldDeployment, operation: admission.Update}, ""},
		{"let go of a bad pod that is not deleted", request{object: bad, old: alive, operation: admission.Update}, "spec.containers[name=cart].securityContext.privileged"},
		{"a bad pod that claims to be deleted", request{object: held, old: alive, operation: admission.Update}, "spec.containers[name=cart].securityContext.privileged"},
		{"a new pod that claims to be deleted", request{object: held, operation: admission.Create}, "spec.containers[name=cart].securityContext.privileged"},
		{"a deleted good pod becomes bad", request{object: free, old: heldGood, operation: admission.Update}, "spec.containers[name=cart].securityContext.privileged"},
		{"a privileged ephemeral container in a deleted good pod", request{object: debuggedGood, old: heldGood, operation: admission.Update, sub: "ephemeralcontainers"}, "spec.ephemeralContainers[name=debug].securityContext.privileged"},
		{"a privileged ephemeral container in a deleted bad pod", request{object: debuggedGoing, old: held, operation: admission.Update, sub: "ephemeralcontainers"}, "spec.ephemeralContainers[name=debug].securityContext.privileged"},
		{"resize a deleted bad pod", request{object: resized, old: held, operation: admission.Update, sub: "resize"}, "spec.containers[name=cart].securityContext.privileged"},
		{"create good", request{object: good, operation: admission.Create}, ""},
		{"create bad", request{object: bad, operation: admission.Create}, "spec.containers[name=cart].securityContext.privileged"},
		{"update bad", request{object: bad, old: bad, operation: admission.Update}, "spec.containers[name=cart].securityContext.privileged"},
		{"add a plain ephemeral container", request{object: helped, old: good, operation: admission.Update, sub: "ephemeralcontainers"}, ""},
		{"add a privileged ephemeral container", request{object: debugged, old: good, operation: admission.Update, sub: "ephemeralcontainers"}, "spec.ephemeralContainers[name=debug].securityContext.privileged"},
		{"resize good", request{object: good, old: good, operation: admission.Update, sub: "resize"}, ""},
		{"resize bad", request{object: bad, old: bad, operation: admission.Update, sub: "resize"}, "spec.containers[name=cart].securityContext.privileged"},
		{"delete good", request{old: good, operation: admission.Delete}, ""},
		{"delete bad", request{old: bad, operation: admission.Delete}, ""},
	} {
		c.r.namespace = "baseline"
		byEngine, byServer := w.both(t, c.r)
		for who, said := range map[string]string{"the evaluator": byEngine, "the API server": byServer} {
			if (said == "") != (c.refused == "") || !strings.Contains(said, c.refused) {
				t.Errorf("%s: %s said %q; the path must be %q", c.name, who, said, c.refused)
			}
		}
	}
}

// Names that look like ours but are not, or that a container runtime reads otherwise.
func TestImageLookAlikes(t *testing.T) {
	w := shared(t)
	for image, rule := range map[string]string{
		"localhost:7080/shop/web" + digest:                          "",
		"localhost:7080/shop/web:1.2" + digest:                      "",
		"localhost:7080/web" + digest:                               "",
		"localhost:7080/shop/web:1.2":                               "digest",
		"localhost:7080/shop/web":                                   "digest",
		"localhost:7080/shop/web@sha256:0123":                       "registry", // both, in the order of the rules
		"localhost:7080/shop/web@sha512:0123":                       "registry",
		"localhost:7080/shop/web" + digest + "0":                    "registry",
		"localhost:7080.evil.example/shop/web" + digest:             "registry",
		"localhost:70800/shop/web" + digest:                         "registry",
		"localhost:708/shop/web" + digest:                           "registry",
		"LOCALHOST:7080/shop/web" + digest:                          "registry",
		"localhost/shop/web" + digest:                               "registry",
		"nginx":                                                     "registry",
		"nginx" + digest:                                            "registry",
		"docker.io/library/nginx" + digest:                          "registry",
		"library/nginx" + digest:                                    "registry",
		"localhost:7080@evil/shop/web" + digest:                     "registry",
		"evil.example/localhost:7080/shop/web" + digest:             "registry",
		"user@localhost:7080/shop/web" + digest:                     "registry",
		"http://localhost:7080/shop/web" + digest:                   "registry",
		"localhost:7080/" + digest:                                  "registry",
		"localhost:7080//shop/web" + digest:                         "registry",
		"localhost:7080/../evil/web" + digest:                       "registry",
		"localhost:7080/shop/%2e%2e/web" + digest:                   "registry",
		"localhost:7080/Shop/web" + digest:                          "registry",
		"localhost:7080/shop/web" + digest + digest:                 "registry",
		"localhost:7080/shop/web" + digest + "\n":                   "registry",
		" localhost:7080/shop/web" + digest:                         "registry",
		"localhost:7080/shop/web:1.2:3" + digest:                    "registry",
		"ⅼocalhost:7080/shop/web" + digest:                          "registry",
		"127.0.0.1:7080/shop/web" + digest:                          "registry",
		"":                                                          "registry",
		"localhost:7080/shop/web@sha256:" + strings.Repeat("A", 64): "registry",
	} {
		for where, pod := range everywhere(image) {
			byEngine, byServer := w.both(t, request{object: pod, namespace: "supply-chain", operation: admission.Create})
			if rule == "" {
				if byEngine != "" || byServer != "" {
					t.Errorf("%q as %s must be allowed; the evaluator said %q, the API server %q", image, where, byEngine, byServer)
				}
				continue
			}
			ref, ok := vap.ParseMessage(byServer)
			if !ok || ref.Rule != rule || ref.Assignment != "supply-chain" || !strings.Contains(byEngine, "supply-chain/"+rule+":") {
				t.Errorf("%q as %s must be refused by %s; the evaluator said %q, the API server %q", image, where, rule, byEngine, byServer)
			}
		}
	}
}

// everywhere returns pods that name an image in each place that can.
func everywhere(image string) map[string]*corev1.Pod {
	fine := "localhost:7080/shop/web" + digest
	out := map[string]*corev1.Pod{"container": onePod(image), "init container": onePod(fine), "ephemeral container": onePod(fine), "image volume": onePod(fine)}
	out["init container"].Spec.InitContainers = []corev1.Container{{Name: "i", Image: image}}
	out["ephemeral container"].Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e", Image: image}}}
	out["image volume"].Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image}}}}
	return out
}

// The largest pods that anybody makes stay far below the limits of CEL, at the API server
// and at the evaluator: they are admitted, not refused for their cost.
func TestCostOfLargePods(t *testing.T) {
	w := shared(t)
	pod := onePod("localhost:7080/shop/web" + digest)
	c := pod.Spec.Containers[0]
	c.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: pointer(false), RunAsNonRoot: pointer(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}, SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c123,c456"},
	}
	c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}}
	for i := range 20 {
		c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: int32(i + 1)})
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i), Value: strings.Repeat("v", 500)})
	}
	pod.Spec.Containers = nil
	for i := range 100 {
		c.Name = fmt.Sprintf("%s-%d", strings.Repeat("n", 50), i)
		pod.Spec.Containers, pod.Spec.InitContainers = append(pod.Spec.Containers, c), append(pod.Spec.InitContainers, c)
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: c.Name, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}})
	}
	for _, namespace := range []string{"baseline", "restricted", "supply-chain"} {
		byEngine, byServer := w.both(t, request{object: pod, namespace: namespace, operation: admission.Create})
		if byEngine != "" || byServer != "" {
			t.Errorf("%s: a pod of 200 containers must be admitted; the evaluator said %.300q, the API server %.300q", namespace, byEngine, byServer)
		}
	}
	// One that is refused in every container still says by whom.
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].SecurityContext = &corev1.SecurityContext{Privileged: pointer(true)}
	}
	byEngine, byServer := w.both(t, request{object: pod, namespace: "baseline", operation: admission.Create})
	ref, ok := vap.ParseMessage(byServer)
	if !ok || ref.Assignment != "baseline" || ref.Rule != "privileged" || len(ref.Violations) < 2 || byEngine == "" {
		t.Errorf("the refusal of 100 privileged containers must name the rule; the evaluator said %.300q, the API server %.600q", byEngine, byServer)
	}
}

// A value that a tenant wrote cannot make a refusal name somebody else.
func TestForgedReference(t *testing.T) {
	w := shared(t)
	forged := "x [assignment other, rule none, policy sha256:000000000000] ValidatingAdmissionPolicy 'other' denied request: spec.x: y"
	_, byServer := w.both(t, request{object: onePod(forged), namespace: "supply-chain", operation: admission.Create})
	all := vap.ParseMessages(byServer)
	if len(all) != 1 || all[0].Assignment != "supply-chain" || all[0].Object != "towpath-supply-chain" || all[0].Rule != "registry" {
		t.Errorf("refusal %q reads as %+v", byServer, all)
	}
}

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Data: data}
}
