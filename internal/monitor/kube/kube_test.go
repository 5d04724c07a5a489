package kube_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/monitor/kube"
	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// cluster gives a configuration of nothing: the tests' client needs none.
type cluster struct{}

func (cluster) Admin(context.Context) (*rest.Config, error) {
	return &rest.Config{Host: "http://127.0.0.1:1"}, nil
}

// owners knows the environments and releases of the tests.
type owners struct {
	mu       sync.Mutex
	releases map[string]string // by pod
	late     string            // a namespace that belongs to shop's environment late
}

func (o *owners) Owner(_ context.Context, namespace string) (string, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if namespace == o.late {
		return "shop", "late", nil
	}
	if project, environment, ok := strings.Cut(namespace, "-"); ok && project == "shop" {
		return project, environment, nil
	}
	return "", "", nil
}

func (o *owners) ReleaseOf(_ context.Context, p kube.Pod) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.releases[p.Name], nil
}

// sink keeps what is appended.
type sink struct {
	mu      sync.Mutex
	batches []*table.Batch
}

func (s *sink) Append(_ context.Context, b []*table.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, b...)
	return nil
}

// texts returns the values of a text column over all rows of a table.
func (s *sink) texts(name, column string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, b := range s.batches {
		if b.Table == name {
			out = append(out, b.Vectors[b.Index(column)].Text...)
		}
	}
	return out
}

type world struct {
	*kube.Watcher
	client kubernetes.Interface
	clock  *clocktest.Clock
	owners *owners
	sink   *sink
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// watch starts a watcher over objects and waits until it knows them.
func watch(t *testing.T, memory string, objects ...runtime.Object) *world {
	t.Helper()
	w := &world{clock: clocktest.At(noon), owners: &owners{releases: map[string]string{"web-1": "shop/production/48"}}, sink: &sink{}}
	w.client = fake.NewClientset(objects...)
	w.Watcher = kube.New(kube.Options{
		Cluster: cluster{}, Name: "embedded", Owners: w.owners, Sink: w.sink, Clock: w.clock, Direct: true, Memory: memory, Inventory: time.Hour,
		Client: func(*rest.Config) (kubernetes.Interface, error) { return w.client, nil },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the cluster is known", func() bool { return len(w.Targets()) > 0 })
	return w
}

// eventually waits for something that another goroutine does; the test's own deadline is
// the only one.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for !is() {
		select {
		case <-t.Context().Done():
			t.Fatalf("never: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func pod(namespace, name, ip string, change ...func(*corev1.Pod)) *corev1.Pod {
	is := true
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour)),
			Labels:          map[string]string{"app": "web", "pod-template-hash": "abc"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-abc", Controller: &is}},
		},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{
			Name: "web", Image: "localhost:7080/shop/web@sha256:aa",
			Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "x"}}, Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("64Mi")}},
		}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip, StartTime: &metav1.Time{Time: noon.Add(-time.Hour)},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "web", Ready: true, ContainerID: "containerd://c1", Image: "localhost:7080/shop/web",
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(noon.Add(-time.Hour))}},
			}},
		},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func node() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-1"},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi")},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

func deployment(namespace, name string, desired, ready int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: 2},
		Spec: appsv1.DeploymentSpec{Replicas: &desired, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "web", Image: "localhost:7080/shop/web@sha256:aa"}},
		}}},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: desired, ReadyReplicas: ready, AvailableReplicas: ready, UpdatedReplicas: desired},
	}
}

func TestPlaces(t *testing.T) {
	hostNet := func(p *corev1.Pod) { p.Spec.HostNetwork = true }
	empty := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop-staging"}}
	w := watch(t, "", node(), empty, pod("shop-production", "web-1", "10.1.0.5"), pod("kube-system", "proxy", "192.168.0.2", hostNet))

	want := place.Place{
		Project: "shop", Environment: "production", Release: "shop/production/48", Cluster: "embedded", Node: "node-1", Namespace: "shop-production",
		Pod: "web-1", UID: "uid-web-1", Address: netip.MustParseAddr("10.1.0.5"), Workload: "Deployment/web",
		Labels: map[string]string{"app": "web", "pod-template-hash": "abc"}, Started: noon.Add(-time.Hour),
		Containers: []place.Container{{Name: "web", ID: "c1", Image: "localhost:7080/shop/web@sha256:aa", Digest: "sha256:aa"}},
	}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for how, find := range map[string]func() (place.Place, bool){
		"uid":            func() (place.Place, bool) { return w.ByUID("uid-web-1") },
		"name":           func() (place.Place, bool) { return w.ByName("shop-production", "web-1") },
		"address":        func() (place.Place, bool) { return w.ByAddress(netip.MustParseAddr("10.1.0.5")) },
		"mapped address": func() (place.Place, bool) { return w.ByAddress(netip.MustParseAddr("::ffff:10.1.0.5")) },
	} {
		got, ok := find()
		if diff := cmp.Diff(want, got, same); !ok || diff != "" {
			t.Errorf("by %s: %v %s", how, ok, diff)
		}
	}
	if p, ok := w.ByAddress(netip.MustParseAddr("192.168.0.2")); ok {
		t.Errorf("a node's address leads to %s/%s", p.Namespace, p.Pod)
	}
	c, ok := w.Container("c1")
	if diff := cmp.Diff(metric.Container{Namespace: "shop-production", Pod: "web-1", Name: "web", Image: "localhost:7080/shop/web@sha256:aa"}, c); !ok || diff != "" {
		t.Errorf("container: %v %s", ok, diff)
	}
	eventually(t, "an environment without pods is known", func() bool {
		project, environment := w.NamespaceOwner("shop-staging")
		return project == "shop" && environment == "staging"
	})
	if project, environment := w.NamespaceOwner("shop-production"); project != "shop" || environment != "production" {
		t.Errorf("owner = %s %s", project, environment)
	}
}

