package vap_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apiserver/pkg/admission"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	psatest "k8s.io/pod-security-admission/test"

	"towpath.dev/towpath/internal/policy/catalog/catalogtest"
)

// Pods made at random from the values that the standards speak of: the evaluator, the API
// server and the library of Pod Security admission agree on each.
func TestDifferentialAgainstPodSecurityAdmission(t *testing.T) {
	w := shared(t)
	oracle, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	version, _ := catalogtest.Fixtures(t, "baseline")
	parsed, err := psa.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(7, 11))
	counts := map[string]int{}
	for i := range 1200 {
		level := psa.LevelBaseline
		if i%2 == 1 {
			level = psa.LevelRestricted
		}
		pod, err := psatest.GetMinimalValidPod(level, parsed)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rnd.IntN(3) {
			mutate(rnd, pod)
		}
		allowed := policy.AggregateCheckResults(oracle.EvaluatePod(psa.LevelVersion{Level: level, Version: parsed}, &pod.ObjectMeta, &pod.Spec)).Allowed
		counts[fmt.Sprintf("%s allowed=%v", level, allowed)]++
		objects := wrapped(pod)
		kind := []string{"Pod", "Pod", "Deployment", "CronJob"}[rnd.IntN(4)]
		byEngine, byServer := w.both(t, request{object: objects[kind], namespace: string(level), operation: admission.Create})
		if (byEngine == "") != allowed || (byServer == "") != allowed {
			t.Errorf("pod %d, %s as a %s: allowed by Pod Security admission is %v; the evaluator said %q, the API server %q\n%s", i, level, kind, allowed, byEngine, byServer, catalogtest.Object(t, pod))
		}
	}
	t.Log(counts)
	for _, k := range []string{"baseline allowed=true", "baseline allowed=false", "restricted allowed=true", "restricted allowed=false"} {
		if counts[k] < 50 {
			t.Errorf("%d pods are %s, too few to compare", counts[k], k)
		}
	}
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

func pointer[T any](v T) *T { return &v }

