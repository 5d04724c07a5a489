package alert_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

const crash = "KubePodCrashLooping"

// TestAPodCrashesAndIsMended is the story that the product tells: the recommended rule
// fires, is routed, stands on the release's page, outlives a restart, and resolves.
func TestAPodCrashesAndIsMended(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		url, next := hook(t)
		w.routeTo("shop", url)

		// Somebody wants to hear of it sooner than the rule as it is shipped says.
		r := w.named("", crash).Rule
		r.For, r.Every = minutes(2), alert.Duration(30*time.Second)
		r, err := w.PutRule(t.Context(), admin, r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"for": "15m", "every": "1m"}, r.Tuned); diff != "" {
			t.Errorf("what was tuned (-want +got):\n%s", diff)
		}
		for range 2 {
			w.minute("shop")
		}
		if got := w.named("", crash); got.State != alert.Pending || got.Pending != 1 || len(w.alerts(alert.Filter{})) != 0 {
			t.Fatalf("after two minutes the rule is %s, with %d alerts", got.State, len(w.alerts(alert.Filter{})))
		}
		for range 2 {
			w.minute("shop")
		}
		a := w.firing()
		if a.Project != "shop" || a.Environment != "production" || a.Release != "shop/production/48" || a.PodUID != "uid-cart-1" || a.Severity != alert.Error ||
			!strings.Contains(a.Summary, "shop-production/cart-1 crashes again and again") || a.NextStep == "" {
			t.Errorf("the alert is %+v", a)
		}
		if got := next(); got != "firing "+crash+" shop" {
			t.Errorf("the webhook hears %q", got)
		}
		w.saysFired(a)
		w.standsOnTheReleasesPage(a)

		// A restart loses nothing and says nothing twice. What is on its way when it stops would
		// be sent again.
		w.delivered(a.ID, 1)
		w.Stop()
		w.begin()
		for range 3 {
			w.minute("shop")
		}
		if again := w.firing(); again.ID != a.ID {
			t.Errorf("after the restart it is another alert: %s, %s", a.ID, again.ID)
		}
		w.mend("shop")
		w.minute()
		if got := next(); got != "resolved "+crash+" shop" {
			t.Errorf("after the mending the webhook hears %q", got)
		}
		d, err := w.Alert(t.Context(), reader, a.ID)
		if err != nil || d.Alert.State != alert.Resolved || d.Alert.Resolved.IsZero() || d.Alert.Why == "" {
			t.Fatalf("the alert is %+v, %v; want it resolved", d.Alert, err)
		}
		if got := whats(d.History); !slices.Equal(got, []string{"fired", "resolved"}) {
			t.Errorf("its history is %v", got)
		}
		if e := w.events(event.TypeAlertResolved); len(e) != 1 {
			t.Errorf("%d events of the resolution, want one", len(e))
		}
		w.delivered(a.ID, 2)
	})
}

