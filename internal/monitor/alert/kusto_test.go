package alert_test

import (
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store/storetest"
)

// logs makes lines of a pod's log, one a second.
func logs(start time.Time, project, pod, level string, lines int) *table.Batch {
	b := &table.Batch{Table: table.ContainerLogV2}
	text := func(name, v string) {
		b.Columns = append(b.Columns, table.Column{Name: name, Kind: table.String})
		b.Vectors = append(b.Vectors, table.Texts(table.String, v, lines))
	}
	at := table.Vector{Kind: table.DateTime}
	for i := range lines {
		at.Int = append(at.Int, table.TicksOf(start.Add(time.Duration(i)*time.Second)))
	}
	b.Columns = append(b.Columns, table.Column{Name: table.TimeGenerated, Kind: table.DateTime})
	b.Vectors = append(b.Vectors, at)
	text("PodName", pod)
	text("PodNamespace", project+"-production")
	text("LogLevel", level)
	text(table.Project, project)
	text(table.Environment, "production")
	return b
}

// TestAQueryRuleOnTheRealLanguage runs a rule through parser, binder and executor over rows
// of two projects that both write errors.
func TestAQueryRuleOnTheRealLanguage(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	w.Stop()
	now := w.clock.Now()
	rows := query.NewMemory(
		logs(now, "shop", "cart-1", "ERROR", 20), logs(now, "shop", "web-1", "INFO", 50), logs(now, "shop", "web-1", "ERROR", 3), logs(now, "bank", "vault-1", "ERROR", 55),
	)
	w.parts.Queries = query.New(query.Options{Clock: w.clock, Tables: rows})
	w.begin()

	bad := errorsRule()
	bad.Query = "ContainerLogV2\n| whre LogLevel == 'ERROR'"
	if _, err := w.PutRule(t.Context(), writer, bad); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "2:3") {
		t.Errorf("a text that is wrong: %v, want its line and column", err)
	}
	r := errorsRule()
	r.Condition.Bad, r.Condition.Of = 1, 1
	r.Query = `ContainerLogV2 | where LogLevel == "ERROR" | summarize Errors = count() by PodName, PodNamespace`
	r.Condition.Dimensions = []string{"PodNamespace", "PodName"}
	if _, err := w.PutRule(t.Context(), writer, r); err != nil {
		t.Fatal(err)
	}
	missing := alert.Rule{
		Project: "shop", Name: "No requests", Kind: alert.Query, Enabled: true, Every: minutes(1), Query: `AppRequests`,
		Condition: &alert.Condition{Period: minutes(5), Operator: "<", Threshold: 1, AutoResolve: true},
	}
	if _, err := w.PutRule(t.Context(), writer, missing); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(2 * time.Minute)
	w.Step(t.Context())
	got := map[string]alert.Alert{}
	for _, a := range w.alerts(alert.Filter{State: alert.Firing}) {
		got[a.Name+"/"+a.Pod] = a
	}
	a, ok := got["Errors in logs/cart-1"]
	if len(got) != 2 || !ok || a.Value != 20 || a.Release != "shop/production/48" || a.Environment != "production" || a.PodUID != "uid-cart-1" {
		t.Errorf("firing %+v, want 20 errors of cart-1", got)
	}
	if none, ok := got["No requests/"]; !ok || none.Value != 0 || !strings.Contains(none.Summary, "0 rows < 1") {
		t.Errorf("firing %+v, want that there are no requests", got)
	}
	// After five minutes the lines have left the period.
	w.clock.Add(7 * time.Minute)
	w.Step(t.Context())
	if left := w.alerts(alert.Filter{State: alert.Firing}); len(left) != 1 || left[0].Name != "No requests" {
		t.Errorf("after the period %+v fire", left)
	}

	// A rule of the platform sees every project, and its alerts belong to them.
	r.ID, r.Project, r.Name = "", "", "Errors everywhere"
	r.Query = `ContainerLogV2 | where LogLevel == "ERROR" | summarize Errors = count() by PodName, PodNamespace, Project`
	r.Condition = &alert.Condition{Period: minutes(60), Dimensions: []string{"PodNamespace", "PodName", "Project"}, Measure: "Errors", Operator: ">", Threshold: 10}
	if _, err := w.PutRule(t.Context(), admin, r); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(time.Minute)
	w.Step(t.Context())
	for project, pod := range projectPod {
		list := w.alerts(alert.Filter{Project: project, State: alert.Firing})
		found := false
		for _, a := range list {
			found = found || a.Name == "Errors everywhere" && a.Pod == pod
		}
		if !found {
			t.Errorf("project %s has %+v, want the errors of %s", project, list, pod)
		}
	}
}
