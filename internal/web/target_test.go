package web_test

import (
	"strings"
	"testing"
)

// TestTargetsOfAnEnvironment looks at what the page says of an environment's machines, and
// that one without machines says nothing of them.
func TestTargetsOfAnEnvironment(t *testing.T) {
	v := newSite(t).as(t, "ada")
	body := v.get("/projects/shop/environments/production").body
	for _, want := range []string{`id="targets"`, "3 machines", "edge-1", "edge, eu", "linux/arm64", "never came", `href="/projects/shop/runs/2040"`, "the target edge-2 of the environment production is offline"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	if strings.Contains(v.get("/projects/shop/environments/staging").body, `id="targets"`) {
		t.Error("an environment without machines has a section for them")
	}
}