func TestAPodThatIsGoneIsKnownForAWhile(t *testing.T) {
	w := watch(t, "", node(), pod("shop-production", "web-1", "10.1.0.5"))
	ctx := context.Background()
	if err := w.client.CoreV1().Pods("shop-production").Delete(ctx, "web-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// Its address goes to a pod of nobody.
	if _, err := w.client.CoreV1().Pods("default").Create(ctx, pod("default", "other", "10.1.0.5"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new pod has the address", func() bool {
		p, ok := w.ByAddress(netip.MustParseAddr("10.1.0.5"))
		return ok && p.Pod == "other"
	})
	if p, ok := w.ByName("shop-production", "web-1"); !ok || p.Release != "shop/production/48" {
		t.Errorf("a pod that has just gone: %v %+v", ok, p)
	}
	w.clock.Add(11 * time.Minute)
	if _, ok := w.ByUID("uid-web-1"); ok {
		t.Error("a pod is known 11 minutes after its end")
	}
}

// An environment may be made of a namespace in which nobody's pods ran a moment ago: what its
// own first pod writes must not be stored as nobody's.
func TestANamespaceThatBecomesAnEnvironment(t *testing.T) {
	w := watch(t, "", node(), pod("taken", "old", "10.1.0.5"))
	if p, ok := w.ByName("taken", "old"); !ok || p.Project != "" {
		t.Fatalf("a pod of nobody: %v %+v", ok, p)
	}
	w.owners.mu.Lock()
	w.owners.late = "taken"
	w.owners.mu.Unlock()
	w.clock.Add(4 * time.Second)
	if _, err := w.client.CoreV1().Pods("taken").Create(context.Background(), pod("taken", "first", "10.1.0.6"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod is known", func() bool { _, ok := w.ByName("taken", "first"); return ok })
	if p, _ := w.ByName("taken", "first"); p.Project != "shop" || p.Environment != "late" {
		t.Errorf("the environment's first pod is of %s/%s", p.Project, p.Environment)
	}
}

func TestTargets(t *testing.T) {
	ask := func(more ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Annotations = map[string]string{"prometheus.io/scrape": "true"}
			for i := 0; i < len(more); i += 2 {
				p.Annotations["prometheus.io/"+more[i]] = more[i+1]
			}
		}
	}
	hostNet := func(p *corev1.Pod) { p.Spec.HostNetwork = true }
	w := watch(t, "", node(),
		pod("shop-production", "web-1", "10.1.0.5", ask()),
		pod("shop-production", "path", "10.1.0.6", ask("port", "9090", "path", "/a/../m")),
		pod("shop-production", "silent", "10.1.0.7"),
		pod("shop-production", "wrong-port", "10.1.0.8", ask("port", "99999")),
		pod("shop-production", "query", "10.1.0.9", ask("path", "/x?y=1")),
		pod("shop-production", "loop", "127.0.0.1", ask()),
		pod("shop-production", "host", "192.168.0.2", ask(), hostNet),
		pod("kube-system", "agent", "192.168.0.2", ask("port", "9100"), hostNet),
	)
	eventually(t, "all pods are known", func() bool { return len(w.Targets()) == 8 })
	var got []string
	for _, x := range w.Targets() {
		got = append(got, fmt.Sprint(x.Job, " ", x.Address, x.Path, " ", x.Instance, " project=", x.Labels["project"], " ", x.ByNamespace))
	}
	want := []string{
		"cadvisor cluster-api/api/v1/nodes/node-1/proxy/metrics/cadvisor node-1 project= true",
		"kube-state-metrics kube-state kube-state project= true",
		"kubelet cluster-api/api/v1/nodes/node-1/proxy/metrics node-1 project= true",
		"kubelet cluster-api/api/v1/nodes/node-1/proxy/metrics/probes node-1 project= true",
		"kubelet cluster-api/api/v1/nodes/node-1/proxy/metrics/resource node-1 project= true",
		"kubernetes-pods 10.1.0.5:8080/metrics 10.1.0.5:8080 project=shop false",
		"kubernetes-pods 10.1.0.6:9090/m 10.1.0.6:9090 project=shop false",
		"kubernetes-pods 192.168.0.2:9100/metrics 192.168.0.2:9100 project= false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStateSeries(t *testing.T) {
	crashed := func(p *corev1.Pod) {
		s := &p.Status.ContainerStatuses[0]
		s.Ready, s.RestartCount = false, 3
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		s.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137, FinishedAt: metav1.NewTime(noon)}}
		p.Status.Conditions[0].Status = corev1.ConditionFalse
	}
	failed := func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }
	w := watch(t, "", node(), pod("shop-production", "web-1", "10.1.0.5", crashed), pod("shop-production", "web-2", "10.1.0.6", failed), deployment("shop-production", "web", 2, 0))
	var text string
	eventually(t, "deployments are known", func() bool {
		r := httptest.NewRecorder()
		w.Handlers()["kube-state"].ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
		text = r.Body.String()
		return strings.Contains(text, "kube_deployment_spec_replicas")
	})
	for _, line := range []string{
		`# TYPE kube_pod_container_status_restarts_total counter`,
		`# TYPE kube_pod_status_phase gauge`,
		`kube_pod_container_status_restarts_total{container="web",namespace="shop-production",pod="web-1",uid="uid-web-1"} 3`,
		`kube_pod_container_status_waiting_reason{container="web",namespace="shop-production",pod="web-1",reason="CrashLoopBackOff",uid="uid-web-1"} 1`,
		`kube_pod_container_status_last_terminated_reason{container="web",namespace="shop-production",pod="web-1",reason="OOMKilled",uid="uid-web-1"} 1`,
		`kube_pod_container_status_last_terminated_exitcode{container="web",namespace="shop-production",pod="web-1",uid="uid-web-1"} 137`,
		`kube_pod_status_phase{namespace="shop-production",phase="Failed",pod="web-2",uid="uid-web-2"} 1`,
		`kube_pod_status_phase{namespace="shop-production",phase="Running",pod="web-2",uid="uid-web-2"} 0`,
		`kube_pod_status_ready{condition="false",namespace="shop-production",pod="web-1",uid="uid-web-1"} 1`,
		`kube_pod_owner{namespace="shop-production",owner_is_controller="true",owner_kind="ReplicaSet",owner_name="web-abc",pod="web-1",uid="uid-web-1"} 1`,
		`kube_pod_container_resource_limits{container="web",namespace="shop-production",node="node-1",pod="web-1",resource="cpu",uid="uid-web-1",unit="core"} 0.5`,
		`kube_pod_container_resource_limits{container="web",namespace="shop-production",node="node-1",pod="web-1",resource="memory",uid="uid-web-1",unit="byte"} 6.7108864e+07`,
		`kube_deployment_spec_replicas{deployment="web",namespace="shop-production"} 2`,
		`kube_deployment_status_replicas_available{deployment="web",namespace="shop-production"} 0`,
		`kube_node_status_allocatable{node="node-1",resource="memory",unit="byte"} 4.294967296e+09`,
		`kube_node_status_condition{condition="Ready",node="node-1",status="true"} 1`,
	} {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("there is no %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestHealth(t *testing.T) {
	oom := func(p *corev1.Pod) {
		s := &p.Status.ContainerStatuses[0]
		s.Ready, s.RestartCount = false, 2
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		s.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137, FinishedAt: metav1.NewTime(noon)}}
		p.Status.Conditions[0].Status = corev1.ConditionFalse
	}
	unready := func(since time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions[0].Status = corev1.ConditionFalse
			p.Status.StartTime = &metav1.Time{Time: noon.Add(-since)}
		}
	}
	restarted := func(p *corev1.Pod) {
		s := &p.Status.ContainerStatuses[0]
		s.RestartCount = 1
		s.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 2, FinishedAt: metav1.NewTime(noon.Add(-time.Minute))}}
	}
	tests := []struct {
		name           string
		desired, ready int32
		pods           []*corev1.Pod
		state, why     string
	}{
		{"all ready", 1, 1, []*corev1.Pod{pod("shop-production", "a", "10.1.0.1")}, kube.Open, ""},
		{"scaled to nothing", 0, 0, nil, kube.Open, ""},
		{"one of two killed", 2, 1, []*corev1.Pod{pod("shop-production", "a", "10.1.0.1"), pod("shop-production", "b", "10.1.0.2", oom)}, kube.Held,
			"pod b was killed because it used more memory than its limit (OOMKilled), 2 restarts"},
		{"the only one killed", 1, 0, []*corev1.Pod{pod("shop-production", "a", "10.1.0.1", oom)}, kube.Shut, "pod a was killed because it used more memory than its limit (OOMKilled), 2 restarts"},
		{"starting", 1, 0, []*corev1.Pod{pod("shop-production", "a", "10.1.0.1", unready(10*time.Second))}, kube.Passing, "0 of 1 replicas are ready, the others are starting"},
		{"never ready", 1, 0, []*corev1.Pod{pod("shop-production", "a", "10.1.0.1", unready(time.Hour))}, kube.Shut, "pod a runs and is not ready for 1h0m0s"},
		{"restarted a minute ago", 1, 1, []*corev1.Pod{pod("shop-production", "a", "10.1.0.1", restarted)}, kube.Held, "pod a ended with exit code 2 (Error) and was started again, 1 restarts"},
		{"no pod at all", 1, 0, nil, kube.Shut, "0 of 1 replicas are ready"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			objects := []runtime.Object{node(), deployment("shop-production", "web", tt.desired, tt.ready), deployment("bank-production", "other", 1, 0)}
			for _, p := range tt.pods {
				objects = append(objects, p)
			}
			w := watch(t, "", objects...)
			var got []kube.Workload
			eventually(t, "deployments are known", func() bool {
				var err error
				got, err = w.Health(context.Background(), "shop", false)
				if err != nil {
					t.Fatal(err)
				}
				return len(got) == 1 && len(got[0].Pods) == len(tt.pods)
			})
			x := got[0]
			if x.State != tt.state || x.Why != tt.why || x.Name != "web" || x.Project != "shop" || x.Environment != "production" {
				t.Errorf("%+v", x)
			}
			if (x.State == kube.Held || x.State == kube.Shut) && x.Next == "" {
				t.Errorf("%s has no next step", x.State)
			}
		})
	}
}

