package web_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/web/webtest"
)

const onProduction = "/projects/shop/resources/environment/production"

func TestChecksAreListedWithWhoAnswered(t *testing.T) {
	s := newSite(t)
	ada, bob := s.as(t, "ada"), s.as(t, "bob")
	for _, v := range []*visitor{ada, bob} {
		v.says("/projects/shop/checks", "Deploy is held:", "waits for user:ada", "1 of user:ada, role:maintain", "only refs/heads/main, protected", "approved", "the budget is fine", "bob")
	}
	ada.says(onProduction, "Exclusive lock", "30 days", "shop/shop", "Take back", "Look at the error budget first.")
	if body := bob.get(onProduction + "?add=approval").body; strings.Contains(body, "Add a check") || strings.Contains(body, "Take back") {
		t.Error("a reader is offered to change checks")
	}
	v := ada.says("/projects/shop/runs/"+strconv.Itoa(webtest.Long)+"?tab=checks", "Approval of", "waits")
	if strings.Contains(v, "No check stood") {
		t.Error("the run forgets its checks")
	}
	for _, path := range []string{"/projects/shop/resources/stage/Deploy", "/projects/shop/resources/nonsense/x"} {
		if r := ada.get(path); r.StatusCode == http.StatusOK {
			t.Errorf("GET %s is answered", path)
		}
	}
}

// TestEveryTypeOfCheckHasAForm adds one of each by the form.
func TestEveryTypeOfCheckHasAForm(t *testing.T) {
	for _, c := range []struct {
		kind check.Type
		form url.Values
		want check.Definition
	}{
		{check.Approval, url.Values{"approvers": {"ada, role:maintain"}, "minimum": {"1"}, "sequence": {"1"}, "notrequester": {"1"}, "instructions": {" Look. "}, "moment": {"before"}, "timeout": {"60"}, "title": {"Release"}},
			check.Definition{Title: "Release", TimeoutMinutes: 60, Approval: &check.ApprovalRule{Approvers: []string{"user:ada", "role:maintain"}, Minimum: 1, InSequence: true, RequesterCannotApprove: true, Instructions: "Look.", Moment: "before"}}},
		{check.BranchControl, url.Values{"allowed": {"main\r\nrefs/tags/v*\r\n"}, "protected": {"1"}}, check.Definition{Branches: &check.BranchRule{Allowed: []string{"refs/heads/main", "refs/tags/v*"}, Protected: true}}},
		{check.RequiredTemplate, url.Values{"templates": {"shop/templates refs/heads/main base.yml"}}, check.Definition{Template: &check.TemplateRule{Templates: []check.Template{{Repo: "shop/templates", Ref: "refs/heads/main", Path: "base.yml"}}}}},
		{check.EvaluateArtifact, url.Values{"signed": {"1"}, "nocritical": {"1"}}, check.Definition{Artifact: &check.ArtifactRule{Signed: true, NoCritical: true}}},
		{check.BusinessHours, url.Values{"day": {"mon", "fri"}, "start": {"09:00"}, "end": {"17:00"}, "zone": {"UTC"}}, check.Definition{Hours: &check.HoursRule{Days: []string{"mon", "fri"}, Start: "09:00", End: "17:00", Zone: "UTC"}}},
		{check.REST, url.Values{"url": {"https://gate.example.com/"}, "method": {"POST"}, "headers": {"X-A: b"}, "retry": {"5"}, "connection": {"gate"}, "success": {"eq(root['ok'], true)"}}, check.Definition{REST: &check.RESTRule{Connection: "gate", URL: "https://gate.example.com/", Method: "POST", Headers: map[string]string{"X-A": "b"}, RetryMinutes: 5, Success: "eq(root['ok'], true)"}}},
		{check.Alerts, url.Values{"severity": {"error"}}, check.Definition{Alerts: &check.AlertRule{Severity: "error"}}},
		{check.ExclusiveLock, url.Values{}, check.Definition{}},
	} {
		s := newSite(t)
		ada := s.as(t, "ada")
		page := onProduction + "?add=" + string(c.kind)
		body := ada.says(page, `name="type" value="`+string(c.kind)+`"`)
		for name := range c.form {
			if !strings.Contains(body, `name="`+name+`"`) {
				t.Errorf("%s: the form has no field %s", c.kind, name)
			}
		}
		c.form.Set("csrf", ada.token(page))
		c.form.Set("type", string(c.kind))
		if r := ada.post(onProduction+"/checks", c.form); r.StatusCode != http.StatusSeeOther || len(s.Added) != 1 {
			t.Errorf("%s: status %d, %s", c.kind, r.StatusCode, r.body)
			continue
		}
		got := s.Added[0]
		c.want.ID, c.want.By, c.want.Changed, c.want.Type = got.ID, got.By, got.Changed, c.kind
		c.want.Resource = check.Resource{Kind: check.Environment, Project: "shop", Name: "production"}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.kind, d)
		}
	}
}