// routeTo gives a project a webhook for everything.
func (w *world) routeTo(project, url string) {
	w.t.Helper()
	_, err := w.PutReceiver(w.t.Context(), admin, alert.Receiver{Project: project, Name: "hook", Kind: alert.Webhook, URL: url, SendResolved: true})
	if err == nil {
		_, err = w.PutRoutes(w.t.Context(), admin, alert.Routes{Project: project, Routes: []alert.Route{
			{Receiver: "hook", GroupWait: alert.Duration(time.Millisecond), GroupInterval: alert.Duration(20 * time.Millisecond)},
		}})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func minutes(n int) alert.Duration { return alert.Duration(time.Duration(n) * time.Minute) }

// firing returns the one alert that fires.
func (w *world) firing() alert.Alert {
	w.t.Helper()
	list := w.alerts(alert.Filter{State: alert.Firing})
	if len(list) != 1 {
		w.t.Fatalf("%d alerts fire, want one: %+v", len(list), list)
	}
	return list[0]
}

func (w *world) saysFired(a alert.Alert) {
	w.t.Helper()
	list := w.events(event.TypeAlertFired)
	if len(list) != 1 {
		w.t.Fatalf("%d events of the firing, want one", len(list))
	}
	var p event.Alert
	if err := list[0].Into(&p); err != nil {
		w.t.Fatal(err)
	}
	if list[0].Subject != event.Of(event.KindAlert, a.ID) || list[0].Project != "shop" || p.Rule != crash || p.Release != a.Release || p.Summary != a.Summary {
		w.t.Errorf("the event is %+v, %+v", list[0], p)
	}
	edges, err := w.log.Out(w.t.Context(), list[0].Subject, event.RelConcerns, 10)
	if err != nil {
		w.t.Fatal(err)
	}
	var to []string
	for _, e := range edges {
		to = append(to, string(e.To))
	}
	slices.Sort(to)
	if diff := cmp.Diff([]string{"pod:uid-cart-1", "release:shop/production/48"}, to); diff != "" {
		w.t.Errorf("it concerns (-want +got):\n%s", diff)
	}
}

func (w *world) standsOnTheReleasesPage(a alert.Alert) {
	w.t.Helper()
	list, err := w.OfRelease(w.t.Context(), reader, "shop", "production", 48)
	if err != nil || len(list) != 1 || list[0].ID != a.ID {
		w.t.Errorf("the release has the alerts %+v, %v", list, err)
	}
	open, err := w.Open(w.t.Context(), reader, "shop")
	if err != nil || open["production"].Error != 1 || open["production"].Total() != 1 {
		w.t.Errorf("the environment has %+v open, %v; want one error", open, err)
	}
}

// delivered waits until so many notifications of an alert are recorded as sent: that is
// after the receiver has answered.
func (w *world) delivered(id string, n int) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		d, err := w.Alert(w.t.Context(), reader, id)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(d.Notifications) == n {
			for _, x := range d.Notifications {
				if x.State != alert.Sent || x.Attempts != 1 || x.Receiver != "hook" || x.Error != "" {
					w.t.Errorf("a notification is %+v", x)
				}
			}
			return
		}
		if len(d.Notifications) > n || time.Now().After(end) {
			w.t.Fatalf("%d notifications are recorded, want %d: %+v", len(d.Notifications), n, d.Notifications)
		}
	}
}

func whats(list []alert.Change) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.What)
	}
	return out
}

func TestTheRecommendedRulesAreSeededOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		list, err := w.Rules(t.Context(), admin, "")
		if err != nil || len(list) != 40 {
			t.Fatalf("%d rules, %v; want the forty", len(list), err)
		}
		for _, r := range list {
			if !r.Enabled || r.Every != minutes(1) || r.Origin != alert.Recommended {
				t.Errorf("rule %+v", r.Rule)
			}
		}
		before := len(w.events(event.TypeAlertRuleChanged))
		tuned := w.named("", crash).Rule
		tuned.Severity, tuned.Query = alert.Critical, "up"
		if got, err := w.PutRule(t.Context(), admin, tuned); err != nil || got.Query == "up" || got.Severity != alert.Critical {
			t.Errorf("tuned: %+v, %v; want another severity and the same query", got, err)
		}
		w.Stop()
		w.begin()
		if got := w.named("", crash); got.Severity != alert.Critical || got.Tuned["severity"] != alert.Error {
			t.Errorf("after the restart it is %+v", got.Rule)
		}
		if after := len(w.events(event.TypeAlertRuleChanged)); after != before+1 {
			t.Errorf("%d events, want one more than %d: seeding again says nothing", after, before)
		}
	})
}