func TestInventoryAndEvents(t *testing.T) {
	event := func(uid string, count int32, last time.Time) *corev1.Event {
		return &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: "shop-production", Name: uid, UID: types.UID(uid)},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop-production", Name: "web-1", UID: "uid-web-1"},
			Reason:         "BackOff", Message: "Back-off restarting failed container", Type: "Warning", Count: count,
			FirstTimestamp: metav1.NewTime(noon.Add(-time.Minute)), LastTimestamp: metav1.NewTime(last), Source: corev1.EventSource{Component: "kubelet", Host: "node-1"},
		}
	}
	memory := filepath.Join(t.TempDir(), "events.json")
	objects := []runtime.Object{node(), pod("shop-production", "web-1", "10.1.0.5"), event("e1", 1, noon)}
	t.Run("first", func(t *testing.T) {
		w := watch(t, memory, objects...)
		eventually(t, "the first event is stored", func() bool { return len(w.sink.texts(table.KubeEvents, "Reason")) == 1 })
		if _, err := w.client.CoreV1().Events("shop-production").Update(context.Background(), event("e1", 2, noon.Add(time.Second)), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its second count is stored", func() bool { return len(w.sink.texts(table.KubeEvents, "Reason")) == 2 })
		if diff := cmp.Diff([]string{"shop/production/48", "shop/production/48"}, w.sink.texts(table.KubeEvents, table.Release)); diff != "" {
			t.Error(diff)
		}
		eventually(t, "the inventory is stored", func() bool {
			return len(w.sink.texts(table.KubePodInventory, "Name")) > 0 && len(w.sink.texts(table.KubeNodeInventory, "Status")) > 0
		})
		for column, want := range map[string]string{
			"Name": "web-1", "Namespace": "shop-production", "Computer": "node-1", "ContainerName": "uid-web-1/web", "ContainerStatus": "running", "ControllerKind": "ReplicaSet",
			"PodStatus": "Running", table.Project: "shop", table.Environment: "production", table.ImageDigest: "sha256:aa", "ClusterName": "embedded",
		} {
			if got := w.sink.texts(table.KubePodInventory, column)[0]; got != want {
				t.Errorf("%s = %q, want %q", column, got, want)
			}
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		w := watch(t, memory, append(objects[:2:2], event("e1", 2, noon.Add(time.Second)), event("e2", 1, noon))...)
		eventually(t, "the new event is stored", func() bool { return len(w.sink.texts(table.KubeEvents, "Reason")) > 0 })
		eventually(t, "the inventory is stored", func() bool { return len(w.sink.texts(table.KubePodInventory, "Name")) > 0 })
		if got := len(w.sink.texts(table.KubeEvents, "Reason")); got != 1 {
			t.Errorf("%d events were stored after the restart, want only the new one", got)
		}
	})
}
