package web_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/web/webtest"
)

func TestWhatHoldsARunIsReleasedThereC001(t *testing.T) {
	s := newSite(t)
	ada, bob := s.as(t, "ada"), s.as(t, "bob")
	run := "/projects/shop/runs/" + strconv.Itoa(webtest.Long)
	for _, v := range []*visitor{ada, bob} {
		text := v.get(run).body
		for _, want := range []string{"Deploy is held:", "environment/production", "waits for user:ada", "Look at the error budget first."} {
			if !strings.Contains(text, want) {
				t.Errorf("the run does not say %q", want)
			}
		}
	}
	if !strings.Contains(ada.get(run).body, `value="approve"`) || strings.Contains(bob.get(run).body, `value="approve"`) {
		t.Error("the approver is not offered to approve, or somebody else is")
	}
	token := ada.token(run)
	for path, want := range map[string]int{webtest.HeldBy: http.StatusSeeOther, "another": http.StatusNotFound} {
		if r := ada.post(run+"/approvals/"+path, url.Values{"csrf": {token}, "answer": {"approve"}}); r.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, r.StatusCode, want)
		}
	}
	if r := ada.post(run+"/approvals/"+webtest.HeldBy, url.Values{"csrf": {token}, "answer": {"perhaps"}}); r.StatusCode == http.StatusSeeOther {
		t.Error("an answer that is none was taken")
	}
	if r := ada.post(run+"/approvals/"+webtest.HeldBy, url.Values{"answer": {"approve"}}); r.StatusCode != http.StatusForbidden {
		t.Errorf("without a token: status %d", r.StatusCode)
	}
}
