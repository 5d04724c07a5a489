package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/web/webtest"
)

// forms are what pages send, and what the services are asked for then.
var forms = []struct {
	path string
	form url.Values
	to   string // of the redirect
	said string
}{
	{"/projects/shop/pulls/shop", url.Values{"source": {"cart-debug"}, "target": {"main"}, "title": {" Add it "}, "draft": {"1"}, "reviewers": {"@bob, web-dev bob"}},
		"/projects/shop/pulls/shop/8", `open shop/shop cart-debug→main "Add it" draft=true [bob web-dev]`},
	{"/projects/shop/pulls/shop/7/edit", url.Values{"title": {"New"}, "target": {"release/1"}}, "/projects/shop/pulls/shop/7", "edit title=New target=release/1"},
	{"/projects/shop/pulls/shop/7/draft", nil, "/projects/shop/pulls/shop/7", "edit draft=true"},
	{"/projects/shop/pulls/shop/9/ready", nil, "/projects/shop/pulls/shop/9", "edit draft=false"},
	{"/projects/shop/pulls/shop/7/close", nil, "/projects/shop/pulls/shop/7", "close 7"},
	{"/projects/shop/pulls/shop/4/reopen", nil, "/projects/shop/pulls/shop/4", "reopen 4"},
	{"/projects/shop/pulls/shop/7/request", url.Values{"users": {"web-dev"}}, "/projects/shop/pulls/shop/7", "ask [web-dev]"},
	{"/projects/shop/pulls/shop/7/comments", url.Values{"body": {"Good."}}, "/projects/shop/pulls/shop/7", "comment ::0 Good."},
	{"/projects/shop/pulls/shop/7/comments", url.Values{"body": {"Why?"}, "at": {"0o17"}, "path": {"a.yaml"}}, "/projects/shop/pulls/shop/7?tab=files#d0o17", "comment a.yaml:old:17 Why?"},
	{"/projects/shop/pulls/shop/7/threads/01T1", url.Values{"body": {"Done."}, "do": {"resolve"}}, "/projects/shop/pulls/shop/7?tab=files#t-01T1", "reply 01T1 Done.\nresolve 01T1 true"},
	{"/projects/shop/pulls/shop/7/threads/01T2", url.Values{"do": {"unresolve"}}, "/projects/shop/pulls/shop/7?tab=files#t-01T2", "resolve 01T2 false"},
	{"/projects/shop/pulls/shop/7/reviews", url.Values{"verdict": {"approved"}, "body": {"Fine"}}, "/projects/shop/pulls/shop/7", "review approved Fine"},
	{"/projects/shop/pulls/shop/7/reviews/r2/dismiss", url.Values{"why": {" It is done. "}}, "/projects/shop/pulls/shop/7", "dismiss r2 It is done."},
	{"/projects/shop/pulls/shop/8/merge", url.Values{"method": {"squash"}, "expect": {webtest.Third}, "delete": {"1"}}, "/projects/shop/pulls/shop/8", "merge 8 squash expect=41ab07d bypass=false delete=true"},
	{"/projects/shop/code/shop/settings/rulesets/tags%20stay/delete", nil, "/projects/shop/code/shop/settings", "delete ruleset tags stay"},
	{"/projects/shop/code/shop/settings/keys", url.Values{"title": {"ci"}, "key": {"ssh-ed25519 AAAA"}, "write": {"1"}}, "/projects/shop/code/shop/settings", "deploy key shop/shop ci true"},
	{"/projects/shop/code/shop/settings/keys/01K2/remove", nil, "/projects/shop/code/shop/settings", "remove key ada 01K2"},
	{"/projects/shop/code/shop/secrets/01F1/bypass", url.Values{"reason": {"test-value"}, "hours": {"24"}, "comment": {"sandbox"}}, "/projects/shop/code/shop/secrets/01F1", `bypass 01F1 test-value 24h0m0s "sandbox"`},
	{"/projects/shop/code/shop/secrets/bypasses/01B1/revoke", nil, "/projects/shop/code/shop/secrets", "revoke 01B1"},
	{"/projects/shop/code/shop/edit", url.Values{"branch": {"fix"}, "rev": {"main"}, "path": {"/a/b.txt"}, "text": {"one\r\ntwo\r\n"}, "message": {"Fix it"}, "expect": {webtest.Newest}},
		"/projects/shop/code/shop/blob/fix/a/b.txt", `edit fix a/b.txt Fix it "one\ntwo\n" expect=e81f0c7`},
	{"/projects/shop/code/shop/edit", url.Values{"branch": {"fix/x"}, "path": {"a"}, "expect": {webtest.Newest}, "propose": {"1"}}, "/projects/shop/pulls/new?repo=shop&source=fix%2Fx", `edit fix/x a  "" expect=e81f0c7`},
	{"/settings/keys", url.Values{"title": {"laptop"}, "key": {"ssh-ed25519 AAAA"}}, "/settings", "key ada laptop"},
	{"/settings/keys/01K1/remove", nil, "/settings", "remove key ada 01K1"},
	{"/projects/shop/items", url.Values{"type": {"story"}, "title": {" Carts survive "}, "points": {"2,5"}}, "/projects/shop/items/40", `create story "Carts survive" 2.5 points`},
	{"/projects/shop/items/41/edit", url.Values{"expect": {"7"}, "state": {"Closed"}, "assignee": {" bob "}, "points": {""}, "labels": {"a, b,,"}}, "/projects/shop/items/41", `change 41 at 7: Closed, "bob", 0 points, [a b]`},
	{"/projects/shop/items/41/comments", url.Values{"body": {"Seen."}}, "/projects/shop/items/41", `comment on 41: "Seen."`},
	{"/projects/shop/items/41/wont-fix", url.Values{"why": {" it goes away "}, "until": {"2026-12-24"}}, "/projects/shop/items/41", "won't fix 41 until 2026-12-24: it goes away"},
	{"/projects/shop/sprints", url.Values{"name": {"Sprint 14"}, "start": {"2026-12-01"}, "end": {"2026-12-14"}}, "/projects/shop/sprints/s13", `create sprint "Sprint 14" from 2026-12-01 to 2026-12-14`},
	{"/projects/shop/sprints/s13/start", url.Values{"expect": {"1"}}, "/projects/shop/sprints/s13", "change sprint s13 at 1"},
	{"/projects/shop/sprints/s12/close", nil, "/projects/shop/sprints/s12", "close sprint s12 into @next"},
	{"/projects/shop/planning", url.Values{"item": {"39"}, "do": {"deferred"}, "sprint": {"s13"}}, "/projects/shop/planning", `deferred [39] into "s13"`},
	{"/projects/shop/canaries/promote", url.Values{"release": {"shop/production/48"}}, "/projects/shop/environments/production/releases/48", "promote shop/production/48 full=false"},
	{"/projects/shop/canaries/reject", url.Values{"release": {"shop/production/48"}, "why": {" no "}}, "/projects/shop/environments/production/releases/48", `reject shop/production/48 "no"`},
	{"/projects/shop/environments/production", url.Values{"routing": {"on"}, "sessions": {"forbidden"}, "drift": {"enforce"}, "weight": {"10", " 30 % ", "50", ""}, "pause": {"1m", "1h 30m", "", ""}, "then": {"", "person", "", ""}, "analysis": {"", "off", "", ""}},
		"/projects/shop/environments/production", `edit production {"routing":"on","sessions":"forbidden","strategy":{"steps":[{"weight":10,"pause":"1m0s"},{"weight":30,"pause":"1h30m0s","person":true,"analysis":"off"},{"weight":50}],"minSamples":100},"drift":"enforce"}`},
	{"/projects/shop/environments/production", url.Values{"drift": {"warn"}, "weight": {"10", "25", "50"}, "pause": {"1m", "", ""}, "then": {"", "person", ""}, "analysis": {"", "", ""}}, "/projects/shop/environments/production", `edit production {"drift":"warn"}`},
	{"/projects/shop/environments/production", url.Values{"weight": {" "}, "pause": {""}, "then": {""}, "analysis": {""}}, "/projects/shop/environments/production", `edit production {"strategy":{"steps":null,"minSamples":100}}`},
	{"/projects/shop/environments/staging", url.Values{"review_apps": {"off"}}, "/projects/shop/environments/staging", `edit staging {"review_apps":"off"}`},
	{"/projects/shop/environments/staging.web-pr-7/end", nil, "/projects/shop/environments/staging", "end staging.web-pr-7"},
	{"/projects/shop/environments/production/releases/45/redeploy", nil, "/projects/shop/environments/production/releases/49", "redeploy shop/production/45"},
	{"/projects/shop/sessions/01JD8SESSION/stop", nil, "/projects/shop/sessions", "stop session 01JD8SESSION"},
	{"/projects/shop/policy/assignments/baseline/remove", nil, "/projects/shop/policy", "unassign baseline"},
	{"/projects/shop/monitor/alerts/" + webtest.AlertID + "/acknowledge", url.Values{"note": {"mine"}}, "/projects/shop/monitor/alerts/" + webtest.AlertID, "acknowledge " + webtest.AlertID + ` "mine"`},
	{"/projects/shop/monitor/alerts/" + webtest.AlertID + "/close", nil, "/projects/shop/monitor/alerts/" + webtest.AlertID, "close alert " + webtest.AlertID + ` ""`},
	{"/projects/shop/monitor/alerts/" + webtest.AlertID + "/silence", url.Values{"hours": {"8"}, "why": {" upgrade "}}, "/projects/shop/monitor/alerts/" + webtest.AlertID,
		`silence [{alertname = KubePodCrashLooping} {namespace = shop-production} {pod = cart-6c54b7d9f-x2k4q}] 2026-11-23T22:02:00Z "upgrade"`},
	{"/projects/shop/monitor/errors/" + webtest.GroupID + "/state", url.Values{"state": {"resolved"}}, "/projects/shop/monitor/errors/" + webtest.GroupID, "error " + webtest.GroupID + " resolved"},
	{"/projects/shop/monitor/rules", url.Values{"name": {" slow "}, "kind": {"query"}, "query": {"AppRequests"}, "severity": {"error"}, "every": {"1m"}, "period": {"10m"}, "dimensions": {"AppRoleName, Name"}, "measure": {"DurationMs"}, "operator": {">="}, "threshold": {"500"}, "bad": {"2"}, "of": {"3"}},
		"/projects/shop/monitor/rules/01R9", `rule query slow "AppRequests" error for=0s >= 10m`},
	{"/projects/shop/monitor/rules", url.Values{"name": {"down"}, "kind": {"metric"}, "query": {"up == 0"}, "severity": {"critical"}, "every": {"5m"}}, "/projects/shop/monitor/rules/01R9", `rule metric down "up == 0" critical for=5m `},
	{"/projects/shop/monitor/rules/01R1/mute", url.Values{"for": {"3600"}}, "/projects/shop/monitor/rules/01R1", "mute 01R1 true"},
	{"/projects/shop/monitor/rules/01R1/mute", url.Values{"for": {"0"}}, "/projects/shop/monitor/rules/01R1", "mute 01R1 false"},
	{"/projects/shop/monitor/rules/01R1/remove", nil, "/projects/shop/monitor/rules", "delete rule 01R1"},
	{"/projects/shop/policy/exemptions/old/remove", nil, "/projects/shop/policy/exemptions", "unexempt old"},
}

