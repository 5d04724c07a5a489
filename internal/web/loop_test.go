package web_test

import (
	"net/url"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/web/webtest"
)

// TestThePaletteReachesEverything asks for what a person would type, and looks where the
// first hit that counts leads.
func TestThePaletteReachesEverything(t *testing.T) {
	v := newSite(t).as(t, "ada")
	const at = "/projects/shop"
	for text, want := range map[string]string{
		"41": at + "/items/41", "#41": at + "/items/41", "survive a rest": at + "/items/40", "item 39": at + "/items/39",
		"trace item/41": at + "/trace/item/41", "session/01jd8session": at + "/trace/session/01jd8session",
		"backlog": at + "/backlog", "planning": at + "/planning", "dora": at + "/dora", "burndown": at + "/sprints", "board": at + "/board",
		"sprint 12": at + "/sprints/s12", "loses a cart": at + "/sprints/s12",
		"dev sess": at + "/sessions", "ada cart": at + "/sessions", "open a dev": at + "/sessions#open",
		"release 46": at + "/environments/production/releases/46", "production 47": at + "/environments/production/releases/47", "production": at + "/environments/production",
		"promote": at + "/environments/production/releases/48#canary", "reject canary": at + "/environments/production/releases/48#canary",
		"new item": at + "/items/new", "run pipe": at + "/runs?start=1", "run 2040": at + "/runs/2040", "metrics": at + "/monitor/metrics", "alert crash": at + "/monitor/alerts/" + webtest.AlertID,
	} {
		body := v.get("/search?project=shop&q=" + url.QueryEscape(text)).body
		if !strings.Contains(body, `href="`+want+`"`) {
			t.Errorf("%q does not find %s", text, want)
		}
	}
	for _, text := range []string{"release 999", "#999", "item/", "/", " 9"} {
		if r := v.get("/search?project=shop&q=" + url.QueryEscape(text)); r.StatusCode != 200 || strings.Contains(r.body, "/releases/999") || strings.Contains(r.body, "/items/999") {
			t.Errorf("%q: status %d, %s", text, r.StatusCode, r.body)
		}
	}
}

// TestAnItemTellsItsCause looks at what the page of an item that a signal opened says, and
// where that leads.
func TestAnItemTellsItsCause(t *testing.T) {
	v := newSite(t).as(t, "ada")
	body := v.get("/projects/shop/items/41").body
	for _, want := range []string{
		"What is behind it", "of 812 requests fail", "<b>ada</b>", "by CODEOWNERS", "2 commits are suspected", "web-dev",
		`href="/projects/shop/code/shop/commit/` + webtest.Newest + `"`, `href="/projects/shop/environments/production/releases/46"`,
		`href="/projects/shop/monitor/logs?q=AppRequests`, `href="/projects/shop/monitor/metrics?q=sum%28rate`, `href="/projects/shop/monitor/traces/` + webtest.TraceID,
		`href="/projects/shop/trace/release/shop/production/48"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	if strings.Contains(body, "suspects ·") || strings.Contains(body, "<script>alert") {
		t.Error("a suspect stands twice, or is markup")
	}
	if body := v.get("/projects/shop/items/40").body; strings.Contains(body, "What is behind it") {
		t.Error("an item that a person wrote has a cause")
	}
}

// TestSettingsOfAnEnvironment shows who may change what, and what a place says of itself.
func TestSettingsOfAnEnvironment(t *testing.T) {
	s := newSite(t)
	ada, bob := s.as(t, "ada"), s.as(t, "bob")
	production := ada.get("/projects/shop/environments/production").body
	for _, want := range []string{
		"10 % for 1 min → 25 %, then a person → 50 % → everybody", `name="weight"`, `value="1m"`, `<option value="warn" selected>`, "is tried with 25 % of the traffic",
		`action="/projects/shop/environments/production/releases/45/redeploy"`,
	} {
		if !strings.Contains(production, want) {
			t.Errorf("production does not have %s", want)
		}
	}
	if strings.Contains(production, "/releases/46/redeploy") || strings.Contains(production, "/releases/47/redeploy") {
		t.Error("a release that serves, or that never did, can be deployed again")
	}
	reads := bob.get("/projects/shop/environments/production").body
	if strings.Contains(reads, `name="weight"`) || strings.Contains(reads, "/redeploy") || !strings.Contains(reads, "forbidden: nobody may reach into it") {
		t.Error("a reader has the form, or is not told the settings")
	}
	if tiles := ada.get("/projects/shop/environments").body; !strings.Contains(tiles, "25 % canary") || !strings.Contains(tiles, "1 dev session") {
		t.Error("the tiles tell of no canary, or of no session")
	}
	if staging := ada.get("/projects/shop/environments/staging").body; !strings.Contains(staging, "go to everybody at once") {
		t.Error("staging does not say how it is deployed to")
	}
}
