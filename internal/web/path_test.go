package web_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/web/webtest"
)

// TestEveryLockIsDrawnInEveryState draws a change for each state, with all locks of the
// product in it: each says its state in words and as a class, its fact and its time.
func TestEveryLockIsDrawnInEveryState(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	for state, class := range map[evidence.State]string{evidence.Open: "open", evidence.Passing: "pass", evidence.Held: "held", evidence.Shut: "shut"} {
		row := evidence.Row{ID: 1, Project: "shop", Repo: "shop/shop", Branch: "main", Commit: webtest.Second, Title: "One change", PushedBy: "user:ada", Pushed: webtest.Now}
		for _, lock := range evidence.Locks() {
			row.Cells = append(row.Cells, evidence.Cell{Lock: lock, State: state, Fact: "fact of " + lock, Since: webtest.Now, Who: "user:ada", Link: event.OfRun(2041)})
		}
		s.Changes = []evidence.Row{row}
		body := v.get("/projects/shop").body
		for _, lock := range evidence.Locks() {
			name := strings.ToUpper(lock[:1]) + lock[1:]
			for _, want := range []string{
				`data-name="` + name + `"`, `<span class="sr">` + name + " " + string(state) + ":</span>", "<span>fact of " + lock + "</span>", `title="` + name + ": fact of " + lock,
			} {
				if !strings.Contains(body, want) {
					t.Errorf("%s %s: the page does not have %s", lock, state, want)
				}
			}
		}
		if n := strings.Count(body, `class="lock `+class+`"`); n != len(evidence.Locks()) {
			t.Errorf("%d locks are drawn as %s, want %d", n, state, len(evidence.Locks()))
		}
	}
}
