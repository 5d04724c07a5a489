package browser_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
)

// said are the words of the forms that the fixture has taken.
func (w *world) said() []string {
	w.Lock()
	defer w.Unlock()
	return append([]string(nil), w.Said...)
}

// TestReviewByKeyboard comments on a line, folds a file that was looked at and gives a
// review, with keys alone.
func TestReviewByKeyboard(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	const files = "/projects/shop/pulls/shop/7?tab=files"
	must(t, p.Go(ctx, w.url+files))

	must(t, p.Eval(ctx, `document.querySelector("[data-say='1n8']").focus()`, nil))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `document.activeElement.closest(".talk[data-new]")?.previousElementSibling.id === "d1n8"`))
	must(t, p.Type(ctx, "Is it ever negative?"))
	must(t, p.Eval(ctx, `document.activeElement.form.requestSubmit()`, nil))
	must(t, p.Until(ctx, `location.hash === "#d1n8" && document.readyState === "complete"`))

	must(t, p.Eval(ctx, `document.querySelector("#f1 [data-viewed-box]").focus()`, nil))
	must(t, p.Press(ctx, " ", false))
	must(t, p.Until(ctx, `!document.querySelector("#f1").open && document.querySelector("#f0").open`))
	must(t, p.Go(ctx, w.url+files+"&again=1"))
	must(t, p.Until(ctx, `!document.querySelector("#f1").open && document.querySelector("#f1 [data-viewed-box]").checked`))
	// A link into the folded file unfolds it.
	must(t, p.Eval(ctx, `location.hash = "#d1n8"`, nil))
	must(t, p.Until(ctx, `document.querySelector("#f1").open`))

	must(t, p.Eval(ctx, `document.querySelector("#review textarea").focus()`, nil))
	must(t, p.Type(ctx, "Good."))
	must(t, p.Eval(ctx, `document.querySelector("#review [value=approved]").click()`, nil))
	must(t, p.Until(ctx, `location.search === "" && document.querySelector(".notice")?.textContent.includes("Your review is given")`))

	want := []string{"comment cart/rounding.go:new:8 Is it ever negative?", "review approved Good."}
	if d := cmp.Diff(want, w.said()); d != "" {
		t.Error(d)
	}
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems: %v", got)
	}
}

// TestPullsAndPoliciesAreFound looks for both in the palette.
func TestPullsAndPoliciesAreFound(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	for text, want := range map[string]string{"sidecar": "/projects/shop/pulls/shop/7", "restricted in": "/projects/shop/policy/assignments/shop-restricted", "privileged": "/projects/shop/policy/definitions/container-no-privilege"} {
		must(t, p.Go(ctx, w.url+"/projects/shop/runs"))
		must(t, p.Press(ctx, "k", true))
		must(t, p.Until(ctx, `document.querySelector("#palette").open && document.activeElement.closest("#palette")`))
		must(t, p.Type(ctx, text))
		must(t, p.Until(ctx, `document.querySelector("#found a[href='`+want+`']")`))
	}
}

// TestPolicyIsLive renews the policy page in place, but nothing that somebody types in.
func TestPolicyIsLive(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	must(t, p.Go(ctx, w.url+"/projects/shop/policy"))
	must(t, p.Until(ctx, `document.querySelector("[data-live-mark]").dataset.on === "true"`))
	must(t, p.Eval(ctx, `document.querySelector("[data-find]").focus(); document.querySelector("#assignments td a").textContent = "overwritten"`, nil))
	must(t, p.Type(ctx, "ca"))
	w.Append(event.Event{Type: event.TypePolicyChanged, Project: "shop", Subject: "project:shop", Actor: "user:ada"})
	must(t, p.Until(ctx, `!document.querySelector("#assignments").textContent.includes("overwritten")`))
	var value string
	must(t, p.Eval(ctx, `document.querySelector("[data-find]").value`, &value))
	if !strings.HasPrefix(value, "ca") {
		t.Errorf("the field holds %q", value)
	}
}
