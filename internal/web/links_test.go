package web_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/web/webtest"
)

var link = regexp.MustCompile(`href="(/[^"#]*)`)

// TestTwoClicks follows every link of the Path page, and every link of those pages: none
// is dead, and every room and every piece of evidence is among them.
func TestTwoClicks(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "ada")
	seen := map[string]bool{}
	next := []string{"/projects/shop?open=42"}
	for range 3 {
		var found []string
		for _, path := range next {
			r := v.get(path)
			if r.StatusCode == http.StatusSeeOther {
				r = v.get(r.Header.Get("Location"))
			}
			if r.StatusCode != http.StatusOK && !strings.Contains(path, "/raw/") && !known(path) {
				t.Errorf("GET %s: status %d", path, r.StatusCode)
			}
			if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
				continue
			}
			for _, m := range link.FindAllStringSubmatch(r.body, -1) {
				to := strings.ReplaceAll(m[1], "&amp;", "&")
				if !seen[to] && !strings.HasPrefix(to, "/assets/") {
					seen[to] = true
					found = append(found, to)
				}
			}
		}
		next = found
	}
	for _, want := range []string{
		"/projects/shop/runs/2041", "/projects/shop/runs/2041?tab=tests", "/projects/shop/code/shop/commit/" + webtest.Newest,
		"/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=findings", "/projects/shop/images/shop/cart@" + webtest.Digest + "?tab=packages",
		"/projects/shop/environments/production/releases/48", "/projects/shop/trace/pod/1d2f", "/projects/shop/settings", "/settings", "/status",
		"/projects/shop/monitor/alerts/" + webtest.AlertID, "/projects/shop/monitor/errors/" + webtest.GroupID, "/projects/shop/monitor/map", "/projects/shop/items/41", "/projects/shop/trace/item/41",
		"/projects/shop/board", "/projects/shop/backlog", "/projects/shop/planning", "/projects/shop/sprints", "/projects/shop/dora", "/projects/shop/sessions",
		"/projects/shop/monitor/traces", "/projects/shop/monitor/logs",
	} {
		if !seen[want] {
			t.Errorf("%s is not within two clicks of the Path page", want)
		}
	}
}

// known are links to what the fixture does not have, though an installation would: pods
// and images of other releases.
func known(path string) bool {
	return slices.ContainsFunc([]string{"/environments/staging/releases", "/runs/19", "/runs/203", "/runs/204", "chart", "/web"}, func(p string) bool { return strings.Contains(path, p) }) ||
		strings.Contains(path, "/commit/") || strings.HasPrefix(path, "/projects/billing")
}
