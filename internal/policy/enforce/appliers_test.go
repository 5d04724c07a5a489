package enforce

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// releases is one Helm release.
type releases Applied

func (r releases) Release(_ context.Context, namespace, name string) (Applied, bool, error) {
	return Applied(r), namespace == "shop" && name == "cart", nil
}

func TestAppliers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		r := releases{Actor: "run:9", Run: 9, Project: "shop", Requester: "ada", Time: at}
		open := func() *Appliers { return NewAppliers(db, nil, "embedded", r, slog.New(slog.DiscardHandler)) }
		a := open()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		o := Object{Namespace: "shop", Group: "apps", Kind: "Deployment", Name: "cart"}
		noted := Applied{Actor: "run:7", Run: 7, Job: "Deploy.Production", Commit: "41ab07d", Project: "shop", Time: at.Add(-time.Hour)}
		a.note(o, Applied{Actor: "kube:bob", Time: at.Add(-2 * time.Hour)})
		a.note(o, noted)
		check := func(a *Appliers, helm string, want Applied, known bool) {
			t.Helper()
			got, ok, err := a.Applied(t.Context(), o, helm)
			if err != nil || ok != known {
				t.Fatalf("%t, %v", ok, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		check(a, "", noted, true)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		// After a restart it is known; a release that was made meanwhile is newer.
		check(open(), "", noted, true)
		check(open(), "cart", Applied(r), true)
		check(open(), "another", noted, true)
		a = open()
		late := Applied{Actor: "run:10", Run: 10, Time: at.Add(time.Hour)}
		a.note(o, late)
		check(a, "cart", late, true)
		o.Name = "unknown"
		check(a, "", Applied{}, false)
		check(a, "cart", Applied(r), true)
	})
}

func TestSystem(t *testing.T) {
	for user, want := range map[string]bool{
		"system:serviceaccount:kube-system:replicaset-controller": true, "system:node:n": true, "system:kube-scheduler": true,
		"system:serviceaccount:shop:kube-system": false, "system:serviceaccount:shop:x": false, "towpath:run:7": false, "ada": false, "kube-system": false,
	} {
		if got := system(user); got != want {
			t.Errorf("system(%q) = %t", user, got)
		}
	}
}
