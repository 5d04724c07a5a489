package web_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/web/webtest"
)

// pages are the addresses of every kind of page within a project.
var pages = []string{
	"/projects/shop", "/projects/shop?open=42", "/projects/shop?show=shut&q=retry", "/projects/shop/runs", "/projects/shop/runs?start=1", "/projects/shop/runs/2040",
	"/projects/shop/runs/2041", "/projects/shop/runs/2040?tab=tests", "/projects/shop/runs/2040?tab=artifacts", "/projects/shop/runs/2040?tab=file",
	"/projects/shop/code", "/projects/shop/code/shop", "/projects/shop/code/fresh", "/projects/shop/code/shop/tree/main/cart", "/projects/shop/code/shop/tree/feature%2Ftags",
	"/projects/shop/code/shop/blob/main/cart/rounding.go", "/projects/shop/code/shop/blob/main/evil.html", "/projects/shop/code/shop/raw/main/evil.html",
	"/projects/shop/code/shop/commits/main", "/projects/shop/code/shop/commit/" + webtest.Newest, "/projects/shop/code/shop/branches",
	"/projects/shop/runs/2040?tab=timeline", "/projects/shop/runs/2040?tab=compare", "/projects/shop/runs/2040?tab=compare&with=2037", "/projects/shop/runs/2040?tab=summary", "/projects/shop/runs/2040?tab=coverage", "/projects/shop/runs/2040?tab=given",
	"/projects/shop/runs/2040?tab=artifacts", "/projects/shop/runs/2040?job=Build.cart%231&step=1", "/projects/shop/runs/2041?stage=Scan", "/projects/shop/checks", "/projects/shop/resources/environment/production", "/projects/shop/resources/environment/production?add=rest", "/projects/shop/resources/pool/Default", "/projects/shop/library", "/projects/shop/library?add=connection", "/projects/shop/library/groups/production", "/projects/shop/library/connections/hub", "/projects/shop/agents", "/projects/shop/runs?start=1",
	"/projects/shop/runs/2036?tab=checks", "/projects/shop/images", "/projects/shop/images/shop/cart@" + webtest.Digest, "/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=findings",
	"/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=packages&q=module07", "/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=layers",
	"/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=referrers", "/projects/shop/images/shop/cart:main", "/projects/shop/environments",
	"/projects/shop/environments/production", "/projects/shop/environments/production/releases/47", "/projects/shop/trace/commit/" + webtest.Newest,
	"/projects/shop/trace/release/shop/production/48", "/projects/shop/settings",
	"/projects/shop/pulls", "/projects/shop/pulls?show=mine&q=dark", "/projects/shop/pulls?show=merged", "/projects/shop/pulls/new", "/projects/shop/pulls/new?repo=shop&source=feature%2Ftags",
	"/projects/shop/pulls/shop/7", "/projects/shop/pulls/shop/7?tab=files", "/projects/shop/pulls/shop/7?tab=files&at=0n21", "/projects/shop/pulls/shop/7?tab=files&file=3",
	"/projects/shop/pulls/shop/7?tab=checks", "/projects/shop/pulls/shop/7?tab=verdicts", "/projects/shop/pulls/shop/7?tab=commits", "/projects/shop/pulls/shop/7?edit=1", "/projects/shop/pulls/shop/4",
	"/projects/shop/code/shop/settings", "/projects/shop/code/shop/settings/rulesets/new", "/projects/shop/code/shop/settings/rulesets/main%20is%20reviewed",
	"/projects/shop/policy", "/projects/shop/policy?show=all&q=cart", "/projects/shop/policy/assignments/shop-restricted", "/projects/shop/policy/definitions", "/projects/shop/policy/definitions/container-no-privilege",
	"/projects/shop/policy/definitions/image-verdict", "/projects/shop/policy/initiatives/baseline", "/projects/shop/policy/exemptions", "/projects/shop/policy/exemptions?show=expired",
	"/projects/shop/policy/exemptions/new", "/projects/shop/policy/exemptions/new?assignment=baseline", "/projects/shop/policy/assign", "/projects/shop/policy/assign?target=initiative:baseline",
	"/projects/shop/policy/decisions", "/projects/shop/policy/decisions?show=refused&point=pull", "/projects/shop/policy/decisions/" + webtest.DecisionPull,
	"/projects/shop/code/shop/secrets", "/projects/shop/code/shop/secrets/01F1", "/projects/shop/code/shop/secrets/01F2",
	"/projects/shop/monitor", "/projects/shop/monitor/logs", "/projects/shop/monitor/logs?q=%3Cscript%3Enonsense&range=300", "/projects/shop/monitor/logs?q=AppRequests&from=2026-11-23T13:00:00Z&to=2026-11-23T13:10:00Z",
	"/projects/shop/monitor/traces", "/projects/shop/monitor/traces?name=GET+/cart&role=%3Cscript%3E", "/projects/shop/monitor/traces/" + webtest.TraceID, "/projects/shop/monitor/metrics", "/projects/shop/monitor/metrics?q=%3C/textarea%3E%3Cscript%3E",
	"/projects/shop/monitor/map", "/projects/shop/monitor/map?range=86400&environment=production", "/projects/shop/monitor/errors", "/projects/shop/monitor/errors?show=all&q=tag", "/projects/shop/monitor/errors/" + webtest.GroupID,
	"/projects/shop/monitor/alerts", "/projects/shop/monitor/alerts?show=all&environment=production", "/projects/shop/monitor/alerts/" + webtest.AlertID, "/projects/shop/monitor/alerts/01JD8ALERTRESOLVED00000000",
	"/projects/shop/monitor/rules", "/projects/shop/monitor/rules?show=active&q=pod", "/projects/shop/monitor/rules/pod-crash-looping", "/projects/shop/monitor/rules/01R1", "/projects/shop/monitor/rules/new", "/projects/shop/monitor/rules/new?q=AppRequests",
	"/projects/shop/monitor/rules/new?kind=metric&q=up",
	"/projects/shop/board", "/projects/shop/board?sprint=none&lanes=assignee&q=cart", "/projects/shop/backlog", "/projects/shop/backlog?show=insights&q=%3Cscript%3E", "/projects/shop/backlog?show=New",
	"/projects/shop/items/41", "/projects/shop/items/38", "/projects/shop/sprints", "/projects/shop/sprints/s12", "/projects/shop/planning", "/projects/shop/dora", "/projects/shop/dora?by=month&environment=staging", "/projects/shop/environments/production/releases/48", "/projects/shop/environments/staging", "/projects/shop/sessions", "/projects/shop/sessions?show=all",
}