// TestStateSurvivesARestart restarts before what was scraped is there again, and with an
// alert that only KeepFiringFor holds.
func TestStateSurvivesARestart(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	r, err := w.PutRule(t.Context(), writer, alert.Rule{Project: "shop", Name: "Down", Kind: alert.Metric, Query: "up == 0", Enabled: true, KeepFiringFor: minutes(10)})
	if err != nil {
		t.Fatal(err)
	}
	w.sample(0, "__name__", "up", "project", "shop")
	w.minute()
	a := w.firing()
	w.sample(1, "__name__", "up", "project", "shop")
	w.minute()
	w.Stop()
	w.begin()
	for range 7 {
		w.minute()
		if got := w.firing(); got.ID != a.ID {
			t.Fatalf("it is another alert")
		}
	}
	for range 4 {
		w.minute()
	}
	if got := w.alerts(alert.Filter{Rule: r.ID, State: alert.Firing}); len(got) != 0 {
		t.Errorf("after ten minutes it still fires: %+v", got)
	}

	// Before the first scrapes come in, what fired is not resolved.
	w.clock.Add(10 * time.Minute)
	w.sample(0, "__name__", "up", "project", "shop")
	w.clock.Add(time.Second)
	r.KeepFiringFor = 0
	if _, err := w.PutRule(t.Context(), writer, r); err != nil {
		t.Fatal(err)
	}
	w.minute()
	a = w.firing()
	w.Stop()
	w.clock.Add(30 * time.Minute)
	w.options.Settle = 2 * time.Minute
	w.begin()
	w.clock.Add(time.Minute)
	w.Step(t.Context())
	if got := w.firing(); got.ID != a.ID {
		t.Error("it is another alert")
	}
	w.clock.Add(3 * time.Minute)
	w.Step(t.Context())
	if got := w.alerts(alert.Filter{State: alert.Firing}); len(got) != 0 {
		t.Errorf("it never resolves: %+v", got)
	}
}

func errorsRule() alert.Rule {
	return alert.Rule{
		Project: "shop", Name: "Errors in logs", Kind: alert.Query, Enabled: true, Every: minutes(1), Severity: alert.Error, Summary: "{PodName} wrote {value} errors",
		Query: `ContainerLogV2 | where LogLevel == "ERROR" | summarize Errors = count() by PodName`,
		Condition: &alert.Condition{
			Period: minutes(5), Dimensions: []string{"PodName"}, Measure: "Errors", Operator: ">", Threshold: 10, Bad: 2, Of: 3, AutoResolve: true,
		},
	}
}

// TestAQueryRuleFiresForEachCombination runs a rule over answers that change, and looks at
// what is kept of it.
func TestAQueryRuleFiresForEachCombination(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		r, err := w.PutRule(t.Context(), writer, errorsRule())
		if err != nil {
			t.Fatal(err)
		}
		step := func(pods map[string]int64) {
			w.queries.say(counts(pods))
			w.clock.Add(time.Minute)
			w.Step(t.Context())
		}
		step(map[string]int64{"cart-1": 50, "web-1": 3})
		if n := len(w.alerts(alert.Filter{State: alert.Firing})); n != 0 {
			t.Fatalf("%d alerts after one bad evaluation of two", n)
		}
		step(map[string]int64{"cart-1": 51, "web-1": 3})
		a := w.firing()
		if a.Labels["pod"] != "cart-1" || a.Summary != "cart-1 wrote 51 errors" || a.Value != 51 || a.Project != "shop" || a.Kind != alert.Query {
			t.Errorf("the alert is %+v", a)
		}
		w.queries.say(func(query.Ask) (*query.Result, error) {
			return nil, fault.New(fault.TooLarge, "The query would need more memory than it is given.")
		})
		w.clock.Add(time.Minute)
		w.Step(t.Context())
		if got := w.named("shop", r.Name); got.Error == "" || w.firing().ID != a.ID {
			t.Errorf("after an error the rule is %+v", got)
		}
		// It outlives a restart, with what it remembers.
		w.Stop()
		w.begin()
		step(map[string]int64{"web-1": 3})
		if w.firing().ID != a.ID {
			t.Error("two of the last three are bad, and it is another alert")
		}
		step(map[string]int64{"web-1": 3})
		if got := w.alerts(alert.Filter{State: alert.Firing}); len(got) != 0 {
			t.Errorf("it does not resolve: %+v", got)
		}
		w.evaluationsAreKept(r.ID)
		w.asksAreConfined()
	})
}