func TestFormsAskTheServices(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	csrf := v.token("/settings")
	for _, f := range forms {
		for _, sent := range []string{"", "0123456789abcdef"} {
			form := url.Values{"csrf": {sent}}
			for k, list := range f.form {
				form[k] = list
			}
			if r := v.post(f.path, form); r.StatusCode != http.StatusForbidden || len(s.Said) > 0 {
				t.Fatalf("%s with the form token %q: status %d, %v", f.path, sent, r.StatusCode, s.Said)
			}
		}
		form := url.Values{"csrf": {csrf}}
		for k, list := range f.form {
			form[k] = list
		}
		r := v.post(f.path, form)
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != f.to {
			t.Errorf("%s: status %d, leads to %q, want %q", f.path, r.StatusCode, r.Header.Get("Location"), f.to)
		}
		if d := cmp.Diff(f.said, strings.Join(s.Said, "\n")); d != "" {
			t.Errorf("%s (-want +got):\n%s", f.path, d)
		}
		s.Said = nil
	}
}

// TestFormsOfReaders sends every form as somebody who may only read: none does anything.
// One's own keys are one's own, and talk is the service's to judge.
func TestFormsOfReaders(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "bob")
	csrf := v.token("/settings")
	for _, f := range forms {
		if strings.HasPrefix(f.path, "/settings") || strings.Contains(f.path, "/remove") || strings.Contains(f.path, "revoke") {
			continue // The fixture does not judge these; the services do.
		}
		form := url.Values{"csrf": {csrf}}
		for k, list := range f.form {
			form[k] = list
		}
		if r := v.post(f.path, form); r.StatusCode != http.StatusForbidden || len(s.Said) > 0 {
			t.Errorf("%s: status %d, %v", f.path, r.StatusCode, s.Said)
		}
		s.Said = nil
	}
}

