package deploy

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"towpath.dev/towpath/internal/fault"
)

func TestPrepare(t *testing.T) {
	env := Environment{Project: "shop", Name: "production", Namespace: "shop"}
	ours := map[string]string{labelProject: "shop", labelEnvironment: "production", labelInstallation: "I1"}
	with := func(key, value string) map[string]string {
		out := map[string]string{}
		for k, v := range ours {
			out[k] = v
		}
		out[key] = value
		return out
	}
	for _, c := range []struct {
		name   string
		labels map[string]string // nil: there is no such namespace
		kind   fault.Kind
	}{
		{"Made", nil, ""},
		{"Ours", ours, ""},
		{"HandedOver", with(labelInstallation, ""), ""},
		{"ErrNobodys", map[string]string{}, fault.Denied},
		{"ErrOtherProject", with(labelProject, "shop2"), fault.Denied},
		{"ErrOtherEnvironment", with(labelEnvironment, "staging"), fault.Denied},
		{"ErrOtherInstallation", with(labelInstallation, "I2"), fault.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := fake.NewClientset()
			if c.labels != nil {
				cluster = fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: c.labels}})
			}
			for range 2 { // The second time everything is there.
				if err := prepare(t.Context(), cluster, env, "I1"); fault.KindOf(err) != c.kind {
					t.Fatalf("prepare = %v, want kind %q", err, c.kind)
				}
			}
			bindings, err := cluster.RbacV1().RoleBindings("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if c.kind != "" {
				if len(bindings.Items) != 0 {
					t.Errorf("a refused namespace got the bindings %v", bindings.Items)
				}
				return
			}
			if len(bindings.Items) != 1 || bindings.Items[0].RoleRef.Name != "admin" || bindings.Items[0].Subjects[0].Name != "towpath:deploy:shop:production" {
				t.Errorf("bindings %+v", bindings.Items)
			}
		})
	}
}

func TestLease(t *testing.T) {
	held := func(age time.Duration) *coordination.Lease {
		holder, at := "run/7", metav1.NewMicroTime(time.Now().Add(-age))
		return &coordination.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: leaseName, Namespace: "shop"}, Spec: coordination.LeaseSpec{HolderIdentity: &holder, RenewTime: &at},
		}
	}
	take := func(t *testing.T, c *fake.Clientset) (string, error) {
		var said strings.Builder
		giveBack, err := lease(t.Context(), c, "shop", "run/8", func(s string) { said.WriteString(s) }, slog.New(slog.DiscardHandler))
		if err != nil {
			return said.String(), err
		}
		got, err := c.CoordinationV1().Leases("shop").Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil || *got.Spec.HolderIdentity != "run/8" {
			t.Errorf("the lease is %+v, %v", got, err)
		}
		giveBack()
		if _, err := c.CoordinationV1().Leases("shop").Get(t.Context(), leaseName, metav1.GetOptions{}); err == nil {
			t.Error("the lease was not given back")
		}
		return said.String(), nil
	}
	t.Run("Free", func(t *testing.T) {
		if said, err := take(t, fake.NewClientset()); err != nil || said != "" {
			t.Errorf("%q, %v", said, err)
		}
	})
	t.Run("Expired", func(t *testing.T) {
		if said, err := take(t, fake.NewClientset(held(leaseTTL))); err != nil || said != "" {
			t.Errorf("%q, %v", said, err)
		}
	})
	t.Run("LeftByAServerThatWasKilled", func(t *testing.T) {
		said, err := take(t, fake.NewClientset(held(leaseTTL-1500*time.Millisecond)))
		if err != nil || !strings.Contains(said, "held by run/7") {
			t.Errorf("%q, %v", said, err)
		}
	})
	t.Run("ErrUnderWay", func(t *testing.T) {
		c := fake.NewClientset(held(0))
		_, err := lease(t.Context(), c, "shop", "run/8", func(string) {
			// The holder renews between the first look and the next.
			if _, err := c.CoordinationV1().Leases("shop").Update(t.Context(), held(-time.Second), metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		}, slog.New(slog.DiscardHandler))
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "run/7") {
			t.Errorf("lease = %v, want a conflict that names the holder", err)
		}
	})
}
