package kube_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/dev/kube"
	"towpath.dev/towpath/internal/fault"
)

type here struct{}

func (here) Await(context.Context) error                 { return nil }
func (here) Admin(context.Context) (*rest.Config, error) { return &rest.Config{}, nil }
func (here) Agent(context.Context) (string, error) {
	return "localhost:7080/towpath/agent@sha256:" + strings.Repeat("a", 64), nil
}

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: "shop"} }

// shop is a namespace whose service cart is routed: its selector is the router's, and its
// twin has what the chart gave it.
func shop() *fake.Clientset {
	pod := map[string]string{"app": "cart", "towpath.dev/track": "stable"}
	env := []corev1.EnvVar{
		{Name: "LEVEL", Value: "debug"}, {Name: "URL", Value: "http://$(HOST)/$(UNKNOWN)$$"},
		{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}, Key: "password"}}},
		{Name: "DSN", Value: "u:$(PASSWORD)@db"},
		{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: "NODE_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"}}},
		{Name: "OTLP", Value: "http://$(NODE_IP):4318"},
		{Name: "APP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}}},
		{Name: "SPACE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}},
		{Name: "ACCOUNT", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.serviceAccountName"}}},
		{Name: "ODD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.priority"}}},
		{Name: "CORES", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
	}
	from := []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cart"}}}}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "cart", Env: env, EnvFrom: from, Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}},
	}}}}
	service := func(name string, selector map[string]string, target intstr.IntOrString) *corev1.Service {
		return &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{Selector: selector, ClusterIP: "10.96.0.5", Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: target}}}}
	}
	objects := []runtime.Object{
		service("cart", map[string]string{"app.kubernetes.io/name": "towpath-router"}, intstr.FromInt32(15001)), service("cart-stable", pod, intstr.FromString("web")),
		service("lonely", nil, intstr.FromInt32(1)),
		&appsv1.Deployment{ObjectMeta: meta("cart"), Spec: appsv1.DeploymentSpec{Template: template}},
		&corev1.ConfigMap{ObjectMeta: meta("cart"), Data: map[string]string{"HOST": "catalog"}},
		&corev1.Secret{ObjectMeta: meta("db"), Data: map[string][]byte{"password": []byte("geheim")}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
	}
	return fake.NewClientset(objects...)
}

func over(c kubernetes.Interface) *kube.Pods {
	return kube.New(here{}, here{}, func(*rest.Config) (kubernetes.Interface, error) { return c, nil })
}

func TestTarget(t *testing.T) {
	p := over(shop())
	for _, secrets := range []bool{false, true} {
		got, err := p.Target(t.Context(), "shop", "cart", secrets)
		if err != nil {
			t.Fatal(err)
		}
		if got.Workload != "cart" || !slices.Equal(got.Ports, []dev.Port{{Name: "http", Port: 80, Target: 8080}}) {
			t.Errorf("got %+v", got)
		}
		want := []dev.Value{{Name: "HOST", Value: "catalog"}, {Name: "LEVEL", Value: "debug"}, {Name: "URL", Value: "http://catalog/$(UNKNOWN)$"}}
		left := []string{"ODD (field spec.priority of a pod)", "CORES (belongs to a pod)"}
		if secrets {
			want = append(want, dev.Value{Name: "PASSWORD", Value: "geheim", Secret: true}, dev.Value{Name: "DSN", Value: "u:geheim@db", Secret: true})
		} else {
			want = append(want, dev.Value{Name: "DSN", Value: "u:$(PASSWORD)@db"})
			left = append([]string{"PASSWORD (secret db)"}, left...)
		}
		want = append(want, dev.Value{Name: "POD", Value: dev.Mark("metadata.name")}, dev.Value{Name: "NODE_IP", Value: dev.Mark("status.hostIP")},
			dev.Value{Name: "OTLP", Value: "http://" + dev.Mark("status.hostIP") + ":4318"}, dev.Value{Name: "APP", Value: "cart"},
			dev.Value{Name: "SPACE", Value: "shop"}, dev.Value{Name: "ACCOUNT", Value: "default"})
		if !slices.Equal(got.Env, want) || !slices.Equal(got.LeftOut, left) {
			t.Errorf("secrets %v: got %v, left out %v", secrets, got.Env, got.LeftOut)
		}
	}
	if _, err := p.Target(t.Context(), "shop", "nothing", false); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "cart") {
		t.Errorf("a service that is not there: %v", err)
	}
	if _, err := p.Target(t.Context(), "shop", "lonely", false); !fault.Is(err, fault.Invalid) {
		t.Errorf("a service without a workload: %v", err)
	}
}

