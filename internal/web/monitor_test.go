package web_test

import (
	"net/http"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/web/webtest"
)

// TestPagesOfTheMonitorNeedNoScript: what the pages of the room show stands in them.
func TestPagesOfTheMonitorNeedNoScript(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	for path, want := range map[string][]string{
		"/projects/shop/monitor":                                     {"down", "cart restarts again and again", "read its last lines", "44 MiB", "KubePodCrashLooping"},
		"/projects/shop/monitor/logs":                                {"checkout failed: pricing returned 503 after 3 retries order=88120", "errors of checkout", "60 rows"},
		"/projects/shop/monitor/logs?q=AppTraces+%7C+nonsense":       {">AppTraces | nonsense</textarea>", "1:18: there is no operator"},
		"/projects/shop/monitor/logs?q=x&range=99999999999":          {`<option value="1800" selected`},
		"/projects/shop/monitor/traces":                              {"POST /checkout", "10.4", "1.2 s", "/projects/shop/monitor/traces/" + webtest.TraceID},
		"/projects/shop/monitor/traces/" + webtest.TraceID:           {"4 spans", "1 failed span", "SELECT price"},
		"/projects/shop/monitor/map":                                 {"web calls cart by HTTP: 2\u202f048 calls", "web, 30\u202f127 requests", "postgresql", "q=AppRequests%0A%7C+where+AppRoleName", "from=2026-11-23T13%3A32%3A00Z", `class="node shut"`, "marker-end"},
		"/projects/shop/monitor/errors":                              {"PricingUnavailable", "production/47", "214"},
		"/projects/shop/monitor/errors?show=resolved":                {"ValueError"},
		"/projects/shop/monitor/errors?q=tag":                        {"No error is open."},
		"/projects/shop/monitor/errors/" + webtest.GroupID:           {"cart.Checkout (cart/checkout.go:88)", "/projects/shop/monitor/traces/" + webtest.TraceID, "Resolve", "in each hour of the last two days"},
		"/projects/shop/monitor/alerts":                              {"KubePodCrashLooping", "firing"},
		"/projects/shop/monitor/alerts?show=resolved":                {"checkout fails", "resolved"},
		"/projects/shop/monitor/alerts/" + webtest.AlertID:           {"read the last lines of its log", "550 no such mailbox", "It restarted 7 times", "/projects/shop/monitor/metrics?q=increase", "Silence"},
		"/projects/shop/monitor/rules":                               {"there is no table AppRequest", "recommended"},
		"/projects/shop/monitor/rules/01R1":                          {"in 2 of 3 evaluations", "of each AppRoleName"},
		"/projects/shop/monitor/rules/new?q=AppRequests":             {">AppRequests</textarea>", `value="10m"`, `value="AppRoleName"`},
		"/projects/shop/monitor/rules/new?q=nonsense":                {">nonsense</textarea>", "there is no table nonsense"},
		"/projects/shop/monitor/rules/new?kind=metric&q=up+%3D%3D+0": {"up == 0</textarea>", `<option value="metric" selected`},
		"/projects/shop/environments":                                {"1 alert fires", "/projects/shop/monitor/alerts?environment=production"},
		"/projects/shop/environments/production":                     {"KubePodCrashLooping"},
		"/projects/shop/environments/production/releases/47":         {"checkout fails", "10.4 % of requests fail, 0.1 % before", "PricingUnavailable", "checkout failed: pricing returned"},
		"/search?project=shop&q=trace+" + webtest.TraceID:            {"/projects/shop/monitor/traces/" + webtest.TraceID},
		"/search?project=shop&q=alert+crash":                         {"/projects/shop/monitor/alerts/" + webtest.AlertID},
		"/search?project=shop&q=pricing+returned":                    {"/projects/shop/monitor/errors/" + webtest.GroupID},
		"/search?project=shop&q=logs+checkout+failed":                {"where+LogMessage+has+%22checkout+failed%22"},
	} {
		r := v.get(path)
		for _, w := range want {
			if !strings.Contains(r.body, w) {
				t.Errorf("%s (status %d) does not show %q", path, r.StatusCode, w)
			}
		}
	}
	bob := s.as(t, "bob")
	for _, path := range []string{"/projects/shop/monitor/errors/" + webtest.GroupID, "/projects/shop/monitor/alerts/" + webtest.AlertID, "/projects/shop/monitor/rules/01R1"} {
		if body := bob.get(path).body; strings.Contains(body, `method="post" action="/projects`) {
			t.Errorf("a reader is offered a form on %s", path)
		}
	}
}

func TestATraceIsOpenedByItsID(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	if r := v.get("/projects/shop/monitor/traces?trace=" + strings.ToUpper(webtest.TraceID)); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/projects/shop/monitor/traces/"+webtest.TraceID {
		t.Errorf("status %d, leads to %q", r.StatusCode, r.Header.Get("Location"))
	}
	for _, path := range []string{"/projects/shop/monitor/traces/" + strings.Repeat("0", 32), "/projects/shop/monitor/alerts/none", "/projects/shop/monitor/rules/none", "/projects/shop/monitor/errors/none"} {
		if r := v.get(path); r.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", path, r.StatusCode)
		}
	}
}
