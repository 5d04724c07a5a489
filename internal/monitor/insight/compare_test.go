package insight_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/table"
)

// base are the operations of a service with their durations.
func base() map[string]float64 {
	return map[string]float64{"GET /": 20, "GET /cart": 40, "POST /order": 120, "GET /search": 80}
}

// roll sets release 48 live at start, after 47 served for ten minutes.
func roll(w *world, r *rand.Rand, n int, fail map[string]float64) {
	*w.releases = append(*w.releases, insight.Rollout{
		Release: "shop/production/48", Project: "shop", Environment: "production", Baseline: "shop/production/47", Result: "deployed", Started: start(), Live: start(),
	})
	w.serve(r, traffic{release: "shop/production/47", from: start().Add(-10 * time.Minute), n: n, fail: fail, base: base()})
}

// wait moves the clock and compares what is due.
func (w *world) wait(t testing.TB, d time.Duration) {
	t.Helper()
	w.clock.Set(w.clock.Now().Add(d))
	if err := w.CompareDue(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) compared(t testing.TB) insight.Comparison {
	t.Helper()
	c, err := w.Comparison(context.Background(), actor("bob"), "shop", "shop/production/48")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARolloutIsCompared(t *testing.T) {
	slow := base()
	slow["GET /cart"] += 80
	quick := base()
	quick["POST /order"] /= 3
	tests := []struct {
		name          string
		fail, failing map[string]float64 // before and after
		base          map[string]float64 // after
		verdict       string
		operation     string // the worst
		why           string
	}{
		{"nothing changes", nil, nil, base(), insight.Same, "", "4 operations do as before"},
		{"one route fails with 5 %", nil, map[string]float64{"GET /search": 0.05}, base(), insight.Worse, "GET /search", "of requests fail, 0.0 % before"},
		{"one route is 80 ms slower", nil, nil, slow, insight.Worse, "GET /cart", "95 % of requests take up to"},
		{"one route is mended", map[string]float64{"GET /": 0.1}, nil, base(), insight.Better, "GET /", "0.0 % of requests fail"},
		{"one route is quicker", nil, nil, quick, insight.Better, "POST /order", "95 % of requests take up to"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := inMemory(t)
			r := rand.New(rand.NewPCG(7, 7))
			roll(w, r, 600, tt.fail)
			w.serve(r, traffic{release: "shop/production/48", from: start().Add(15 * time.Second), n: 300, fail: tt.failing, base: tt.base})
			w.wait(t, 90*time.Second)
			c := w.compared(t)
			if c.Verdict != tt.verdict || !strings.Contains(c.Why, tt.why) || !c.Final {
				t.Errorf("%s: %q, final %v", c.Verdict, c.Why, c.Final)
			}
			if tt.operation != "" && c.Operations[0].Name != tt.operation {
				t.Errorf("the first operation is %+v", c.Operations[0])
			}
			said := events[event.ReleaseCompared](t, w, event.TypeReleaseCompared)
			if len(said) != 1 || said[0].Verdict != tt.verdict || said[0].Baseline != "shop/production/47" {
				t.Errorf("events %+v", said)
			}
			w.wait(t, time.Hour)
			if n := len(events[event.ReleaseCompared](t, w, event.TypeReleaseCompared)); n != 1 {
				t.Errorf("%d events after another hour", n)
			}
		})
	}
}

// TestCleanDeploysAreNotWorse: of 50 releases that change nothing none is called worse or
// better, also with routes that always fail a little.
func TestCleanDeploysAreNotWorse(t *testing.T) {
	ops := map[string]float64{}
	fail := map[string]float64{}
	for i := range 12 {
		name := fmt.Sprintf("GET /%d", i)
		ops[name], fail[name] = float64(10+20*i), float64(i%4)*0.01
	}
	r := rand.New(rand.NewPCG(11, 13))
	for i := range 50 {
		now, before := insight.Simulate(r, ops, fail, 300, 1000)
		if verdict, why := insight.Judge(now, before); verdict != insight.Same {
			t.Errorf("release %d: %s, %s", i, verdict, why)
		}
	}
}

// TestFaultsAreFound: of 50 releases with a fault in one of twelve routes nearly all are
// called worse after 200 requests.
func TestFaultsAreFound(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 19))
	found := 0
	for range 50 {
		ops, fail := map[string]float64{}, map[string]float64{}
		for i := range 12 {
			ops[fmt.Sprintf("GET /%d", i)] = float64(10 + 20*i)
		}
		_, before := insight.Simulate(r, ops, fail, 200, 1000)
		fail["GET /3"] = 0.05
		now, _ := insight.Simulate(r, ops, fail, 200, 1000)
		if verdict, _ := insight.Judge(now, before); verdict == insight.Worse {
			found++
		}
	}
	if found < 45 {
		t.Errorf("%d of 50 faults were found", found)
	}
}

