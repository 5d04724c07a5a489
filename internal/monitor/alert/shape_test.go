package alert_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// TestPrometheusShape holds the answers of /api/v1/rules and /api/v1/alerts against what
// Prometheus' documentation ("HTTP API") says of them.
func TestPrometheusShape(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		for range 3 {
			w.minute("shop")
		}
		group := func() alert.PromGroup {
			t.Helper()
			got, err := w.PromRules(t.Context(), reader, "shop", false)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(got.Groups, func(g alert.PromGroup) bool { return g.Name == crash })
			if len(got.Groups) != 40 || i < 0 {
				t.Fatalf("%d groups", len(got.Groups))
			}
			return got.Groups[i]
		}
		g := group()
		if r := g.Rules[0]; g.File != "platform" || g.Interval != 60 || r.State != "pending" || r.Type != "alerting" || r.Health != "ok" || r.Duration != 900 || len(r.Alerts) != 1 {
			t.Errorf("pending, the group is %+v", g)
		}
		if a := g.Rules[0].Alerts[0]; a.State != "pending" || a.Value != "1e+00" || a.ActiveAt == nil || a.Labels["alertname"] != crash || a.Annotations["summary"] == "" {
			t.Errorf("the pending alert is %+v", a)
		}
		for range 15 {
			w.minute("shop")
		}
		if r := group().Rules[0]; r.State != "firing" || len(r.Alerts) != 1 || r.Alerts[0].State != "firing" {
			t.Errorf("firing, the rule is %+v", r)
		}
		all, err := w.PromAlerts(t.Context(), admin, "", true)
		if err != nil || !slices.ContainsFunc(all.Alerts, func(a alert.PromAlert) bool { return a.Labels["alertname"] == crash && a.State == "firing" }) {
			t.Fatalf("alerts %+v, %v", all, err)
		}
		text, err := json.Marshal(all)
		if err != nil || !strings.HasPrefix(string(text), `{"alerts":[{"labels":{`) || strings.Contains(string(text), "null") {
			t.Errorf("as JSON it is %s, %v", text, err)
		}
	})
}

// TestSilencesKeepBackAndExpire follows a silence from its making to its end.
func TestSilencesKeepBackAndExpire(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		for range 18 {
			w.minute("shop")
		}
		in := alert.Silence{
			Project: "shop", Matchers: []alert.Matcher{{Label: "alertname", Operator: "=~", Value: "KubePod.*"}}, Until: time.Now().Add(time.Hour), Why: "it is being mended",
		}
		s, err := w.Silence(t.Context(), writer, in)
		if err != nil || s.State != "active" || s.By != writer.String() {
			t.Fatalf("the silence is %+v, %v", s, err)
		}
		if a := w.firing(); !slices.Equal(a.SilencedBy, []string{s.ID}) {
			t.Errorf("the alert is silenced by %v", a.SilencedBy)
		}
		// It outlives a restart.
		w.Stop()
		w.begin()
		if a := w.firing(); !slices.Equal(a.SilencedBy, []string{s.ID}) {
			t.Errorf("after the restart the alert is silenced by %v", a.SilencedBy)
		}
		if err := w.Expire(t.Context(), writer, s.ID); err != nil {
			t.Fatal(err)
		}
		if a := w.firing(); len(a.SilencedBy) != 0 {
			t.Errorf("expired, it silences still: %v", a.SilencedBy)
		}
		list, err := w.Silences(t.Context(), reader, "shop")
		if err != nil || len(list) != 1 || list[0].State != "expired" {
			t.Errorf("silences %+v, %v", list, err)
		}
		if e := w.events(event.TypeSilenceChanged); len(e) != 2 {
			t.Errorf("%d events, want its making and its end", len(e))
		}
		for name, change := range map[string]func(*alert.Silence){
			"no reason": func(s *alert.Silence) { s.Why = "" }, "no matcher": func(s *alert.Silence) { s.Matchers = nil },
			"over before it starts": func(s *alert.Silence) { s.Until = w.clock.Now() }, "for ten years": func(s *alert.Silence) { s.Until = s.Until.AddDate(10, 0, 0) },
			"an expression that is none": func(s *alert.Silence) { s.Matchers = []alert.Matcher{{Label: "a", Operator: "=~", Value: "("}} },
		} {
			bad := in
			change(&bad)
			if _, err := w.Silence(t.Context(), writer, bad); err == nil {
				t.Errorf("%s: it is made", name)
			}
		}
	})
}