func (w *world) evaluationsAreKept(rule string) {
	w.t.Helper()
	list, err := w.Evaluations(w.t.Context(), reader, rule, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(list)
	var got []string
	for _, e := range list {
		got = append(got, e.State)
	}
	if diff := cmp.Diff([]string{"pending", "firing", "error", "firing", "inactive"}, got); diff != "" {
		w.t.Errorf("evaluations (-want +got):\n%s", diff)
	}
	if e := list[1]; len(e.Values) != 2 || e.Values[0].Value != 51 || !e.Values[0].Bad || e.Values[1].Bad {
		w.t.Errorf("the second has %+v", e)
	}
	if list[2].Error == "" {
		w.t.Error("the failed one has no error")
	}
}

func (w *world) asksAreConfined() {
	w.t.Helper()
	w.queries.mu.Lock()
	defer w.queries.mu.Unlock()
	for _, ask := range w.queries.asked {
		if ask.Project != "shop" || ask.All || ask.To.Sub(ask.From) != 5*time.Minute {
			w.t.Errorf("it asked %+v", ask)
		}
	}
}

func TestMutedRulesAndClosedAlerts(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	r := errorsRule()
	r.Condition.Bad, r.Condition.Of, r.Condition.AutoResolve = 1, 1, false
	r, err := w.PutRule(t.Context(), writer, r)
	if err != nil {
		t.Fatal(err)
	}
	step := func(errs int64) {
		w.queries.say(counts(map[string]int64{"cart-1": errs}))
		w.clock.Add(time.Minute)
		w.Step(t.Context())
	}
	if err := w.MuteRule(t.Context(), writer, r.ID, w.clock.Now().Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	step(50)
	step(50)
	if n := len(w.alerts(alert.Filter{})); n != 0 {
		t.Fatalf("muted, %d alerts fire", n)
	}
	step(50)
	a := w.firing()
	step(0)
	step(0)
	if w.firing().ID != a.ID {
		t.Error("without auto-resolve it is another alert")
	}
	if err := w.Acknowledge(t.Context(), writer, a.ID, "I look at it"); err != nil {
		t.Fatal(err)
	}
	step(50)
	if got := w.firing(); got.AcknowledgedBy != writer.String() || got.Note != "I look at it" || got.Value != 50 {
		t.Errorf("an evaluation takes the acknowledgement away: %+v", got)
	}
	if err := w.Close(t.Context(), writer, a.ID, "mended by hand"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context(), writer, a.ID, "again"); !fault.Is(err, fault.Conflict) {
		t.Errorf("closing it again: %v", err)
	}
	step(50)
	if w.firing().ID == a.ID {
		t.Error("closed, it fires on")
	}
	d, err := w.Alert(t.Context(), reader, w.firing().ID)
	if err != nil || len(d.Before) != 1 || d.Before[0].ID != a.ID {
		t.Errorf("before it was %+v, %v", d.Before, err)
	}
	if err := w.DeleteRule(t.Context(), writer, r.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(w.alerts(alert.Filter{State: alert.Firing})); n != 0 {
		t.Errorf("the rule is gone and %d of its alerts fire", n)
	}
}

// TestOnlyOneAlertIsOpen shows what the index alert_open is for.
func TestOnlyOneAlertIsOpen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		insert := `INSERT INTO alert (id, rule, fingerprint, project, environment, release, severity, fired, resolved, body) VALUES (?, 'r', 'f', '', '', '', '', 1, ?, '{}')`
		for _, x := range []struct {
			id       string
			resolved int64
			fails    bool
		}{{"a", 5, false}, {"b", 0, false}, {"c", 0, true}, {"d", 9, false}} {
			if _, err := db.Exec(t.Context(), insert, x.id, x.resolved); store.Unique(err) != x.fails || (err != nil) != x.fails {
				t.Errorf("%s: %v", x.id, err)
			}
		}
	})
}

func TestWhatIsOldIsRemoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		if _, err := w.PutRule(t.Context(), writer, errorsRule()); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int64{50, 50, 0, 0, 0} {
			w.queries.say(counts(map[string]int64{"cart-1": n}))
			w.clock.Add(time.Minute)
			w.Step(t.Context())
		}
		if len(w.alerts(alert.Filter{})) != 1 {
			t.Fatal("no alert")
		}
		if err := w.Sweep(t.Context()); err != nil || len(w.alerts(alert.Filter{})) != 1 {
			t.Fatalf("what is young is removed, %v", err)
		}
		w.clock.Add(31 * 24 * time.Hour)
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := w.Evaluations(t.Context(), reader, w.named("shop", "Errors in logs").ID, 0)
		if err != nil || len(list) != 0 || len(w.alerts(alert.Filter{})) != 0 {
			t.Errorf("%d evaluations and %d alerts are left, %v", len(list), len(w.alerts(alert.Filter{})), err)
		}
	})
}