func TestARolloutWithoutRequestsIsUnclear(t *testing.T) {
	w := inMemory(t)
	r := rand.New(rand.NewPCG(1, 1))
	roll(w, r, 600, nil)
	w.serve(r, traffic{release: "shop/production/48", from: start().Add(time.Minute), n: 10, base: base()})
	w.wait(t, 2*time.Minute)
	if _, err := w.Comparison(context.Background(), actor("bob"), "shop", "shop/production/48"); !fault.Is(err, fault.NotFound) {
		t.Errorf("compared too early: %v", err)
	}
	w.wait(t, 9*time.Minute)
	if c := w.compared(t); c.Verdict != insight.Unclear || c.Final {
		t.Errorf("%+v", c)
	}
	// Later there are enough, and it is said once more.
	w.serve(r, traffic{release: "shop/production/48", from: w.clock.Now(), n: 250, base: base()})
	w.wait(t, 30*time.Minute)
	if c := w.compared(t); c.Verdict != insight.Same || !c.Final {
		t.Errorf("%+v", c)
	}
	var verdicts []string
	for _, e := range events[event.ReleaseCompared](t, w, event.TypeReleaseCompared) {
		verdicts = append(verdicts, e.Verdict)
	}
	if got := strings.Join(verdicts, " "); got != "unclear same" {
		t.Errorf("said %q", got)
	}
}

func TestAComparisonListsWhatIsNew(t *testing.T) {
	w := inMemory(t)
	r := rand.New(rand.NewPCG(5, 5))
	roll(w, r, 300, nil)
	w.serve(r, traffic{release: "shop/production/48", from: start().Add(15 * time.Second), n: 300, base: base()})
	at := start().Add(20 * time.Second)
	w.add(table.AppExceptions, thrown("v1:s:new", "shop/production/48", at))
	for i := range 5 {
		line := func(release, text string, at time.Time) {
			w.add(table.ContainerLogV2, map[string]any{table.Release: release, "LogMessage": fmt.Sprintf("%q", text), table.TimeGenerated: at})
		}
		line("shop/production/47", fmt.Sprintf("order %d paid", i), start().Add(-time.Minute))
		line("shop/production/48", fmt.Sprintf("order %d paid", i), at)
		line("shop/production/48", fmt.Sprintf("retrying payment %d", i), at)
	}
	w.clock.Set(start().Add(time.Minute))
	if err := w.Follow(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.wait(t, 30*time.Second)
	c := w.compared(t)
	if len(c.Errors) != 1 || c.Errors[0].Fingerprint != "v1:s:new" {
		t.Errorf("errors %+v", c.Errors)
	}
	if len(c.Patterns) != 1 || c.Patterns[0].Text != "retrying payment <num>" || c.Patterns[0].Count != 5 {
		t.Errorf("patterns %+v", c.Patterns)
	}
	marks, err := w.Marks(context.Background(), actor("bob"), insight.Scope{Project: "shop", From: start().Add(-time.Hour), To: start().Add(time.Hour)})
	if err != nil || len(marks) != 1 || marks[0].Verdict != insight.Same || marks[0].Release != "shop/production/48" {
		t.Errorf("marks %+v, %v", marks, err)
	}
}