// TestSessionPod makes and removes a session's objects, and looks at what the profile
// "restricted" asks for.
func TestSessionPod(t *testing.T) {
	for _, mode := range []string{dev.Run, dev.Sync} {
		t.Run(mode, func(t *testing.T) {
			c := shop()
			c.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
				pod := a.(clienttesting.CreateAction).GetObject().(*corev1.Pod)
				pod.Status = corev1.PodStatus{PodIP: "10.1.2.3", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
				return false, nil, nil
			})
			s := dev.Session{ID: "01JABCD", Namespace: "shop", Service: "cart", Mode: mode, Ports: []dev.Port{{Port: 80, Target: 8080}}, Started: time.Unix(0, 0), Until: time.Unix(3600, 0)}
			host, err := over(c).Create(t.Context(), s, "token-of-it")
			if err != nil {
				t.Fatal(err)
			}
			if want := map[string]string{dev.Run: "10.1.2.3", dev.Sync: "towpath-session-01jabcd"}[mode]; host != want {
				t.Errorf("the host is %s, not %s", host, want)
			}
			pod, err := c.CoreV1().Pods("shop").Get(t.Context(), "towpath-session-01jabcd", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			restricted(t, pod)
			services, err := c.CoreV1().Services("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, svc := range services.Items {
				if own := svc.Labels[kube.LabelSession] != ""; len(svc.Spec.Selector) > 0 && labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(pod.Labels)) != own {
					t.Errorf("service %s selects the session's pod: %v", svc.Name, !own)
				}
			}
			args := strings.Join(pod.Spec.Containers[0].Args, " ")
			if want := map[string]string{dev.Run: "--ports 80 ", dev.Sync: "--ports 8080 "}[mode]; !strings.Contains(args, want) || strings.Contains(args, "token-of-it") || !strings.Contains(args, "--max-age 1h0m0s") {
				t.Errorf("the arguments are %s", args)
			}
			if err := over(c).Remove(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			left := []int{}
			pods, err := c.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			policies, err := c.NetworkingV1().NetworkPolicies("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			secrets, err := c.CoreV1().Secrets("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if left = append(left, len(pods.Items), len(policies.Items), len(secrets.Items)); !slices.Equal(left, []int{0, 0, 1}) {
				t.Errorf("left are %v pods, policies and secrets", left)
			}
			if err := over(c).Remove(t.Context(), s); err != nil {
				t.Errorf("removing what is not there: %v", err)
			}
		})
	}
}

func restricted(t *testing.T, p *corev1.Pod) {
	t.Helper()
	sc := p.Spec.SecurityContext
	if sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *sc.RunAsUser == 0 {
		t.Errorf("the pod's security context is %+v", sc)
	}
	if p.Spec.HostNetwork || p.Spec.HostPID || p.Spec.HostIPC || *p.Spec.AutomountServiceAccountToken {
		t.Error("the pod shares something of the host, or has a token of the API server")
	}
	c := p.Spec.Containers[0]
	s := c.SecurityContext
	if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Add) > 0 || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("the container's security context is %+v", s)
	}
	for _, v := range p.Spec.Volumes {
		if v.HostPath != nil {
			t.Errorf("volume %s is the host's", v.Name)
		}
	}
	if !strings.Contains(c.Image, "@sha256:") || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("the container is %s with %v", c.Image, c.Resources)
	}
}

func TestGuardLabelsNamespaces(t *testing.T) {
	c := shop()
	if err := over(c).Guard(t.Context(), map[string]bool{"shop": true, "not-yet": true}); err != nil {
		t.Fatal(err)
	}
	ns, err := c.CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil || ns.Labels[kube.LabelSessions] != "forbidden" {
		t.Errorf("got %v, %v", ns.Labels, err)
	}
	policy, err := c.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(t.Context(), kube.PolicyName, metav1.GetOptions{})
	if err != nil || len(policy.Spec.Validations) != 1 || !strings.Contains(policy.Spec.Validations[0].Expression, kube.LabelSession) {
		t.Errorf("got %+v, %v", policy, err)
	}
	binding, err := c.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(t.Context(), kube.PolicyName, metav1.GetOptions{})
	if err != nil || binding.Spec.MatchResources.NamespaceSelector.MatchLabels[kube.LabelSessions] != "forbidden" {
		t.Errorf("got %+v, %v", binding, err)
	}
}