// TestEvaluationsAreBounded has a rule whose dimension is a long text, and one that has been
// asked for long: what is kept of both has an end.
func TestEvaluationsAreBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		r, err := w.PutRule(t.Context(), writer, errorsRule())
		if err != nil {
			t.Fatal(err)
		}
		long := map[string]int64{}
		for i := range 200 {
			long[fmt.Sprintf("%03d", i)+strings.Repeat("x", 20_000)] = 0
		}
		w.queries.say(counts(long))
		w.clock.Add(time.Minute)
		w.Step(t.Context())
		size := func() (rows, text int64) {
			if err := db.QueryRow(t.Context(), `SELECT COUNT(*), SUM(LENGTH(body)) FROM alert_evaluation WHERE rule = ?`, r.ID).Scan(&rows, &text); err != nil {
				t.Fatal(err)
			}
			return rows, text
		}
		if rows, text := size(); rows != 1 || text < 1000 || text > 16<<10 {
			t.Errorf("%d evaluation of %d characters, want one of at most 16 KiB", rows, text)
		}
		list, err := w.Evaluations(t.Context(), reader, r.ID, 0)
		if err != nil || len(list) != 1 || list[0].Groups != 200 || len(list[0].Values) == 0 {
			t.Errorf("the evaluation is %+v, %v", list, err)
		}
		young := list[0].At.UnixMilli()
		for i := range int64(100) {
			_, err := db.Exec(t.Context(), `INSERT INTO alert_evaluation (rule, at, body) VALUES (?, ?, ?)`, r.ID, young-100+i, `{"error":"`+strings.Repeat("x", 64<<10)+`"}`)
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, text := size()
		list, err = w.Evaluations(t.Context(), reader, r.ID, 0)
		if err != nil || text > 2<<20 || rows < 20 || list[0].Groups != 200 {
			t.Errorf("%d evaluations of %d characters are left, %v; want at most 2 MiB, the youngest ones", rows, text, err)
		}
	})
}

// TestAFailedScrapeResolvesNothing has the state of the cluster not answer for a moment, which
// ends all of its series, while a pod crashes.
func TestAFailedScrapeResolvesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		w.Stop()
		const job = "kube-state-metrics"
		w.options.Jobs = []string{job}
		w.begin()
		// pass lets a minute pass with the scrape up or not, and the pod crashing or not known.
		pass := func(up, waiting float64) []alert.Alert {
			w.sample(up, "__name__", "up", "job", job, "instance", "kube-state")
			w.sample(waiting, pod("shop", "kube_pod_container_status_waiting_reason", "reason", "CrashLoopBackOff", "job", job)...)
			w.sample(waiting, pod("shop", "kube_pod_container_status_restarts_total", "job", job)...)
			w.clock.Add(time.Minute)
			w.Step(t.Context())
			return w.alerts(alert.Filter{Project: "shop", State: alert.Firing})
		}
		var open []alert.Alert
		for range 18 {
			open = pass(1, 1)
		}
		if len(open) != 1 {
			t.Fatalf("%d alerts fire", len(open))
		}
		if got := pass(0, -1); len(got) != 1 || got[0].ID != open[0].ID {
			t.Errorf("while nothing is known: %+v", got)
		}
		if got := pass(1, 1); len(got) != 1 || got[0].ID != open[0].ID {
			t.Errorf("when it answers again: %+v", got)
		}
		if got := pass(1, -1); len(got) != 0 {
			t.Errorf("the pod is gone: %+v", got)
		}
		if got := w.alerts(alert.Filter{Project: "shop"}); len(got) != 1 {
			t.Errorf("it was %d alerts: %+v", len(got), got)
		}
		// What is away for longer holds nothing open.
		for range 18 {
			open = pass(1, 1)
		}
		for range 4 {
			open = pass(0, -1)
		}
		if len(open) != 0 {
			t.Errorf("after four minutes without an answer: %+v", open)
		}
	})
}
