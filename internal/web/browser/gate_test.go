package browser_test

import (
	"strconv"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/web/webtest"
)

// TestACheckIsAddedAndARunIsReleased adds an approval to an environment by its form, and
// answers the one that holds a run.
func TestACheckIsAddedAndARunIsReleased(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	must(t, p.Go(ctx, w.url+"/projects/shop/resources/environment/production"))
	must(t, p.Eval(ctx, `[...document.querySelectorAll("#add .pill")].find((a) => a.textContent === "Approval").click()`, nil))
	must(t, p.Until(ctx, `document.readyState === "complete" && document.querySelector("[name=approvers]")`))
	must(t, p.Eval(ctx, `document.querySelector("[name=approvers]").focus()`, nil))
	must(t, p.Type(ctx, "bob role:maintain"))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `document.body.textContent.includes("holds stages that come to their gate from now on") && document.body.textContent.includes("all of user:bob, role:maintain")`))

	must(t, p.Go(ctx, w.url+"/projects/shop/checks"))
	must(t, p.Eval(ctx, `document.querySelector("#waiting button[value=approve]").click()`, nil))
	must(t, p.Until(ctx, `location.pathname.endsWith("/runs/`+strconv.Itoa(webtest.Long)+`") && document.body.textContent.includes("Approved.")`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems: %v", got)
	}
}

// TestARunIsStartedWithParameters fills the fields that the file's parameters have.
func TestARunIsStartedWithParameters(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 390, 844)
	must(t, p.Go(ctx, w.url+"/projects/shop/runs?start=1"))
	must(t, p.Eval(ctx, `document.querySelector("[name='p.region']").value = "us"; document.querySelector("[type=checkbox][name='p.dryRun']").click(); document.querySelector(".queueform button.primary").click()`, nil))
	must(t, p.Until(ctx, `/runs\/\d+$/.test(location.pathname) && document.readyState === "complete"`))
	w.Lock()
	defer w.Unlock()
	if len(w.Started) != 1 || w.Started[0].Parameters["region"] != "us" || w.Started[0].Parameters["dryRun"] != "false" || !strings.HasPrefix(w.Started[0].Parameters["hosts"], "[") {
		t.Errorf("started: %+v", w.Started)
	}
}
