package browser_test

import (
	"testing"
)

// TestPipelinesTestsAndPoolsByKeys walks the new pages with the keyboard, in the dark and on a
// narrow screen, and adds a pipeline by its form.
func TestPipelinesTestsAndPoolsByKeys(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 390, 844)
	for _, path := range []string{"/pipelines", "/tests?pipeline=1", "/tests/4711?pipeline=1", "/agents", "/retention"} {
		must(t, p.Go(ctx, w.url+"/projects/shop"+path))
		must(t, p.Eval(ctx, `document.documentElement.dataset.theme = "dark"`, nil))
		must(t, p.Until(ctx, `document.readyState === "complete" && document.querySelector("h1") && document.documentElement.scrollWidth <= window.innerWidth`))
	}
	must(t, p.Go(ctx, w.url+"/projects/shop/tests?pipeline=1"))
	must(t, p.Until(ctx, `document.readyState === "complete" && document.querySelector("[data-row]")`))
	must(t, p.Press(ctx, "j", false))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `location.pathname.endsWith("/tests/4711") && document.querySelectorAll(".trend rect").length === 4`))

	must(t, p.Go(ctx, w.url+"/projects/shop/pipelines?add=1"))
	must(t, p.Until(ctx, `document.readyState === "complete" && document.querySelector("#add [name=name]")`))
	must(t, p.Eval(ctx, `document.querySelector("#add [name=name]").value = "docs"; document.querySelector("#add [name=file]").focus()`, nil))
	must(t, p.Type(ctx, "ci/docs.yml"))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `document.body.textContent.includes("The pipeline docs is there.")`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems: %v", got)
	}
}