func TestAWrongCheckIsRefused(t *testing.T) {
	s := newSite(t)
	ada := s.as(t, "ada")
	token := ada.token(onProduction)
	for _, form := range []url.Values{{"type": {"approval"}}, {"type": {"approval"}, "approvers": {"ada"}, "minimum": {"two"}}, {"type": {"requiredTemplate"}, "templates": {"x"}}, {"type": {"rest"}, "url": {"https://a.example"}, "headers": {"no colon"}}, {"type": {"permission"}}, {}} {
		form.Set("csrf", token)
		if r := ada.post(onProduction+"/checks", form); r.StatusCode != http.StatusBadRequest && r.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%v: status %d", form, r.StatusCode)
		}
	}
	if r := s.as(t, "bob").post(onProduction+"/checks", url.Values{"csrf": {s.as(t, "bob").token("/settings")}, "type": {"exclusiveLock"}}); r.StatusCode != http.StatusForbidden {
		t.Errorf("a reader adds a check: %d", r.StatusCode)
	}
	if len(s.Added) > 0 {
		t.Errorf("added: %v", s.Added)
	}
}

func TestPermissionsAndAnswers(t *testing.T) {
	s := newSite(t)
	ada := s.as(t, "ada")
	token := ada.token(onProduction)
	for _, c := range []struct {
		path string
		form url.Values
		want string
	}{
		{onProduction + "/access", url.Values{"pipeline": {"shop/web"}, "allowed": {"yes"}}, "permit shop/web environment/production"},
		{onProduction + "/access", url.Values{"pipeline": {"*"}, "allowed": {"no"}}, "forbid * environment/production"},
		{onProduction + "/checks/01CHECK1/remove", url.Values{}, "remove check 01CHECK1"},
		{"/projects/shop/runs/" + strconv.Itoa(webtest.Long) + "/approvals/" + webtest.HeldBy, url.Values{"answer": {"reassign"}, "to": {"bob"}}, "reassign to bob"},
	} {
		c.form.Set("csrf", token)
		if r := ada.post(c.path, c.form); r.StatusCode != http.StatusSeeOther || s.Said[len(s.Said)-1] != c.want {
			t.Errorf("%s: status %d, said %v, want %q", c.path, r.StatusCode, s.Said, c.want)
		}
	}
	r := ada.post("/projects/shop/runs/"+strconv.Itoa(webtest.Long)+"/approvals/"+webtest.HeldBy, url.Values{"csrf": {token}, "answer": {"approve"}, "until": {"tomorrow"}})
	if r.StatusCode == http.StatusSeeOther {
		t.Error("an approval from a time that is none was taken")
	}
}

