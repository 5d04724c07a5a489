package enforce_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// TestRefusalsAreRecordedOnce reads an audit log over a restart and a rotation, also when
// nobody remembers how far it was read.
func TestRefusalsAreRecordedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		policies := service(t, db)
		line, err := os.ReadFile(filepath.Join("testdata", "refused.json"))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "audit.log")
		add := func(id int, more string) {
			t.Helper()
			f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(string(line), "7b0f6b3c-9c1c-4d2a-8e51-0d6e0f4f7a11", fmt.Sprintf("id-%d", id), 1)
			if _, err := f.WriteString(text + more); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		told := 0
		start := func() (stop func()) {
			a := enforce.NewAttribution(enforce.AttributionDeps{
				DB: db, Cluster: noCluster{}, Policies: policies, Recorder: policies, Appliers: enforce.NewAppliers(db, noCluster{}, "embedded", noReleases{}, quiet),
				OnRefusal: func(context.Context, policy.Decision) {
					mu.Lock()
					defer mu.Unlock()
					told++
				}, Logger: quiet,
			}, "embedded", file)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- a.Run(ctx) }()
			return func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		recorded := func(want int) []policy.Decision {
			t.Helper()
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				got, err := policies.Decisions(t.Context(), root, policy.DecisionFilter{Run: 7, Limit: 100})
				if err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				n := told
				mu.Unlock()
				if len(got) == want && n == want {
					return got
				}
				if len(got) > want || time.Now().After(deadline) {
					t.Fatalf("%d decisions, %d told, want %d", len(got), n, want)
				}
			}
		}
		add(1, "no JSON at all ValidatingAdmissionPolicy\n")
		stop := start()
		d := recorded(1)[0]
		if o := d.Objects[0]; d.Actor != "run:7" || d.Project != "shop" || d.Environment != "production" || o.Kind != "Deployment" || o.Name != "cart" || o.Operation != "CREATE" {
			t.Errorf("recorded %+v", d)
		}
		stop()
		add(2, "")
		if err := os.Rename(file, strings.TrimSuffix(file, ".log")+"-2026-03-01T12-00-00.000.log"); err != nil {
			t.Fatal(err)
		}
		add(3, "")
		stop = start()
		recorded(3)
		stop()
		if _, err := db.Exec(t.Context(), `DELETE FROM audit_log_cursor`); err != nil {
			t.Fatal(err)
		}
		add(4, "")
		stop = start()
		recorded(4)
		stop()
	})
}
