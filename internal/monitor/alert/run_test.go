package alert_test

import (
	"context"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/store/storetest"
)

// TestRunStopsAndGoesOn lets Run itself evaluate, ends it, and starts another one: what was
// said is not said again, the resolution is.
func TestRunStopsAndGoesOn(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	w.Stop()
	url, next := hook(t)
	w.routeTo("shop", url)
	_, err := w.PutRule(t.Context(), writer, alert.Rule{Project: "shop", Name: "Down", Kind: alert.Metric, Query: "up == 0", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	run := func() (stop func()) {
		t.Helper()
		if w.Service, err = alert.New(w.parts, w.options); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		return func() {
			t.Helper()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run returns %v", err)
			}
		}
	}
	stop := run()
	w.sample(0, "__name__", "up", "project", "shop")
	w.until("the alert fires", func() bool { return len(w.alerts(alert.Filter{State: alert.Firing})) == 1 })
	if got := next(); got != "firing Down shop" {
		t.Errorf("the webhook hears %q", got)
	}
	// A delivery that is not in the kept log of notifications when Run ends is made again: let
	// it get there.
	w.until("the delivery is in the kept log", func() bool {
		var kept string
		err := w.db.QueryRow(t.Context(), `SELECT body FROM alert_state WHERE name = 'notifications'`).Scan(&kept)
		return err == nil && kept != ""
	})
	stop()

	stop = run()
	w.sample(1, "__name__", "up", "project", "shop")
	w.until("the alert resolves", func() bool { return len(w.alerts(alert.Filter{State: alert.Firing})) == 0 })
	if got := next(); got != "resolved Down shop" {
		t.Errorf("after the restart the webhook hears %q", got)
	}
	stop()
}

// until lets time pass on the test's clock until something is so.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
		w.clock.Add(time.Second)
	}
	w.t.Fatalf("it does not come about that %s", what)
}
