package web_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
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

// TestTheBacklogOfAChange follows the cell of the Path to all items that it counts.
func TestTheBacklogOfAChange(t *testing.T) {
	v := newSite(t).as(t, "ada")
	link := "link=commit%3A" + webtest.Second
	if body := v.get("/projects/shop").body; !strings.Contains(body, `href="/projects/shop/backlog?`+link+`"`) ||
		!strings.Contains(body, `href="/projects/shop/backlog?link=commit%3A`+webtest.Fourth+`&amp;show=all"`) {
		t.Error("the Path does not lead to the items of a change, or not to the closed ones of one whose items are done")
	}
	body := v.get("/projects/shop/backlog?" + link).body
	for _, want := range []string{
		`data-item="41"`, `data-item="39"`, "Only items of", `href="/projects/shop/trace/commit/` + webtest.Second + `"`,
		`href="/projects/shop/backlog?` + link + `&amp;show=mine"`, `name="link" value="commit:` + webtest.Second + `"`, `href="/projects/shop/backlog">Show all items`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the backlog of a commit does not have %s", want)
		}
	}
	if strings.Contains(body, `data-item="40"`) {
		t.Error("the backlog of a commit has an item of another one")
	}
	if body := v.get("/projects/shop/backlog?link=commit:" + strings.Repeat("0", 40)).body; !strings.Contains(body, "No item fits this filter.") {
		t.Error("a commit without items has no empty state")
	}
}

// TestDriftIsShown looks at what differs, what was put back, and where nothing does.
func TestDriftIsShown(t *testing.T) {
	s := newSite(t)
	ada := s.as(t, "ada")
	mended := func(object, release string) {
		payload, err := json.Marshal(event.DriftFound{
			V: 1, Release: release, Environment: strings.Split(release, "/")[1], Object: object, Fields: []string{"spec.replicas"}, Manager: "helm-by-hand", Mended: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Append(event.Event{
			Type: event.TypeDriftFound, Project: "shop", Time: webtest.Now.Add(-time.Hour), Subject: event.Of(event.KindRelease, release),
			Payload: payload,
		})
	}
	const differs = "spec.replicas, spec.template.spec.containers[cart].image"
	has := func(path string, yes []string, no ...string) {
		t.Helper()
		body := ada.get("/projects/shop/environments" + path).body
		for _, want := range yes {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not have %s", path, want)
			}
		}
		for _, bad := range no {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
	has("", []string{"2 objects differ from what was deployed", `href="/projects/shop/environments/production#drift"`})
	has("/production", []string{
		"2 objects differ", "Deployment shop-production/cart", differs, "kubectl-edit", "it is not there any more", "not put back: &lt;script&gt;",
		"stays: drift is only told of here", `href="/projects/shop/environments/production/releases/46"`,
	}, "put back</span>")
	has("/staging", []string{"nothing differs", "nothing had to be put back"})
	has("/production/releases/46", []string{"2 objects differ", differs})
	has("/production/releases/45", nil, `id="drift"`)
	mended("Service shop-staging/cart", "shop/staging/3")
	mended("Service shop-production/web", "shop/production/45")
	has("/staging", []string{"nothing differs", "Service shop-staging/cart", "helm-by-hand", "put back</span>", `href="/projects/shop/environments/staging/releases/3"`}, "shop-production/web")
	has("/production/releases/45", []string{"Service shop-production/web", "nothing differs"}, differs)
}

// TestADecisionHasADeadline says until when a canary waits for a person.
func TestADecisionHasADeadline(t *testing.T) {
	v := newSite(t).as(t, "ada")
	if body := v.get("/projects/shop/environments/production/releases/48").body; !strings.Contains(body, "Without a decision it is rejected in 23 h 58 min") || !strings.Contains(body, "2026-11-24 14:00:00 UTC") {
		t.Error("the release does not say when its canary is rejected")
	}
	if body := v.get("/projects/shop/environments/production").body; !strings.Contains(body, "at most 24h, then it is rejected") {
		t.Error("the environment does not say how long it waits for a person")
	}
}