func TestEveryPageIsShownToWhoMayReadIt(t *testing.T) {
	s := newSite(t)
	for _, user := range []string{"ada", "bob"} {
		v := s.as(t, user)
		for _, path := range append([]string{"/projects", "/settings", "/status", "/search?q=run&project=shop"}, pages...) {
			if r := v.get(path); r.StatusCode != http.StatusOK {
				t.Errorf("%s: GET %s: status %d", user, path, r.StatusCode)
			}
		}
	}
}

func TestNoPageIsShownToWhoMayNot(t *testing.T) {
	s := newSite(t)
	more := []string{
		"/projects/shop/events", "/projects/shop/runs/2041/events", "/projects/shop/runs/2040/log/Build.cart/3", "/projects/shop/runs/2040/log/Build.cart/3/raw",
		"/projects/shop/runs/2040/log/Build.cart/3/find?q=a", "/projects/shop/runs/2041/log/Build.cart/3/events", "/projects/shop/runs/2040/artifacts/drop",
		"/projects/shop/images/" + webtest.Digest,
	}
	eve, nobody := s.as(t, "eve"), s.as(t, "")
	for _, path := range append(more, pages...) {
		r := eve.get(path)
		if r.StatusCode != http.StatusNotFound {
			t.Errorf("eve: GET %s: status %d, want 404", path, r.StatusCode)
		}
		for _, secret := range []string{"Price rounding", "coverage", "golang.org/x/net", webtest.Digest[:20]} {
			if strings.Contains(r.body, secret) && !strings.Contains(path, secret) {
				t.Errorf("eve: GET %s shows %q", path, secret)
			}
		}
		r = nobody.get(path)
		if want := "/login?next=" + url.QueryEscape(path); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != want {
			t.Errorf("nobody: GET %s: status %d to %q, want 303 to %q", path, r.StatusCode, r.Header.Get("Location"), want)
		}
	}
}

func TestHeaders(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	for _, path := range []string{"/projects/shop", "/login", "/projects/nowhere", "/assets/x/towpath.js", "/projects/shop/code/shop/raw/main/evil.html"} {
		r := v.get(path)
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Referrer-Policy") == "" {
			t.Errorf("%s: headers %v", path, r.Header)
		}
	}
	if r := v.get("/projects/shop/code/shop/raw/main/evil.html"); !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") || !strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("a foreign file is served as %v", r.Header)
	}
	if got := v.get("/projects/shop").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("a page may be kept: %q", got)
	}
}