func TestFormsThatCannotBeMeant(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	csrf := v.token("/settings")
	for _, f := range []struct {
		path string
		form url.Values
		want int
	}{
		{"/projects/shop/pulls/shop/7/merge", url.Values{"method": {"merge"}, "expect": {webtest.Third}}, http.StatusForbidden},
		{"/projects/shop/pulls/shop/9/reviews", url.Values{"verdict": {"approved"}}, http.StatusForbidden},
		{"/projects/shop/pulls/shop/7/comments", url.Values{"body": {"x"}, "at": {"0x1"}}, http.StatusBadRequest},
		{"/projects/shop/pulls/shop/7/threads/01T1", url.Values{"do": {"reply"}, "body": {" "}}, http.StatusBadRequest},
		{"/projects/shop/pulls/shop/7/request", url.Values{"users": {" , "}}, http.StatusBadRequest},
		{"/projects/shop/pulls/shop/x/close", nil, http.StatusNotFound},
		{"/projects/shop/pulls/shop/99/close", nil, http.StatusNotFound},
		{"/projects/shop/code/shop/settings/rulesets", url.Values{"json": {`{"name": "x", "nonsense": 1}`}}, http.StatusBadRequest},
		{"/projects/shop/code/shop/settings/rulesets", url.Values{"pull": {"1"}, "approvals": {"many"}}, http.StatusBadRequest},
		{"/projects/shop/code/fresh/secrets/01F1/bypass", url.Values{"reason": {"test-value"}, "hours": {"3"}}, http.StatusNotFound},
		{"/projects/shop/code/shop/secrets/01F1/bypass", url.Values{"reason": {"test-value"}, "hours": {"0"}}, http.StatusBadRequest},
		{"/settings/keys", url.Values{"key": {"-----BEGIN"}}, http.StatusBadRequest},
		{"/projects/shop/environments/production", url.Values{"weight": {"half"}, "pause": {""}, "then": {""}, "analysis": {""}}, http.StatusBadRequest},
		{"/projects/shop/environments/production", url.Values{"weight": {"10"}, "pause": {"soon"}, "then": {""}, "analysis": {""}}, http.StatusBadRequest},
		{"/projects/shop/environments/production", url.Values{"weight": {"10", "20"}, "pause": {""}, "then": {""}, "analysis": {""}}, http.StatusBadRequest},
		{"/projects/shop/environments/nowhere", nil, http.StatusNotFound},
		{"/projects/shop/monitor/alerts/none/close", nil, http.StatusNotFound},
		{"/projects/shop/monitor/alerts/" + webtest.AlertID + "/silence", url.Values{"hours": {"0"}}, http.StatusBadRequest},
		{"/projects/shop/monitor/errors/" + webtest.GroupID + "/state", url.Values{"state": {"gone"}}, http.StatusBadRequest},
		{"/projects/shop/monitor/errors/none/state", url.Values{"state": {"open"}}, http.StatusNotFound},
		{"/projects/shop/monitor/rules", url.Values{"kind": {"query"}, "query": {"AppRequests"}, "every": {"often"}, "period": {"5m"}, "threshold": {"0"}, "bad": {"1"}, "of": {"1"}}, http.StatusUnprocessableEntity},
		{"/projects/shop/monitor/rules", url.Values{"kind": {"query"}, "query": {"AppRequests"}, "every": {"1m"}, "period": {"5m"}, "threshold": {"many"}, "bad": {"1"}, "of": {"1"}}, http.StatusUnprocessableEntity},
		{"/projects/shop/monitor/rules", url.Values{"kind": {"query"}, "query": {"nonsense"}, "every": {"1m"}, "period": {"5m"}, "threshold": {"0"}, "bad": {"1"}, "of": {"1"}}, http.StatusUnprocessableEntity},
		{"/projects/shop/monitor/rules/none/remove", nil, http.StatusNotFound},
		{"/projects/shop/policy/exemptions", url.Values{"days": {"7"}, "objects": {"Deployment"}}, http.StatusBadRequest},
		{"/projects/shop/policy/exemptions", url.Values{"days": {"9999"}}, http.StatusBadRequest},
		{"/projects/shop/policy/assignments", url.Values{"parameters": {"{"}}, http.StatusBadRequest},
	} {
		form := url.Values{"csrf": {csrf}}
		for k, list := range f.form {
			form[k] = list
		}
		if r := v.post(f.path, form); r.StatusCode != f.want || len(s.Said) > 0 {
			t.Errorf("%s %v: status %d, want %d, %v", f.path, f.form, r.StatusCode, f.want, s.Said)
		}
	}
}

