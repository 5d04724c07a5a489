package deploy

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func TestRestartStep(t *testing.T) {
	for restarts, want := range map[int]int{0: 0, 1: 1, 2: 2, 3: 3, 4: 3, 5: 5, 9: 5, 10: 10, 19: 10, 20: 20, 49: 20, 50: 50, 99: 50, 100: 100, 12345: 10000} {
		if got := restartStep(restarts); got != want {
			t.Errorf("%d restarts are step %d, want %d", restarts, got, want)
		}
	}
}

// TestPodNews leads a pod through its troubles and wants each of them in the logbook once.
func TestPodNews(t *testing.T) {
	const image = "localhost:7080/shop/web@" + otherDigest
	ready := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	with := func(s corev1.ContainerStatus) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{s}}
	}
	killed := corev1.ContainerStatus{
		Name: "web", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}},
	}
	again := corev1.ContainerStatus{
		Name: "web", RestartCount: 1, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}},
	}
	loop := func(restarts int32) corev1.PodStatus { return with(waiting("CrashLoopBackOff", "back-off", restarts)) }
	for _, c := range []struct {
		name  string
		steps []corev1.PodStatus
		want  []string
	}{
		{"PullFails", []corev1.PodStatus{
			{Phase: corev1.PodPending},
			with(waiting("ErrImagePull", "not found", 0)), with(waiting("ImagePullBackOff", "back-off", 0)),
			with(waiting("ErrImagePull", "not found", 0)), with(waiting("ImagePullBackOff", "back-off", 0)),
		}, []string{"pending", "ErrImagePull: not found"}},
		{"Killed", []corev1.PodStatus{ready, with(killed), with(again)}, []string{
			"ready", "container web ended (OOMKilled, exit code 137)", "running, not ready yet: container web ended before (OOMKilled, exit code 137), 1 restarts",
		}},
		{"CrashesInSteps", []corev1.PodStatus{
			{Phase: corev1.PodPending}, loop(1), {Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "web", RestartCount: 1}}},
			loop(1), loop(3), loop(4), loop(5), loop(6),
		}, []string{
			"pending", "container web crashed (exit code 3), starting again, 1 restarts", "container web crashed 4 times (exit code 3), 3 restarts",
			"container web crashed 6 times (exit code 3), 5 restarts",
		}},
		{"Scheduling", []corev1.PodStatus{
			{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes"}}},
			{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/2 nodes"}}},
		}, []string{"cannot be scheduled: 0/1 nodes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				s, _ := newService(db)
				running(t, s, image)
				pod := &corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop-production", UID: "u1"},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
				}
				for _, status := range c.steps {
					pod.Status = status
					if err := s.note(t.Context(), pod, false); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(c.want, podSayings(t, s)); diff != "" {
					t.Errorf("what was said (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// running records a release of shop/production that serves an image.
func running(t *testing.T, s *Service, image string) Release {
	t.Helper()
	if _, err := s.CreateEnvironment(t.Context(), ada, "shop", "production", ""); err != nil {
		t.Fatal(err)
	}
	r := Release{Project: "shop", Environment: "production", Namespace: "shop-production", Name: "web", Actor: "run:7"}
	if err := s.begin(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	r.Result, r.Images, r.Revision = Deployed, []string{image}, 1
	if err := s.finish(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func podSayings(t *testing.T, s *Service) []string {
	t.Helper()
	events, err := s.Log.Read(t.Context(), event.Query{Type: event.TypePodChanged})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range events {
		var p event.PodChanged
		if err := e.Into(&p); err != nil {
			t.Fatal(err)
		}
		word := p.Why
		if p.Ready {
			word = "ready"
		}
		if p.Restarts > 0 {
			word += fmt.Sprintf(", %d restarts", p.Restarts)
		}
		out = append(out, word)
	}
	return out
}