// foreign is markup that must never stand in a page as such, and what the policy forbids.
var foreign = []*regexp.Regexp{
	regexp.MustCompile(`<script>`), regexp.MustCompile(`<script(?: [^>]*)?>[^<]`), regexp.MustCompile(`<img`), regexp.MustCompile(`<[^>]+ style=`),
	regexp.MustCompile(`<[a-z]+(?: [a-z-]+(?:="[^"]*")?)* on[a-z]+=`), regexp.MustCompile(`href="javascript:`), regexp.MustCompile(`<b>\.txt`),
}

func TestForeignTextIsEscaped(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	seen := map[string]bool{}
	for _, path := range append(pages, "/projects/shop?q=%3Cscript%3Ealert(1)%3C/script%3E", "/projects/shop/runs/2040/log/Build.cart/3", "/search?project=shop&q=%3Cscript%3E", "/projects/%3Cscript%3Ex") {
		if strings.Contains(path, "/raw/") {
			continue
		}
		r := v.get(path)
		for _, f := range foreign {
			if m := f.FindString(r.body); m != "" {
				t.Errorf("%s: %q stands in the page", path, m)
			}
		}
		for _, text := range []string{"&lt;script&gt;alert(1)", "&lt;img src=x", "&lt;b&gt;.txt"} {
			seen[text] = seen[text] || strings.Contains(r.body, text)
		}
	}
	for _, text := range []string{"&lt;script&gt;alert(1)", "&lt;img src=x", "&lt;b&gt;.txt"} {
		if !seen[text] {
			t.Errorf("no page showed %q: the fixture lost its foreign text", text)
		}
	}
}

func TestForms(t *testing.T) {
	s := newSite(t)
	ada, bob := s.as(t, "ada"), s.as(t, "bob")
	good := ada.token("/projects/shop/runs/2041")
	for _, c := range []struct {
		name    string
		v       *visitor
		token   string
		headers []string
		want    int
	}{
		{"without a token", ada, "", nil, http.StatusForbidden},
		{"with another session's token", ada, bob.token("/settings"), nil, http.StatusForbidden},
		{"from another site", ada, good, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"from another origin", ada, good, []string{"Origin", "http://evil.example"}, http.StatusForbidden},
		{"by a reader", bob, bob.token("/settings"), nil, http.StatusForbidden},
		{"as the page sends it", ada, good, []string{"Sec-Fetch-Site", "same-origin"}, http.StatusSeeOther},
	} {
		before := len(s.Canceled)
		r := c.v.post("/projects/shop/runs/2041/cancel", url.Values{"csrf": {c.token}}, c.headers...)
		if r.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d", c.name, r.StatusCode, c.want)
		}
		if done := len(s.Canceled) > before; done != (c.want == http.StatusSeeOther) {
			t.Errorf("%s: cancelled is %v", c.name, done)
		}
	}
	if strings.Contains(bob.get("/projects/shop/runs/2041").body, "Cancel the run") {
		t.Error("a reader is offered to cancel the run")
	}
	if !strings.Contains(ada.get("/projects/shop/runs/2041").body, "steps with always() still run") {
		t.Error("the notice is not shown")
	}
	if strings.Contains(ada.get("/projects/shop/runs/2041").body, "steps with always() still run") {
		t.Error("the notice is shown twice")
	}
}

func TestLogin(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct{ user, password, next, to string }{
		{"ada", webtest.Password, "/projects/shop/runs/2040?tab=tests", "/projects/shop/runs/2040?tab=tests"},
		{"ada", webtest.Password, "//evil.example/x", "/projects"},
		{"ada", webtest.Password, "https://evil.example", "/projects"},
		{"ada", webtest.Password, "/\\evil.example", "/projects"},
		{"ada", "wrong", "/projects", ""},
	} {
		v := s.as(t, "")
		r := v.post("/login", url.Values{"user": {c.user}, "password": {c.password}, "next": {c.next}})
		if r.Header.Get("Location") != c.to {
			t.Errorf("%v: leads to %q", c, r.Header.Get("Location"))
		}
		if in := v.get("/projects").StatusCode == http.StatusOK; in != (c.to != "") {
			t.Errorf("%v: signed in is %v", c, in)
		}
		if c.to == "" && (r.StatusCode != http.StatusUnauthorized || !strings.Contains(r.body, "User name or password is wrong.") || strings.Contains(r.body, "wrong\"")) {
			t.Errorf("%v: status %d, %s", c, r.StatusCode, r.body)
		}
	}
	v := s.as(t, "ada")
	if r := v.post("/logout", url.Values{"csrf": {v.token("/settings")}}); r.StatusCode != http.StatusSeeOther || v.get("/projects").StatusCode == http.StatusOK {
		t.Errorf("signing out: status %d", r.StatusCode)
	}
}

