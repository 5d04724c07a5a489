package promrule_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert/promrule"
)

var start = time.Unix(0, 0).UTC()

func engine(t *testing.T, s promrule.Storage) *promrule.Engine {
	t.Helper()
	return promrule.New(s, promqltest.NewTestEngine(t, false, 0, 10_000), slog.New(slog.DiscardHandler))
}

func down(project string) promrule.Rule {
	return promrule.Rule{ID: "r1", Project: project, Name: "Down", Expr: `up == 0`, Every: time.Minute, For: 5 * time.Minute, Labels: map[string]string{"severity": "warning"}}
}

// put appends one sample and commits it.
func put(t *testing.T, s storage.Appendable, at time.Time, v float64, pairs ...string) {
	t.Helper()
	a := s.Appender(t.Context())
	if _, err := a.Append(0, labels.FromStrings(pairs...), at.UnixMilli(), v); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
}

func empty(t *testing.T) *teststorage.TestStorage {
	t.Helper()
	s := teststorage.New(t)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestARuleOfAProjectSeesItsSeriesOnly tries every way in which a rule can name series.
func TestARuleOfAProjectSeesItsSeriesOnly(t *testing.T) {
	load := `load 1m
  secret{project="bank", key="hunter2"} 42x10
  secret{key="platform"} 43x10
  mine{project="shop"} 1x10
`
	tests := []struct{ name, expr, summary string }{
		{"by name", `secret`, ``},
		{"by a matcher of the other project", `secret{project="bank"}`, ``},
		{"by a matcher that is true of both", `{__name__=~"secret|nothing", project=~".*"}`, ``},
		{"by a negative matcher", `secret{project!="shop"}`, ``},
		{"in a subquery", `max_over_time(secret[5m:1m])`, ``},
		{"with an offset", `secret offset 1m`, ``},
		{"by absence: it is absent for us", `absent(secret) == 0`, ``},
		{"in a template", `mine`, `{{ with query "secret" }}{{ . | first | value }}{{ end }}`},
		{"in a template, by label", `mine`, `{{ range query "secret{project='bank'}" }}{{ .Labels.key }}{{ end }}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := promqltest.LoadedStorage(t, load)
			t.Cleanup(func() { _ = s.Close() })
			e := engine(t, s)
			r := promrule.Rule{ID: "r", Project: "shop", Name: "Spy", Expr: test.expr, Every: time.Minute, Annotations: map[string]string{"summary": test.summary}}
			if err := e.Put(r, false); err != nil {
				t.Fatal(err)
			}
			active, err := e.Eval(t.Context(), "r", start.Add(5*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range active {
				all := a.Labels["key"] + a.Annotations["summary"]
				if a.Value == 42 || a.Value == 43 || strings.Contains(all, "42") || strings.Contains(all, "hunter2") || strings.Contains(all, "43") {
					t.Errorf("it sees %+v", a)
				}
				if a.Labels["project"] != "shop" {
					t.Errorf("the alert is of project %q", a.Labels["project"])
				}
			}
			if test.summary != "" && len(active) != 1 {
				t.Errorf("%d alerts, want that of its own series", len(active))
			}
		})
	}
	// The same rule of the platform does see it: the cases above can fail.
	s := promqltest.LoadedStorage(t, load)
	t.Cleanup(func() { _ = s.Close() })
	e := engine(t, s)
	if err := e.Put(promrule.Rule{ID: "r", Name: "Spy", Expr: `secret`, Every: time.Minute}, false); err != nil {
		t.Fatal(err)
	}
	if active, err := e.Eval(t.Context(), "r", start.Add(5*time.Minute)); err != nil || len(active) != 2 {
		t.Errorf("the platform sees %v, %v; want both", active, err)
	}
}

func TestAnAlertCannotClaimAnotherProject(t *testing.T) {
	s := promqltest.LoadedStorage(t, "load 1m\n  mine{project=\"shop\"} 1x10\n")
	t.Cleanup(func() { _ = s.Close() })
	e := engine(t, s)
	r := promrule.Rule{ID: "r", Project: "shop", Name: "Liar", Expr: `label_replace(mine, "project", "bank", "", "")`, Every: time.Minute, Labels: map[string]string{"project": "bank"}}
	if err := e.Put(r, false); err != nil {
		t.Fatal(err)
	}
	active, err := e.Eval(t.Context(), "r", start.Add(time.Minute))
	if err != nil || len(active) != 1 || active[0].Labels["project"] != "shop" {
		t.Errorf("active %+v, %v; want one of project shop", active, err)
	}
}

// TestForGoesOnAfterARestart stops an engine while a rule is pending, and expects that the
// time before the restart counts in the next.
func TestForGoesOnAfterARestart(t *testing.T) {
	s := empty(t)
	first := engine(t, s)
	if err := first.Put(down("shop"), false); err != nil {
		t.Fatal(err)
	}
	at := start
	for range 4 {
		put(t, s, at, 0, "__name__", "up", "project", "shop", "instance", "a")
		if active, err := first.Eval(t.Context(), "r1", at); err != nil || len(active) != 1 || active[0].Firing {
			t.Fatalf("at %s: %+v, %v; want it pending", at, active, err)
		}
		at = at.Add(time.Minute)
	}
	second := engine(t, s)
	if err := second.Put(down("shop"), true); err != nil {
		t.Fatal(err)
	}
	fired := time.Time{}
	for range 8 {
		put(t, s, at, 0, "__name__", "up", "project", "shop", "instance", "a")
		active, err := second.Eval(t.Context(), "r1", at)
		if err != nil || len(active) != 1 {
			t.Fatalf("at %s: %+v, %v", at, active, err)
		}
		if active[0].Firing {
			fired = at
			break
		}
		at = at.Add(time.Minute)
	}
	// Three of five minutes had been counted when it stopped. From scratch it were at 9m.
	if got := fired.Sub(start); got < 5*time.Minute || got > 7*time.Minute {
		t.Errorf("it fires after %s, want about 6m", got)
	}
}

// TestARuleThatIsRemovedEndsItsSeries looks at ALERTS, which dashboards draw.
func TestARuleThatIsRemovedEndsItsSeries(t *testing.T) {
	s := empty(t)
	e := engine(t, s)
	r := down("shop")
	r.For = 0
	if err := e.Put(r, false); err != nil {
		t.Fatal(err)
	}
	put(t, s, start, 0, "__name__", "up", "project", "shop")
	if _, err := e.Eval(t.Context(), "r1", start); err != nil {
		t.Fatal(err)
	}
	watch := promrule.Rule{ID: "watch", Project: "shop", Name: "Watch", Expr: `ALERTS{alertname="Down"}`, Every: time.Minute}
	if err := e.Put(watch, false); err != nil {
		t.Fatal(err)
	}
	if active, err := e.Eval(t.Context(), "watch", start.Add(time.Second)); err != nil || len(active) != 1 {
		t.Fatalf("ALERTS: %v, %v; want one", active, err)
	}
	e.Remove(t.Context(), "r1", start.Add(2*time.Second))
	if active, err := e.Eval(t.Context(), "watch", start.Add(3*time.Second)); err != nil || len(active) != 0 {
		t.Errorf("ALERTS after the removal: %v, %v; want none", active, err)
	}
	if _, err := e.Eval(t.Context(), "r1", start.Add(4*time.Second)); !fault.Is(err, fault.NotFound) {
		t.Errorf("evaluating the removed rule: %v", err)
	}
}

// TestAChangedRuleKeepsItsAlerts changes the interval and a text: the alert goes on.
func TestAChangedRuleKeepsItsAlerts(t *testing.T) {
	s := empty(t)
	e := engine(t, s)
	r := down("")
	r.For = time.Minute
	if err := e.Put(r, false); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		at := start.Add(time.Duration(i) * time.Minute)
		put(t, s, at, 0, "__name__", "up", "instance", "a")
		if _, err := e.Eval(t.Context(), "r1", at); err != nil {
			t.Fatal(err)
		}
	}
	r.Annotations = map[string]string{"summary": "new"}
	if err := e.Put(r, false); err != nil {
		t.Fatal(err)
	}
	active, err := e.Eval(t.Context(), "r1", start.Add(150*time.Second))
	if err != nil || len(active) != 1 || !active[0].Firing || !active[0].Since.Equal(start) {
		t.Errorf("after the change: %+v, %v; want it firing since the start", active, err)
	}
}

func TestCheckSaysWhere(t *testing.T) {
	tests := []struct {
		rule promrule.Rule
		want string
	}{
		{promrule.Rule{Name: "A", Expr: "up ==\n  == 1"}, "Line 2, column 3"},
		{promrule.Rule{Name: "A", Expr: `sum(rate(x[5m])`}, "Line 1"},
		{promrule.Rule{Name: "A", Expr: `"text"`}, "string"},
		{promrule.Rule{Name: "A", Expr: `x[5m]`}, "range vector"},
		{promrule.Rule{Name: "A", Expr: `x`, Annotations: map[string]string{"summary": "{{ .Nope "}}, "summary"},
		{promrule.Rule{Name: "A", Expr: `x`, Labels: map[string]string{"__name__": "x"}}, "label"},
		{promrule.Rule{Name: "A", Expr: strings.Repeat("x+", 10_000) + "x"}, "bytes"},
	}
	for _, test := range tests {
		err := promrule.Check(test.rule)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.rule.Expr, err, test.want)
		}
		if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge {
			t.Errorf("%q: a fault of kind %q", test.rule.Expr, k)
		}
	}
	if err := promrule.Check(promrule.Rule{Name: "A", Expr: `up == 0`, Annotations: map[string]string{"summary": "{{ $labels.instance }} {{ $value | humanize }}"}}); err != nil {
		t.Errorf("a good rule: %v", err)
	}
}

// TestErrorsHaveWords evaluates what parses and does not work.
func TestErrorsHaveWords(t *testing.T) {
	s := promqltest.LoadedStorage(t, "load 1m\n  a{x=\"1\"} 1x10\n  a{x=\"2\"} 1x10\n  b{y=\"1\"} 1x10\n  b{y=\"2\"} 1x10\n")
	t.Cleanup(func() { _ = s.Close() })
	e := engine(t, s)
	if err := e.Put(promrule.Rule{ID: "r", Name: "R", Expr: `a * on () b`, Every: time.Minute}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Eval(t.Context(), "r", start); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "many-to-many") {
		t.Errorf("error %v, want what is wrong with the join", err)
	}
}

// TestSeriesOfOthersAreNotThePlatforms pushes, in the name of a project, what would keep an
// alert of the platform from firing and what would fire another.
func TestSeriesOfOthersAreNotThePlatforms(t *testing.T) {
	load := `load 1m
  ready{job="kube-state-metrics", node="n1"} 0x10
  ready{job="mine", project="mallory", node="n1"} 1x10
  ready{project="mallory", node="n2"} 0x10
  ready{job="kube-state-metrics-2", project="mallory", node="n3"} 0x10
`
	r := promrule.Rule{ID: "r", Name: "NotReady", Expr: `max by (node) (ready) == 0`, Every: time.Minute, For: 5 * time.Minute}
	nodes := func(jobs ...string) (out []string) {
		s := promqltest.LoadedStorage(t, load)
		t.Cleanup(func() { _ = s.Close() })
		r.Jobs = jobs
		at := start
		// After a restart what for has counted is read from the storage, where it has no job:
		// else the five minutes would not be over.
		for _, evaluations := range []int{4, 5} {
			e := engine(t, s)
			if err := e.Put(r, at != start); err != nil {
				t.Fatal(err)
			}
			for range evaluations {
				active, err := e.Eval(t.Context(), "r", at)
				if err != nil {
					t.Fatal(err)
				}
				out = nil
				for _, a := range active {
					if a.Firing {
						out = append(out, a.Labels["node"])
					}
				}
				at = at.Add(time.Minute)
			}
		}
		return out
	}
	if got := nodes("kube-state-metrics", "kubelet"); strings.Join(got, " ") != "n1" {
		t.Errorf("it fires for %q, want n1", got)
	}
	// Without the jobs both attacks succeed: the case above can fail.
	if got := nodes(); strings.Join(got, " ") != "n2 n3" {
		t.Errorf("of all series it fires for %q", got)
	}
}