// TestARulesetGoesThroughItsFormUnchanged fills the form with a ruleset as the page shows
// it and sends it, by its fields and by its JSON.
func TestARulesetGoesThroughItsFormUnchanged(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	const path = "/projects/shop/code/shop/settings/rulesets"
	page := v.get(path + "/main%20is%20reviewed").body
	form := url.Values{"csrf": {v.token("/settings")}, "name": {"main is reviewed"}, "enforcement": {"active"}, "refs": {"~default release/*"}, "bypass": {"role:admin"},
		"force": {"1"}, "deletion": {"1"}, "pull": {"1"}, "owners": {"1"}, "stale": {"1"}, "threads": {"1"}, "approvals": {"2"}, "method": {"squash", "merge"}, "checks": {"policy system:policy\r\nazure-pipelines.yml system:pipeline\r\n"}}
	for _, field := range []string{`value="~default release/*"`, `value="role:admin"`, `name="force" value="1" checked`, `name="stale" value="1" checked`, `name="method" value="squash" checked`, "policy system:policy\nazure-pipelines.yml system:pipeline"} {
		if !strings.Contains(page, field) {
			t.Errorf("the form has no %s", field)
		}
	}
	want := ruleset.Ruleset{Repo: "shop/shop", Name: "main is reviewed", Enforcement: ruleset.Active, Refs: []string{"~default", "release/*"}, Bypass: []string{"role:admin"}, Rules: ruleset.Rules{
		RestrictDeletion: true, BlockForcePush: true, PullRequest: &ruleset.PullRequest{Approvals: 2, CodeOwners: true, DropStale: true, ResolvedThreads: true, Methods: []string{"squash", "merge"}},
		RequiredChecks: []ruleset.Check{{Name: "policy", Source: "system:policy"}, {Name: "azure-pipelines.yml", Source: "system:pipeline"}},
	}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, send := range map[string]url.Values{"fields": form, "JSON": {"csrf": form["csrf"], "json": {string(text)}}} {
		s.Rulesets = nil
		if r := v.post(path, send); r.StatusCode != http.StatusSeeOther || len(s.Rulesets) != 1 {
			t.Fatalf("%s: status %d, %v", name, r.StatusCode, s.Rulesets)
		}
		if d := cmp.Diff(want, s.Rulesets[0], cmp.Comparer(func(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") })); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestPolicyFormsWriteAzuresJSON looks at the documents that the forms of policy become.
func TestPolicyFormsWriteAzuresJSON(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	csrf := v.token("/settings")
	for _, f := range []struct {
		path string
		form url.Values
		want string
	}{
		{"/projects/shop/policy/exemptions", url.Values{"name": {"cart"}, "assignment": {"shop-restricted"}, "rule": {"a", "b"}, "category": {"Waiver"}, "days": {"7"}, "reason": {"It is needed."}, "ticket": {"#12"}, "scope": {"project:shop"}, "objects": {"Deployment.apps shop-production/cart\r\nNamespace shop\r\n"}},
			`exemption {"name":"cart","properties":{"description":"It is needed.","exemptionCategory":"Waiver","expiresOn":"2026-11-30T14:02:00Z","metadata":{"requestedBy":"user:ada","ticketRef":"#12"},` +
				`"objects":[{"apiGroup":"apps","kind":"Deployment","namespace":"shop-production","name":"cart"},{"kind":"Namespace","name":"shop"}],"policyAssignmentId":"shop-restricted","policyDefinitionReferenceIds":["a","b"],"scope":"project:shop"}}`},
		{"/projects/shop/policy/assignments", url.Values{"name": {"mine"}, "target": {"initiative:restricted"}, "title": {"Mine"}, "scope": {"environment:shop/production"}, "effect": {"Deny"}, "enforcement": {"DoNotEnforce"}, "excluded": {"kube-system a"}, "parameters": {`{"registries": ["x"]}`}, "message": {"Ask us."}},
			`assignment {"name":"mine","properties":{"displayName":"Mine","enforcementMode":"DoNotEnforce","nonComplianceMessages":[{"message":"Ask us."}],` +
				`"parameters":{"effect":{"value":"Deny"},"excludedNamespaces":{"value":["kube-system","a"]},"registries":{"value":["x"]}},"policyDefinitionId":"/providers/Microsoft.Authorization/policySetDefinitions/restricted","scope":"environment:shop/production"}}`},
	} {
		f.form.Set("csrf", csrf)
		if r := v.post(f.path, f.form); r.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: status %d", f.path, r.StatusCode)
		}
		if d := cmp.Diff(f.want, strings.Join(s.Said, "\n")); d != "" {
			t.Errorf("%s (-want +got):\n%s", f.path, d)
		}
		s.Said = nil
	}
}