func TestTokenSecretIsShownOnce(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	r := v.post("/settings/tokens", url.Values{"csrf": {v.token("/settings")}, "name": {"ci"}, "scope": {"write"}, "days": {"30"}})
	if r.StatusCode != http.StatusOK || !strings.Contains(r.body, "twp_secretsecretsecret") {
		t.Fatalf("status %d: the secret is not shown", r.StatusCode)
	}
	if strings.Contains(v.get("/settings").body, "twp_") {
		t.Error("the secret is shown again")
	}
	if r := v.post("/settings/tokens/02T/revoke", url.Values{"csrf": {v.token("/settings")}}); r.StatusCode != http.StatusSeeOther || !s.Tokens[1].Revoked {
		t.Errorf("revoking: status %d", r.StatusCode)
	}
}

func TestErrorPageKeepsTheCauseToItself(t *testing.T) {
	s := newSite(t)
	s.Broken = errors.New("disk on fire at /var/lib/towpath")
	r := s.as(t, "ada").get("/projects/shop")
	if r.StatusCode != http.StatusInternalServerError || strings.Contains(r.body, "on fire") {
		t.Errorf("status %d: %s", r.StatusCode, r.body)
	}
	id := regexp.MustCompile(`data-copy="([0-9a-f]{12})"`).FindStringSubmatch(r.body)
	if id == nil || !strings.Contains(s.log.String(), "error_id="+id[1]) || !strings.Contains(s.log.String(), "on fire") {
		t.Errorf("id %v does not find the cause in %s", id, s.log)
	}
	if !strings.Contains(s.as(t, "bob").get("/projects/shop/runs/99").body, "list the runs with: towpath run list") {
		t.Error("the next step is missing")
	}
}

func TestEmptyPagesTeach(t *testing.T) {
	s := newSite(t)
	s.Empty = true
	v := s.as(t, "ada")
	for path, want := range map[string]string{
		"/projects/shop":                "git remote add towpath http://localhost:7080/shop/shop.git",
		"/projects/shop/code":           "git push -u towpath main",
		"/projects/shop/code/fresh":     "git remote add towpath http://localhost:7080/shop/fresh.git",
		"/projects/shop/runs":           "git add azure-pipelines.yml",
		"/projects/shop/images":         "docker push localhost:7080/shop/web:1",
		"/projects/shop/environments":   "environment: production",
		"/projects/shop/monitor":        "git push towpath main",
		"/projects/shop/monitor/logs":   "union withsource=Table",
		"/projects/shop/monitor/traces": "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:7080/otlp",
		"/projects/shop/monitor/map":    "X-Towpath-Project=shop",
		"/projects/shop/monitor/errors": "span.record_exception(error)",
		"/projects/shop/monitor/alerts": "/projects/shop/monitor/rules/new",
	} {
		if r := v.get(path); !strings.Contains(r.body, want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
}

func TestAssets(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "")
	m := regexp.MustCompile(`/assets/[0-9a-f]+/[a-z./]+`).FindAllString(v.get("/login").body, -1)
	if len(m) < 4 {
		t.Fatalf("assets: %v", m)
	}
	for _, path := range m {
		r := v.get(path)
		if r.StatusCode != http.StatusOK || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
		}
	}
	if r := v.get("/assets/0000/towpath.css"); r.StatusCode != http.StatusOK || strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("an old address: %d %v", r.StatusCode, r.Header)
	}
	if r := v.get("/assets/0000/../web.go"); r.StatusCode == http.StatusOK {
		t.Error("a file outside of the assets is served")
	}
}

func TestFilters(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	for path, want := range map[string][]string{
		"/projects/shop":                           {"Price rounding for multi-currency carts", "Bump grpc", "Dark mode"},
		"/projects/shop?show=mine":                 {"Price rounding for multi-currency carts", "Faster cold start"},
		"/projects/shop?show=held":                 {"Catalog search by tag"},
		"/projects/shop?show=production":           {"Faster cold start"},
		"/projects/shop?q=grpc":                    {"Bump grpc"},
		"/projects/shop/runs?show=failed":          {"first try"},
		"/projects/shop/runs?q=2036":               {"Catalog search by tag"},
		"/projects/shop/images?q=pricing":          {"shop/pricing"},
		"/projects?q=bill":                         {"billing"},
		"/projects/shop/runs/2040?tab=tests&q=JPY": {"TestPriceRounding"},
	} {
		body := v.get(path).body
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s does not show %q", path, w)
			}
		}
		if strings.Contains(path, "?") && strings.Contains(body, "Dark mode") {
			t.Errorf("%s shows what it should leave out", path)
		}
	}
}
