package browser_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/web"
	"towpath.dev/towpath/internal/web/browser"
	"towpath.dev/towpath/internal/web/webtest"
)

// tour lists the pages that are looked at.
var tour = []struct{ name, path string }{
	{"path", "/projects/shop"}, {"path-open", "/projects/shop?open=42"}, {"run", "/projects/shop/runs/2040"}, {"run-live", "/projects/shop/runs/2041"},
	{"run-hooks", "/projects/shop/runs/2038?job=Deploy.shop&step=3"}, {"run-held", "/projects/shop/runs/2036"}, {"run-timeline", "/projects/shop/runs/2040?tab=timeline"}, {"run-compare", "/projects/shop/runs/2040?tab=compare"}, {"run-summary", "/projects/shop/runs/2040?tab=summary"},
	{"run-coverage", "/projects/shop/runs/2040?tab=coverage"}, {"run-given", "/projects/shop/runs/2040?tab=given"}, {"run-artifacts", "/projects/shop/runs/2040?tab=artifacts"}, {"run-attempt", "/projects/shop/runs/2040?job=Build.cart%231&step=1"},
	{"checks", "/projects/shop/checks"}, {"resource", "/projects/shop/resources/environment/production?add=approval"}, {"library", "/projects/shop/library?add=connection"}, {"group", "/projects/shop/library/groups/production"}, {"agents", "/projects/shop/agents"}, {"pipelines", "/projects/shop/pipelines"}, {"pipeline-add", "/projects/shop/pipelines?add=1"}, {"test-history", "/projects/shop/tests?pipeline=1"}, {"test", "/projects/shop/tests/4711?pipeline=1"}, {"retention", "/projects/shop/retention"}, {"run-checks", "/projects/shop/runs/2036?tab=checks"},
	{"run-tests", "/projects/shop/runs/2040?tab=tests"}, {"runs", "/projects/shop/runs?start=1"}, {"code", "/projects/shop/code"}, {"tree", "/projects/shop/code/shop"},
	{"blob", "/projects/shop/code/shop/blob/main/cart/rounding.go"}, {"commits", "/projects/shop/code/shop/commits/main"}, {"commit", "/projects/shop/code/shop/commit/" + webtest.Newest},
	{"branches", "/projects/shop/code/shop/branches"}, {"empty-repo", "/projects/shop/code/fresh"},
	{"pulls", "/projects/shop/pulls"}, {"pull-new", "/projects/shop/pulls/new?repo=shop&source=feature%2Ftags"}, {"pull", "/projects/shop/pulls/shop/7"}, {"pull-gate", "/projects/shop/pulls/shop/7#gate"}, {"pull-ready", "/projects/shop/pulls/shop/8"},
	{"pull-merged", "/projects/shop/pulls/shop/5"}, {"pull-edit", "/projects/shop/pulls/shop/7?edit=1"}, {"pull-files", "/projects/shop/pulls/shop/7?tab=files&at=0n22"},
	{"pull-checks", "/projects/shop/pulls/shop/7?tab=checks"}, {"pull-verdicts", "/projects/shop/pulls/shop/7?tab=verdicts"}, {"pull-commits", "/projects/shop/pulls/shop/7?tab=commits"},
	{"repo-settings", "/projects/shop/code/shop/settings"}, {"ruleset", "/projects/shop/code/shop/settings/rulesets/main%20is%20reviewed"}, {"ruleset-new", "/projects/shop/code/fresh/settings/rulesets/new"},
	{"secrets", "/projects/shop/code/shop/secrets"}, {"secret", "/projects/shop/code/shop/secrets/01F1"}, {"secret-bypassed", "/projects/shop/code/shop/secrets/01F2"},
	{"edit", "/projects/shop/code/shop/edit/main/cart/rounding.go"}, {"new-file", "/projects/shop/code/shop/new/main"}, {"images", "/projects/shop/images"},
	{"policy", "/projects/shop/policy"}, {"policy-all", "/projects/shop/policy?show=all"}, {"assignment", "/projects/shop/policy/assignments/shop-restricted?show=all"}, {"definitions", "/projects/shop/policy/definitions"},
	{"definition", "/projects/shop/policy/definitions/container-no-privilege"}, {"definition-rego", "/projects/shop/policy/definitions/image-verdict"}, {"initiative", "/projects/shop/policy/initiatives/baseline"},
	{"exemptions", "/projects/shop/policy/exemptions"}, {"exempt", "/projects/shop/policy/exemptions/new?assignment=shop-restricted&rule=run-as-non-root&object=Deployment.apps+shop-production/cart"},
	{"assign", "/projects/shop/policy/assign?target=initiative:baseline"}, {"decisions", "/projects/shop/policy/decisions"}, {"decision", "/projects/shop/policy/decisions/" + webtest.DecisionPull},
	{"decision-admission", "/projects/shop/policy/decisions/" + webtest.DecisionAdmission}, {"policy-platform", "/policy"},
	{"image", "/projects/shop/images/shop/cart@" + webtest.Digest}, {"findings", "/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=findings"},
	{"packages", "/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=packages"}, {"referrers", "/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=referrers"},
	{"environments", "/projects/shop/environments"}, {"environment", "/projects/shop/environments/production"}, {"release", "/projects/shop/environments/production/releases/47"},
	{"trace", "/projects/shop/trace/commit/" + webtest.Newest}, {"settings", "/projects/shop/settings"}, {"tokens", "/settings"}, {"status", "/status"}, {"projects", "/projects"},
	{"health", "/projects/shop/monitor"}, {"logs", "/projects/shop/monitor/logs"}, {"traces", "/projects/shop/monitor/traces"}, {"waterfall", "/projects/shop/monitor/traces/" + webtest.TraceID},
	{"metrics", "/projects/shop/monitor/metrics"}, {"map", "/projects/shop/monitor/map"}, {"errors", "/projects/shop/monitor/errors"}, {"error", "/projects/shop/monitor/errors/" + webtest.GroupID},
	{"alerts", "/projects/shop/monitor/alerts?show=all"}, {"alert", "/projects/shop/monitor/alerts/" + webtest.AlertID}, {"rules", "/projects/shop/monitor/rules"}, {"rule", "/projects/shop/monitor/rules/01R1"}, {"rule-new", "/projects/shop/monitor/rules/new?q=AppRequests"},
	{"board", "/projects/shop/board"}, {"board-lanes", "/projects/shop/board?lanes=assignee"}, {"board-none", "/projects/shop/board?q=nothing+like+it"}, {"backlog", "/projects/shop/backlog"},
	{"item", "/projects/shop/items/41"}, {"item-new", "/projects/shop/items/new"}, {"sprints", "/projects/shop/sprints"}, {"sprint", "/projects/shop/sprints/s12"}, {"planning", "/projects/shop/planning"},
	{"dora", "/projects/shop/dora"}, {"sessions", "/projects/shop/sessions?show=all"}, {"environment-session", "/projects/shop/environments/staging"}, {"review-app", "/projects/shop/environments/staging.web-pr-7"}, {"canary", "/projects/shop/environments/production/releases/48"},
	{"not-found", "/projects/nowhere"},
}