func TestTheLibraryNeverShowsASecret(t *testing.T) {
	s := newSite(t)
	ada, bob := s.as(t, "ada"), s.as(t, "bob")
	ada.says("/projects/shop/library", "signing.p12", "hub", "dockerregistry", "4.0 kB", "Add a group")
	body := ada.says("/projects/shop/library/groups/production", `type="password"`, `value="eu"`, `value="password"`)
	if strings.Contains(body, webtest.SecretText) {
		t.Error("a secret is shown")
	}
	if body := bob.get("/projects/shop/library/groups/production").body; strings.Contains(body, "<input class=\"in mono\"") || !strings.Contains(body, "secret") {
		t.Error("a reader is offered to change the group")
	}
	ada.says("/projects/shop/library/connections/hub", "https://images.example.com", `value="username"`)
	token := ada.token("/projects/shop/library?add=group")
	for _, c := range []struct {
		path string
		form url.Values
		want string
	}{
		{"/groups", url.Values{"title": {"staging"}, "name": {"a", "", "b"}, "value": {"1", "", "2"}, "secret": {"2"}, "open": {"1"}}, "group staging a=1 b=2 secret open"},
		{"/groups/production", url.Values{"name": {"region", "password"}, "value": {"us", ""}, "secret": {"1"}, "remove": {"old"}}, "change production set region remove old"},
		{"/groups/production/remove", url.Values{}, "remove group production"},
		{"/connections", url.Values{"title": {"hub2"}, "type": {"dockerregistry"}, "url": {"https://r.example"}, "name": {"password"}, "value": {"x"}, "secret": {"0"}}, "connection hub2 dockerregistry https://r.example"},
		{"/connections/hub/remove", url.Values{}, "remove connection hub"},
		{"/files/signing.p12/remove", url.Values{}, "remove file signing.p12"},
	} {
		c.form.Set("csrf", token)
		if r := ada.post("/projects/shop/library"+c.path, c.form); r.StatusCode != http.StatusSeeOther || s.Said[len(s.Said)-1] != c.want {
			t.Errorf("%s: status %d, said %v, want %q", c.path, r.StatusCode, s.Said, c.want)
		}
	}
}

func TestASecureFileIsUploaded(t *testing.T) {
	s := newSite(t)
	ada := s.as(t, "ada")
	send := func(token string) int {
		t.Helper()
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for _, err := range []error{w.WriteField("csrf", token), w.WriteField("title", "")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		part, err := w.CreateFormFile("file", "key.pem")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte("the key")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.srv.URL+"/projects/shop/library/files", &b)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", w.FormDataContentType())
		return ada.do(req).StatusCode
	}
	if code := send("wrong"); code != http.StatusForbidden || len(s.Said) > 0 {
		t.Errorf("without a token: %d, %v", code, s.Said)
	}
	if code := send(ada.token("/projects/shop/library?add=file")); code != http.StatusSeeOther || len(s.Said) != 1 || s.Said[0] != "file key.pem the key" {
		t.Errorf("status %d, said %v", code, s.Said)
	}
}

func TestTheDialogThatStartsARun(t *testing.T) {
	s := newSite(t)
	ada := s.as(t, "ada")
	body := ada.says("/projects/shop/runs?start=1", `name="p.region"`, `<option value="eu" selected>`, `name="p.dryRun" value="true" checked`, `name="p.replicas" value="3"`, `<textarea class="in area mono" name="p.hosts"`, `name="v.retries" value="1"`)
	if strings.Contains(body, "v.fixed") {
		t.Error("a variable that cannot be set is offered")
	}
	ada.says("/projects/shop/runs?start=1&repo=shop/shop&ref=broken", "This cannot be run:", "Line: 3, Col: 1", "mend the file")
	form := url.Values{"csrf": {ada.token("/projects/shop/runs?start=1")}, "repo": {"shop/shop"}, "ref": {"main"}, "p.region": {"us"}, "p.dryRun": {"false", "true"}, "p.hosts": {"[a]"}, "v.retries": {"2"}, "skip": {"Docs Lint"}}
	if r := ada.post("/projects/shop/runs", form); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", r.StatusCode)
	}
	want := []pipeline.Request{{Ref: "main", Parameters: map[string]string{"region": "us", "dryRun": "true", "hosts": "[a]"}, Variables: map[string]string{"retries": "2"}, Skip: []string{"Docs", "Lint"}}}
	if d := cmp.Diff(want, s.Started); d != "" {
		t.Error(d)
	}
}
