package alert_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
)

// roles is an authoriser over a table: user → project → role.
type roles map[string]map[string]identity.Role

func (r roles) Require(_ context.Context, a identity.Actor, project string, want identity.Role) error {
	switch has := r[a.Name][project]; {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.")
	case a.Admin || has >= want:
		return nil
	case has < identity.Read:
		return fault.New(fault.NotFound, "There is no project %s.", project)
	}
	return fault.New(fault.Denied, "This needs the role %s.", want)
}

func (r roles) RequireAdmin(_ context.Context, a identity.Actor) error {
	switch {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.")
	case a.Admin:
		return nil
	}
	return fault.New(fault.Denied, "This needs an administrator.")
}

// answers is a store of logs that answers what a test puts in.
type answers struct {
	mu    sync.Mutex
	asked []query.Ask
	next  func(query.Ask) (*query.Result, error)
}

func (a *answers) Run(_ context.Context, ask query.Ask) (*query.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, ask)
	return a.next(ask)
}

func (a *answers) say(next func(query.Ask) (*query.Result, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = next
}

// counts answers with a row for each pod: its name and how many errors it wrote.
func counts(pods map[string]int64) func(query.Ask) (*query.Result, error) {
	return func(query.Ask) (*query.Result, error) {
		b := &table.Batch{
			Columns: []table.Column{{Name: "PodName", Kind: table.String}, {Name: "Errors", Kind: table.Long}},
			Vectors: []table.Vector{{Kind: table.String}, {Kind: table.Long}},
		}
		for pod, n := range pods {
			b.Vectors[0].Text = append(b.Vectors[0].Text, pod)
			b.Vectors[1].Int = append(b.Vectors[1].Int, n)
		}
		return &query.Result{Batch: b}, nil
	}
}

// places knows one pod of each project.
type places map[string]place.Place

func (p places) ByUID(string) (place.Place, bool)          { return place.Place{}, false }
func (p places) ByAddress(netip.Addr) (place.Place, bool)  { return place.Place{}, false }
func (p places) ByName(ns, pod string) (place.Place, bool) { x, ok := p[ns+"/"+pod]; return x, ok }

// releases knows the release of each environment.
type releases map[string]string

func (r releases) Current(_ context.Context, project, environment string) (string, error) {
	return r[project+"/"+environment], nil
}

// items remembers what it was asked to open.
type items struct {
	mu   sync.Mutex
	open []alert.ItemRequest
}

func (i *items) Open(_ context.Context, r alert.ItemRequest) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.open = append(i.open, r)
	return "item:7", nil
}

var (
	admin      = user("root", true)
	owner      = user("owner", false)   // admin of shop
	writer     = user("writer", false)  // write in shop
	reader     = user("reader", false)  // read in shop
	attacker   = user("mallory", false) // admin of bank
	nobody     = identity.Actor{}
	everybody  = roles{"owner": {"shop": identity.Admin}, "writer": {"shop": identity.Write}, "reader": {"shop": identity.Read}, "mallory": {"bank": identity.Admin}}
	projectPod = map[string]string{"shop": "cart-1", "bank": "vault-1"}
)

func user(name string, isAdmin bool) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Admin: isAdmin, Cap: identity.Admin}
}

type world struct {
	*alert.Service
	t       *testing.T
	db      *store.DB
	log     *event.Log
	clock   *clocktest.Clock
	series  *teststorage.TestStorage
	queries *answers
	items   *items
	parts   alert.Parts
	options alert.Options
}

// build makes a world whose clock stands two hours before now: Alertmanager has no other
// clock than that of the machine, and what resolves in the future is not resolved.
func build(t *testing.T, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, clock: clocktest.At(time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Minute)), queries: &answers{next: counts(nil)}, items: &items{}}
	w.log = event.New(db, w.clock)
	w.series = teststorage.New(t)
	t.Cleanup(func() { _ = w.series.Close() })
	v, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	known, rel := places{}, releases{}
	for project, pod := range projectPod {
		known[project+"-production/"+pod] = place.Place{Project: project, Environment: "production", Release: project + "/production/48", Namespace: project + "-production", Pod: pod, UID: "uid-" + pod}
		rel[project+"/production"] = project + "/production/47"
	}
	w.parts = alert.Parts{
		DB: db, Log: w.log, Auth: everybody, Clock: w.clock, Vault: v, Series: w.series, PromQL: promqltest.NewTestEngine(t, false, 0, 100_000),
		Queries: w.queries, Places: known, Releases: rel, Items: w.items, Logger: slog.New(slog.DiscardHandler),
	}
	w.options = alert.Options{Settle: -1, URL: "http://localhost:7080", Allow: []string{"127.0.0.1"}}
	w.begin()
	return w
}

// begin starts a service over the database, as a restart does.
func (w *world) begin() {
	w.t.Helper()
	var err error
	w.Service, err = alert.New(w.parts, w.options)
	if err == nil {
		err = errors.Join(w.Seed(w.t.Context()), w.Start(w.t.Context()))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.Stop)
}

// sample appends a value of a series now; a negative one ends it.
func (w *world) sample(v float64, pairs ...string) {
	w.t.Helper()
	if v < 0 {
		v = math.Float64frombits(value.StaleNaN)
	}
	a := w.series.Appender(w.t.Context())
	if _, err := a.Append(0, labels.FromStrings(pairs...), w.clock.Now().UnixMilli(), v); err != nil {
		w.t.Fatal(err)
	}
	if err := a.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

// pod are the labels of a container's series.
func pod(project, name string, more ...string) []string {
	return append([]string{"__name__", name, "project", project, "environment", "production", "cluster", "embedded", "namespace", project + "-production",
		"pod", projectPod[project], "container", "main"}, more...)
}

// minute lets a minute pass, in which the pods of some projects crash again and again.
func (w *world) minute(crashing ...string) {
	w.t.Helper()
	for _, project := range crashing {
		w.sample(1, pod(project, "kube_pod_container_status_waiting_reason", "reason", "CrashLoopBackOff")...)
		w.sample(3, pod(project, "kube_pod_container_status_restarts_total")...)
	}
	w.clock.Add(time.Minute)
	w.Step(w.t.Context())
}

// mend ends the series of a project's pod.
func (w *world) mend(project string) {
	w.t.Helper()
	w.sample(-1, pod(project, "kube_pod_container_status_waiting_reason", "reason", "CrashLoopBackOff")...)
	w.sample(-1, pod(project, "kube_pod_container_status_restarts_total")...)
}

func (w *world) alerts(f alert.Filter) []alert.Alert {
	w.t.Helper()
	list, err := w.Alerts(w.t.Context(), admin, f)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// named returns the rule of a name, as an administrator sees it.
func (w *world) named(project, name string) alert.RuleState {
	w.t.Helper()
	list, err := w.Rules(w.t.Context(), admin, project)
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(r alert.RuleState) bool { return r.Name == name })
	if i < 0 {
		w.t.Fatalf("there is no rule %s", name)
	}
	return list[i]
}

func (w *world) events(kind string) []event.Event {
	w.t.Helper()
	list, err := w.log.Read(w.t.Context(), event.Query{Type: kind, Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// hook receives notifications.
func hook(t *testing.T) (url string, next func() string) {
	t.Helper()
	got := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("a notification that is no JSON: %v", err)
		}
		for _, a := range m.Alerts {
			got <- a.Status + " " + a.Labels["alertname"] + " " + a.Labels["project"]
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/secret-path", func() string {
		t.Helper()
		select {
		case m := <-got:
			return m
		case <-time.After(20 * time.Second):
			t.Fatal("no notification came")
			return ""
		}
	}
}