type world struct {
	*webtest.Fixture
	url     string
	browser *browser.Browser
}

func start(t *testing.T) *world {
	t.Helper()
	program, err := browser.Find()
	if err != nil {
		t.Fatal(err)
	}
	f := webtest.New()
	d := f.Deps()
	d.Logger = slog.New(slog.DiscardHandler)
	srv := httptest.NewServer(nil)
	pages, api := web.New(d, web.Options{PublicURL: srv.URL, Version: "v0.1.0"}), f.API()
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/prometheus/") {
			api.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
	t.Cleanup(srv.Close)
	t.Cleanup(srv.CloseClientConnections)
	b, err := browser.Start(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &world{f, srv.URL, b}
}

// signIn opens a tab in which ada is signed in, by the form.
func (w *world) signIn(ctx context.Context, t *testing.T, width, height int) *browser.Page {
	t.Helper()
	p, err := w.browser.Open(ctx, width, height)
	must(t, err)
	must(t, p.Go(ctx, w.url+"/projects/shop"))
	must(t, p.Until(ctx, `location.pathname === "/login"`))
	must(t, p.Eval(ctx, `document.querySelector("[name=user]").focus()`, nil))
	must(t, p.Type(ctx, "ada"))
	must(t, p.Eval(ctx, `document.querySelector("[name=password]").focus()`, nil))
	must(t, p.Type(ctx, webtest.Password))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop" && document.readyState === "complete"`))
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestEveryPage opens every page on a desktop and on a phone, light and dark: nothing may
// go wrong in the browser, nothing may be wider than the window. With TOWPATH_SHOTS=DIR
// it keeps pictures.
func TestEveryPage(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	shots := os.Getenv("TOWPATH_SHOTS")
	only := os.Getenv("TOWPATH_ONLY")
	for _, size := range []struct {
		name          string
		width, height int
	}{{"desktop", 1440, 900}, {"phone", 390, 844}} {
		p := w.signIn(ctx, t, size.width, size.height)
		for _, stop := range tour {
			if only != "" && !strings.Contains(","+only+",", ","+stop.name+",") {
				continue
			}
			for _, scheme := range []string{"light", "dark"} {
				must(t, p.Scheme(ctx, scheme))
				p.Problems()
				must(t, p.Go(ctx, w.url+stop.path))
				must(t, p.Eval(ctx, `document.fonts.ready.then(() => true)`, nil))
				// What scripts ask for is there before anybody looks.
				must(t, p.Until(ctx, `!document.querySelector("[data-explorer]:not([data-asked]), [data-waterfall]:not([data-drawn])")`))
				name := stop.name + "-" + size.name + "-" + scheme
				var wide int
				must(t, p.Eval(ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wide))
				var broad []string
				must(t, p.Eval(ctx, overflow, &broad))
				if wide > 0 || len(broad) > 0 {
					t.Errorf("%s: wider than the window by %d px: %v", name, wide, broad)
				}
				if got := p.Problems(); len(got) > 0 && stop.name != "not-found" {
					t.Errorf("%s: %v", name, got)
				}
				if shots != "" {
					time.Sleep(250 * time.Millisecond) // For pictures only: streams open, fonts settle.
					png, err := p.Screenshot(ctx)
					must(t, err)
					must(t, os.WriteFile(filepath.Join(shots, name+".png"), png, 0o600))
				}
			}
		}
	}
}

// overflow lists what stands out of the window and is not in a box that scrolls.
const overflow = `(() => {
	const out = [];
	const scrolls = (e) => { for (let p = e.parentElement; p; p = p.parentElement) { const o = getComputedStyle(p).overflowX; if (o === "auto" || o === "scroll" || o === "hidden") return p !== document.body && p !== document.documentElement; } return false; };
	for (const e of document.querySelectorAll("body *")) {
		const r = e.getBoundingClientRect();
		if (r.width > 0 && r.right > document.documentElement.clientWidth + 1 && !scrolls(e) && getComputedStyle(e).position !== "fixed" && !e.closest(".sr, .skip, dialog")) out.push(e.tagName + "." + e.className + " " + Math.round(r.right));
	}
	return out.slice(0, 5);
})()`
