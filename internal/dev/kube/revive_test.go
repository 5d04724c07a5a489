package kube_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"towpath.dev/towpath/internal/dev"
)

// TestRevive has a session's pod end, be deleted, and move.
func TestRevive(t *testing.T) {
	c, address := shop(), "10.1.2.3"
	c.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		pod := a.(clienttesting.CreateAction).GetObject().(*corev1.Pod)
		pod.Spec.NodeName = "node-1"
		pod.Status = corev1.PodStatus{PodIP: address, HostIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		return false, nil, nil
	})
	s := dev.Session{ID: "01JABCD", Namespace: "shop", Service: "cart", Mode: dev.Run, Ports: []dev.Port{{Port: 80, Target: 8080}}, Started: time.Unix(0, 0), Until: time.Unix(3600, 0)}
	p := over(c)
	if _, err := p.Create(t.Context(), s, "token"); err != nil {
		t.Fatal(err)
	}
	fields, err := p.Fields(t.Context(), s)
	if err != nil || fields["metadata.name"] != "towpath-session-01jabcd" || fields["status.hostIP"] != "10.0.0.1" || fields["spec.nodeName"] != "node-1" {
		t.Errorf("the fields are %v, %v", fields, err)
	}
	revived := func(what, want string) {
		t.Helper()
		if got, err := p.Revive(t.Context(), s); err != nil || got != want {
			t.Errorf("%s: revived at %q, %v; want %q", what, got, err, want)
		}
		if hosts, err := p.Hosts(t.Context()); err != nil || len(hosts) != 1 || hosts[s.ID] != want {
			t.Errorf("%s: the hosts are %v, %v; want %s", what, hosts, err, want)
		}
	}
	address = "10.1.2.4" // of a pod that would be made now
	revived("a pod that runs", "10.1.2.3")

	pods := c.CoreV1().Pods("shop")
	pod, err := pods.Get(t.Context(), "towpath-session-01jabcd", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodSucceeded
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if hosts, err := p.Hosts(t.Context()); err != nil || len(hosts) != 0 {
		t.Errorf("a pod that has ended has an address: %v, %v", hosts, err)
	}
	revived("a pod that has ended", "10.1.2.4")

	if err := pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	address = "10.1.2.5"
	revived("a pod that was deleted", "10.1.2.5")
}
