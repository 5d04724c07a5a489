package deploy

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

func waiting(reason, message string, restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: "web", RestartCount: restarts,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}},
	}
}

func TestCondition(t *testing.T) {
	running := corev1.ContainerStatus{Name: "web", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	for _, c := range []struct {
		name     string
		status   corev1.PodStatus
		word     string
		hopeless bool
	}{
		{"New", corev1.PodStatus{Phase: corev1.PodPending}, "pending", false},
		{"RunningNotReady", corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running}}, "running, not ready yet", false},
		{"Ready", corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}, "ready", false},
		{"Unschedulable", corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available\nmore"},
		}}, "cannot be scheduled: 0/1 nodes are available", false},
		{"PullFails", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("ErrImagePull", "not found", 0)}}, "ErrImagePull: not found", true},
		{"InitPullFails", corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{waiting("ImagePullBackOff", "not found", 0)}}, "ImagePullBackOff: not found", true},
		{"ConfigMissing", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("CreateContainerConfigError", `secret "db" not found`, 0)}},
			`CreateContainerConfigError: secret "db" not found`, true},
		{"Creating", corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating", "", 0)}}, "pending", false},
		{"CrashedOnce", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("CrashLoopBackOff", "back-off", maxCrashes-2)}},
			"container web crashed (exit code 3), starting again", false},
		{"CrashedOften", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("CrashLoopBackOff", "back-off", maxCrashes-1)}},
			"container web crashed 4 times (exit code 3)", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			word, hopeless := condition(&corev1.Pod{Status: c.status})
			if word != c.word || hopeless != c.hopeless {
				t.Errorf("condition = %q, %v; want %q, %v", word, hopeless, c.word, c.hopeless)
			}
		})
	}
}

// TestHopeless feeds the watcher what a pod goes through and wants to know when it
// gives up.
func TestHopeless(t *testing.T) {
	pull := corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("ErrImagePull", "not found", 0)}}
	fine := corev1.PodStatus{Phase: corev1.PodPending}
	crash := corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("CrashLoopBackOff", "", maxCrashes-1)}}
	type step struct {
		after  time.Duration
		status corev1.PodStatus
		uid    types.UID
	}
	for _, c := range []struct {
		name  string
		steps []step
		want  string // the cause, "" when it goes on waiting
	}{
		{"PullMayRecover", []step{{0, pull, "new"}, {pullGrace - time.Second, pull, "new"}}, ""},
		{"PullFailsTooLong", []step{{0, pull, "new"}, {pullGrace, pull, "new"}}, "pod web: ErrImagePull: not found"},
		{"PullRecovered", []step{{0, pull, "new"}, {5 * time.Second, fine, "new"}, {pullGrace, pull, "new"}}, ""},
		{"CrashedOften", []step{{0, crash, "new"}}, "pod web: container web crashed 4 times (exit code 3)"},
		{"OldPodsDoNotCount", []step{{0, crash, "old"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			r := &rollout{
				say: func(string, ...any) {}, cancel: cancel, old: map[types.UID]bool{"old": true}, last: map[types.UID]string{}, bad: map[types.UID]time.Time{},
			}
			start := time.Unix(1_800_000_000, 0)
			for _, s := range c.steps {
				r.see(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: s.uid}, Status: s.status}, start.Add(s.after))
			}
			got := ""
			if cause := context.Cause(ctx); cause != nil {
				got = cause.Error()
			}
			if got != c.want {
				t.Errorf("gave up with %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhy(t *testing.T) {
	old := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-old", Namespace: "shop", UID: "old"}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	sick := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-new", Namespace: "shop", UID: "new"}, Status: corev1.PodStatus{
		Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
	}}
	warning := func(name, text string, at int64) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, InvolvedObject: corev1.ObjectReference{UID: "new"}, Type: corev1.EventTypeWarning,
			Message: text, LastTimestamp: metav1.Unix(at, 0),
		}
	}
	known := map[types.UID]bool{"old": true}

	if got := why(t.Context(), fake.NewClientset(old), "shop", known); got != "" {
		t.Errorf("an old pod explains the release: %q", got)
	}
	if got, want := why(t.Context(), fake.NewClientset(old, sick), "shop", known), "pod web-new: running, not ready yet"; got != want {
		t.Errorf("why = %q, want %q", got, want)
	}
	c := fake.NewClientset(old, sick, warning("b", "Readiness probe failed: 503\nbody", 20), warning("a", "Back-off pulling", 10))
	if got, want := why(t.Context(), c, "shop", known), "pod web-new: running, not ready yet; Readiness probe failed: 503"; got != want {
		t.Errorf("why = %q, want %q", got, want)
	}
}

