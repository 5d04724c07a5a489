package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/web/webtest"
)

const failedRun = "/projects/shop/runs/2040"

// says fails unless a page has every one of the texts.
func (v *visitor) says(path string, texts ...string) string {
	v.t.Helper()
	r := v.get(path)
	if r.StatusCode != http.StatusOK {
		v.t.Fatalf("GET %s: status %d", path, r.StatusCode)
	}
	for _, want := range texts {
		if !strings.Contains(r.body, want) {
			v.t.Errorf("GET %s does not say %q", path, want)
		}
	}
	return r.body
}

func TestTheRunPageShowsErrorsFirst(t *testing.T) {
	v := newSite(t).as(t, "bob")
	body := v.says(failedRun, "1 error, 1 warning", `href="/projects/shop/runs/2040?job=Build.cart&amp;step=3#L13"`, "Bash exited with code 1")
	if strings.Index(body, `id="issues"`) > strings.Index(body, `id="steps"`) {
		t.Error("the errors stand below the jobs")
	}
	if strings.Index(body, "#L13") > strings.Index(body, "#L12") {
		t.Error("a warning stands before the error")
	}
}

func TestTheOutlineOfALog(t *testing.T) {
	v := newSite(t).as(t, "bob")
	var o struct {
		Total            int64
		Groups           [][2]int64
		Errors, Warnings int
		Issues           []struct {
			Kind, Text string
			Line       int64
		}
	}
	read := func(path string) {
		t.Helper()
		o.Groups, o.Issues = nil, nil
		if err := json.Unmarshal([]byte(v.get(path).body), &o); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // The second answer comes from memory.
		read(failedRun + "/log/Build.cart/3/outline")
		if o.Total != 13 || o.Errors != 1 || o.Warnings != 1 || !cmp.Equal(o.Groups, [][2]int64{{2, 10}}) {
			t.Errorf("the outline is %+v", o)
		}
		if len(o.Issues) != 2 || o.Issues[1].Kind != "error" || o.Issues[1].Line != 13 || o.Issues[1].Text != "Bash exited with code 1" {
			t.Errorf("the issues are %+v", o.Issues)
		}
	}
	read("/projects/shop/runs/" + strconv.Itoa(webtest.Long) + "/log/Build.cart/3/outline")
	if o.Total != webtest.LongLines || len(o.Groups) != 100 || o.Groups[1] != [2]int64{1000, 1099} {
		t.Errorf("the long log has %d lines and %d groups", o.Total, len(o.Groups))
	}
	if r := newSite(t).as(t, "eve").get(failedRun + "/log/Build.cart/3/outline"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger reads an outline: %d", r.StatusCode)
	}
}

func TestTheRunIsComparedWithTheLastGreenOne(t *testing.T) {
	v := newSite(t).as(t, "bob")
	v.says(failedRun, "Compare with 2036, last green")
	v.says(failedRun+"?tab=compare", "Newly failing tests", "TestPriceRounding/JPY_has_no_minor_unit", "was succeeded", "Given differently", ">region<", ">eu<", ">us<")
	if body := v.get("/projects/shop/runs/2038?tab=compare").body; strings.Contains(body, "Given differently") {
		t.Error("two runs that were given the same are said to differ")
	}
	v.says("/projects/shop/runs/2036?tab=compare", "No green run before this one.")
	if r := v.get(failedRun + "?tab=compare&with=999"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a run that is not there: %d", r.StatusCode)
	}
}

func TestAttemptsCanBeChosen(t *testing.T) {
	v := newSite(t).as(t, "bob")
	body := v.says(failedRun, `href="/projects/shop/runs/2040?job=Build.cart%231&amp;step=1"`)
	if strings.Contains(body, "Checkout, the first time") {
		t.Error("the last attempt shows a step of the first one")
	}
	v.says(failedRun+"?job=Build.cart%231&step=1", "Checkout, the first time", "/log/Build.cart%231/1")
}

func TestTheTimelineAndTheOtherTabs(t *testing.T) {
	v := newSite(t).as(t, "bob")
	v.says(failedRun+"?tab=timeline", "cart: failed, waited 4.0 s, ran 31.0 s from", "on host-1", `class="queue"`)
	v.says(failedRun+"?tab=coverage", "88.1", "Cobertura", "1\u202f762 of 2\u202f000")
	v.says(failedRun+"?tab=artifacts", "drop", "/attachments/01FILE")
	v.says(failedRun+"?tab=given", ">region<", ">us<", "Docs", "nightly")
	v.says(failedRun+"?tab=file", `id="F1"`)
	summary := v.says(failedRun+"?tab=summary", "<p><b>Coverage</b></p>", `<th scope="col" class="r">lines</th>`, `<td class="r">88.1 %</td>`, `href="https://example.com/report"`, "not [this](javascript:alert(1))")
	for _, bad := range []string{"<script>alert", "<img", `href="javascript`} {
		if strings.Contains(summary, bad) {
			t.Errorf("the summary has %q", bad)
		}
	}
	r := v.get(failedRun + "/attachments/01FILE")
	if r.body != "bytes" || r.Header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment;") {
		t.Errorf("an attachment is served as %v", r.Header)
	}
}

func TestAStageIsActedOnFromThePage(t *testing.T) {
	s := newSite(t)
	ada, bob := s.as(t, "ada"), s.as(t, "bob")
	live := "/projects/shop/runs/2041"
	ada.says(live+"?stage=Scan", "Start Scan", "Skip Scan")
	ada.says(failedRun, "Re-run Build", "Re-run its failed jobs", "Run what failed again")
	if body := bob.get(failedRun).body; strings.Contains(body, "Re-run Build") {
		t.Error("a reader is offered to re-run a stage")
	}
	token := ada.token(live)
	for path, want := range map[string]int{
		live + "/stages/Scan/start": http.StatusSeeOther, live + "/stages/Scan/skip": http.StatusSeeOther, live + "/stages/Scan/break": http.StatusNotFound,
		failedRun + "/rerun?stage=Build&following=1": http.StatusSeeOther,
	} {
		if r := ada.post(path, url.Values{"csrf": {token}}); r.StatusCode != want {
			t.Errorf("POST %s: status %d, want %d", path, r.StatusCode, want)
		}
	}
	said := strings.Join(s.Said, "\n")
	for _, want := range []string{"start Scan", "skip Scan", "repeat {Failed:false Stage:Build Following:true Stay:0s}"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q was not asked for, but %s", want, said)
		}
	}
	if r := bob.post(live+"/stages/Scan/skip", url.Values{"csrf": {bob.token("/settings")}}); r.StatusCode != http.StatusForbidden {
		t.Errorf("a reader skips a stage: %d", r.StatusCode)
	}
}