// mutate changes one thing of a pod.
func mutate(rnd *rand.Rand, pod *corev1.Pod) {
	sc := containerSecurity(rnd, pod)
	if pod.Spec.SecurityContext == nil {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	psc := pod.Spec.SecurityContext
	yes := func() *bool { return pick(rnd, nil, pointer(true), pointer(false)) }
	seccomp := func() *corev1.SeccompProfile {
		return pick(rnd, nil, &corev1.SeccompProfile{Type: pick(rnd, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeUnconfined)})
	}
	armor := func() *corev1.AppArmorProfile {
		return pick(rnd, nil, &corev1.AppArmorProfile{Type: pick(rnd, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeUnconfined)})
	}
	linux := func() *corev1.SELinuxOptions {
		return &corev1.SELinuxOptions{Type: pick(rnd, "", "", "container_t", "container_engine_t", "spc_t"), User: pick(rnd, "", "", "root"), Role: pick(rnd, "", "", "", "sysadm_r"), Level: pick(rnd, "", "s0")}
	}
	capability := func() corev1.Capability {
		return pick[corev1.Capability](rnd, "ALL", "NET_BIND_SERVICE", "CHOWN", "SYS_ADMIN", "NET_RAW", "all")
	}
	switch rnd.IntN(24) {
	case 0:
		sc.Privileged = yes()
	case 1:
		sc.AllowPrivilegeEscalation = yes()
	case 2:
		sc.RunAsNonRoot = yes()
	case 3:
		psc.RunAsNonRoot = yes()
	case 4:
		sc.RunAsUser = pick(rnd, nil, pointer[int64](0), pointer[int64](1))
	case 5:
		psc.RunAsUser = pick(rnd, nil, pointer[int64](0), pointer[int64](1))
	case 6:
		sc.SeccompProfile = seccomp()
	case 7:
		psc.SeccompProfile = seccomp()
	case 8:
		sc.AppArmorProfile = armor()
	case 9:
		psc.AppArmorProfile = armor()
	case 10:
		sc.SELinuxOptions = linux()
	case 11:
		psc.SELinuxOptions = linux()
	case 12:
		sc.Capabilities = pick(rnd, nil, &corev1.Capabilities{Add: pick(rnd, nil, []corev1.Capability{capability()}), Drop: pick(rnd, nil, []corev1.Capability{"ALL"}, []corev1.Capability{"ALL"}, []corev1.Capability{capability()})})
	case 13:
		sc.ProcMount = pick(rnd, nil, pointer(corev1.DefaultProcMount), pointer(corev1.UnmaskedProcMount))
	case 14:
		pod.Spec.HostUsers = yes()
	case 15:
		pod.Spec.OS = pick(rnd, nil, &corev1.PodOS{Name: corev1.Windows}, &corev1.PodOS{Name: corev1.Linux})
	case 16:
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("v%d", len(pod.Spec.Volumes)), VolumeSource: pick(rnd,
			corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}},
			corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "n", Path: "/"}}, corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "x"}},
			corev1.VolumeSource{StorageOS: &corev1.StorageOSVolumeSource{}}, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}})})
	case 17:
		psc.Sysctls = pick(rnd, nil, []corev1.Sysctl{{Name: pick(rnd, "net.ipv4.tcp_rmem", "kernel.msgmax"), Value: "1"}})
	case 18:
		pod.Spec.HostNetwork, pod.Spec.HostIPC, pod.Spec.HostPID = rnd.IntN(3) == 0, rnd.IntN(3) == 0, rnd.IntN(3) == 0
	case 19:
		psc.WindowsOptions = pick(rnd, nil, &corev1.WindowsSecurityContextOptions{HostProcess: yes()})
	case 20:
		sc.WindowsOptions = pick(rnd, nil, &corev1.WindowsSecurityContextOptions{HostProcess: yes()})
	case 21:
		pod.Annotations = map[string]string{pick(rnd, "container.apparmor.security.beta.kubernetes.io/c", "other/c", "seccomp.security.alpha.kubernetes.io/pod"): pick(rnd, "", "runtime/default", "localhost/x", "unconfined")}
	case 22:
		c := &pod.Spec.Containers[rnd.IntN(len(pod.Spec.Containers))]
		c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: 80, HostPort: pick[int32](rnd, 0, 0, 8080)})
	case 23:
		probe(rnd, &pod.Spec.Containers[rnd.IntN(len(pod.Spec.Containers))])
	}
}

// containerSecurity picks a container of any sort, at times a new one.
func containerSecurity(rnd *rand.Rand, pod *corev1.Pod) *corev1.SecurityContext {
	var all []**corev1.SecurityContext
	switch rnd.IntN(12) {
	case 0:
		pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: fmt.Sprintf("e%d", len(pod.Spec.EphemeralContainers)), Image: "x", SecurityContext: pod.Spec.Containers[0].SecurityContext.DeepCopy()}})
	case 1:
		c := pod.Spec.Containers[0].DeepCopy()
		c.Name = fmt.Sprintf("i%d", len(pod.Spec.InitContainers))
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, *c)
	}
	for i := range pod.Spec.Containers {
		all = append(all, &pod.Spec.Containers[i].SecurityContext)
	}
	for i := range pod.Spec.InitContainers {
		all = append(all, &pod.Spec.InitContainers[i].SecurityContext)
	}
	for i := range pod.Spec.EphemeralContainers {
		all = append(all, &pod.Spec.EphemeralContainers[i].SecurityContext)
	}
	at := all[rnd.IntN(len(all))]
	if *at == nil {
		*at = &corev1.SecurityContext{}
	}
	return *at
}

func probe(rnd *rand.Rand, c *corev1.Container) {
	host := pick(rnd, "", "10.0.0.1")
	get := &corev1.HTTPGetAction{Port: intstr.FromInt32(80), Host: host}
	socket := &corev1.TCPSocketAction{Port: intstr.FromInt32(80), Host: host}
	switch rnd.IntN(5) {
	case 0:
		c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}}
	case 1:
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: socket}}
	case 2:
		c.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}}
	case 3:
		c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{HTTPGet: get}}
	case 4:
		c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{TCPSocket: socket}}
	}
}
