package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestPagesOfPipelines shows pipelines, pools, tests and retention, with nothing of the fixture
// that would be markup.
func TestPagesOfPipelines(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	for path, want := range map[string][]string{
		"/projects/shop/pipelines":                   {"nightly &lt;b&gt;", "disabled", "shop/shop/ci/nightly.yml", "failed", "/projects/shop/runs?pipeline=7"},
		"/projects/shop/pipelines?add=1":             {`name="file"`, `value="shop/shop"`},
		"/projects/shop/runs?pipeline=7":             {"nightly &lt;b&gt;"},
		"/projects/shop/runs?start=1":                {"shop/shop"},
		"/projects/shop/agents":                      {"Default", "Jobs queued", "host-1", "/usr/bin/git", "Build.Go", "busy"},
		"/projects/shop/agents?pool=Default":         {"Agents of Default", "All agents"},
		"/projects/shop/tests?pipeline=1":            {"pays &lt;b&gt;", "75 %", "flaky", "/projects/shop/tests/4711?pipeline=1"},
		"/projects/shop/tests?pipeline=1&show=flaky": {"pays &lt;b&gt;"},
		"/projects/shop/tests/4711?pipeline=1":       {"75 %", `class="denied"`, "attempt 4", "skipped"},
		"/projects/shop/retention":                   {`value="365"`, "the release &lt;script&gt;", "Let go", "Nothing. Old runs"},
		"/projects/shop/library?add=webhook":         {`value="incomingwebhook"`, "X-Hub-Signature-256"},
		"/projects/shop/runs/2041?tab=tests":         {"/projects/shop/tests?pipeline=shop%2Fshop"},
	} {
		r := v.get(path)
		if r.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %d", path, r.StatusCode)
		}
		for _, text := range want {
			if !strings.Contains(r.body, text) {
				t.Errorf("%s does not show %s", path, text)
			}
		}
	}
	if r := v.get("/projects/shop/pipelines/1/badge.svg"); r.Header.Get("Content-Type") != "image/svg+xml; charset=utf-8" || !strings.Contains(r.body, "shop: failed") {
		t.Errorf("the badge: %s %s", r.Header.Get("Content-Type"), r.body)
	}
	if r := s.as(t, "").get("/projects/shop/pipelines/1/badge.svg"); r.StatusCode == http.StatusOK {
		t.Error("nobody sees the badge")
	}
}

// TestEmptyPagesOfPipelinesTeach shows what to do where nothing is yet.
func TestEmptyPagesOfPipelinesTeach(t *testing.T) {
	s := newSite(t)
	s.Empty = true
	v := s.as(t, "ada")
	for path, want := range map[string]string{
		"/projects/shop/pipelines": "towpath pipeline create", "/projects/shop/tests": "PublishTestResults@2", "/projects/shop/retention": "towpath run keep",
	} {
		if r := v.get(path); r.StatusCode != http.StatusOK || !strings.Contains(r.body, want) {
			t.Errorf("%s, empty: %d, without %q", path, r.StatusCode, want)
		}
	}
}

// TestFormsOfPipelines sends each form and reads what the services were asked.
func TestFormsOfPipelines(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	token := v.token("/projects/shop/retention")
	for _, c := range []struct {
		path string
		form url.Values
		want string
	}{
		{"/projects/shop/pipelines", url.Values{"name": {" docs "}, "repo": {"shop/shop"}, "file": {"ci/docs.yml"}}, "pipeline docs of shop/shop/ci/docs.yml"},
		{"/projects/shop/pipelines/7", url.Values{"disabled": {"false"}}, "pipeline 7 disabled false"},
		{"/projects/shop/pipelines/7/delete", url.Values{}, "delete pipeline 7"},
		{"/projects/shop/retention", url.Values{"repo": {"", "web", ""}, "branch": {"main", "", ""}, "days": {"30", "7", ""}, "keep": {"3", "", ""}}, "retention  main 30 3; web  7 0"},
		{"/projects/shop/runs/2041/keep", url.Values{"why": {"a release"}}, "keep 2041 a release"},
		{"/projects/shop/runs/2041/keep", url.Values{"keep": {"false"}}, "unkeep 2041"},
		{"/projects/shop/pools", url.Values{"name": {"linux"}, "kind": {"host"}}, "pool linux host"},
		{"/projects/shop/agents/host-1", url.Values{"enabled": {"false"}}, "agent host-1 enabled false"},
	} {
		c.form.Set("csrf", token)
		if r := v.post(c.path, c.form); r.StatusCode != http.StatusSeeOther {
			t.Errorf("POST %s: %d", c.path, r.StatusCode)
		}
		s.Lock()
		if !slices.Contains(s.Said, c.want) {
			t.Errorf("POST %s asked for %v, not %q", c.path, s.Said, c.want)
		}
		s.Unlock()
	}
	if r := v.post("/projects/shop/retention", url.Values{"csrf": {token}, "days": {"many"}}); r.StatusCode == http.StatusSeeOther {
		t.Error("days that are no number are saved")
	}
}