// TestPodsOf wants the pods of the newest generation only, and none of strangers.
func TestPodsOf(t *testing.T) {
	yes := true
	set := func(name, revision string) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "shop", UID: types.UID(name), Annotations: map[string]string{"deployment.kubernetes.io/revision": revision},
			OwnerReferences: []metav1.OwnerReference{{UID: "d", Controller: &yes}},
		}}
	}
	pod := func(name, owner string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid-" + name), OwnerReferences: []metav1.OwnerReference{{UID: types.UID(owner)}}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Image: "localhost:7080/shop/web@" + digest}}},
			Status: corev1.PodStatus{
				Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
				ContainerStatuses: []corev1.ContainerStatus{{ImageID: "localhost:7080/shop/web@" + digest, RestartCount: 2}},
			},
		}
	}
	leaving := pod("leaving", "new")
	leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{Time: time.Unix(1_800_000_000, 0)}, []string{"test/keep"}
	c := fake.NewClientset(
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "d", Annotations: map[string]string{"deployment.kubernetes.io/revision": "2"}}},
		set("old", "1"), set("new", "2"), pod("a", "new"), pod("b", "old"), pod("c", "stranger"), leaving,
	)
	got, err := podsOf(t.Context(), c, "shop", []object{{"Deployment", "web"}, {"Service", "web"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Pod{{UID: "uid-a", Name: "a", Images: []string{digest}, Ready: true, Restarts: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if _, err := podsOf(t.Context(), c, "shop", []object{{"StatefulSet", "gone"}}); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("a workload that is not there: %v", err)
	}
}

func TestURLs(t *testing.T) {
	for _, c := range []struct{ door, want string }{
		{"http://127.0.0.1:7480", "http://shop.localhost:7480"},
		{"https://10.0.0.1", "https://shop.localhost"},
		{"", "http://shop.localhost"},
	} {
		s := New(Deps{}, Options{FrontDoor: c.door})
		if got := s.urls([]string{"shop.localhost"}); len(got) != 1 || got[0] != c.want {
			t.Errorf("behind %q: %v, want %s", c.door, got, c.want)
		}
	}
}

// TestRefused tells a policy, which will not change its mind, from what may give way.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, reason, message, want string
	}{
		{"Policy", "FailedCreate", `Error creating: pods "web-1" is forbidden: ValidatingAdmissionPolicy 'towpath-baseline' with binding 'towpath-baseline' denied request: spec: no`,
			`ReplicaSet web-5d: its pods are refused: pods "web-1" is forbidden: ValidatingAdmissionPolicy 'towpath-baseline' with binding 'towpath-baseline' denied request: spec: no`},
		{"Webhook", "FailedCreate", `Error creating: admission webhook "policy.towpath.dev" denied the request: no`,
			`ReplicaSet web-5d: its pods are refused: admission webhook "policy.towpath.dev" denied the request: no`},
		{"Quota", "FailedCreate", `Error creating: pods "web-1" is forbidden: exceeded quota: small`, ""},
		{"Other", "BackOff", "denied request", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			r := &rollout{say: func(string, ...any) {}, cancel: func(err error) { got = err.Error() }}
			r.refused(&corev1.Event{Reason: c.reason, Message: c.message, InvolvedObject: corev1.ObjectReference{Kind: "ReplicaSet", Name: "web-5d"}})
			if got != c.want {
				t.Errorf("ended with %q, want %q", got, c.want)
			}
		})
	}
}
