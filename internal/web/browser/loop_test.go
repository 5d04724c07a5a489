package browser_test

import (
	"context"
	"slices"
	"testing"
	"time"
)

// asked waits until a form or a script has asked the services for something.
func (w *world) asked(ctx context.Context, t *testing.T, want string) {
	t.Helper()
	for {
		w.Lock()
		all := slices.Clone(w.Said)
		w.Unlock()
		if slices.Contains(all, want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("nobody asked to %s, but to %q", want, all)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// TestTheLoopCloses goes the second half of the main way with the keyboard: from the board
// to an item and a comment, to the planning, and to the canary of a release.
func TestTheLoopCloses(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	palette := func(text, first string) {
		t.Helper()
		must(t, p.Press(ctx, "k", true))
		must(t, p.Until(ctx, `document.querySelector("#palette").open`))
		must(t, p.Type(ctx, text))
		must(t, p.Until(ctx, `document.querySelector("#found a[aria-selected=true]")?.textContent.includes("`+first+`")`))
		must(t, p.Press(ctx, "Enter", false))
	}

	// g b leads to the board; j to its first card, Shift with an arrow moves that.
	must(t, p.Press(ctx, "g", false))
	must(t, p.Press(ctx, "b", false))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/board" && document.readyState === "complete"`))
	must(t, p.Press(ctx, "j", false))
	must(t, p.Until(ctx, `document.activeElement.textContent === "Carts survive a restart"`))
	must(t, p.Shift(ctx, "ArrowRight"))
	must(t, p.Until(ctx, `document.querySelector('.boardcol[data-state="Active"] [data-item="40"]') && document.querySelector("#said").textContent === "Item 40 is in Active"`))
	w.asked(ctx, t, "move [40] before 41 to Active")
	must(t, p.Until(ctx, `document.activeElement.textContent === "Carts survive a restart"`))
	must(t, p.Shift(ctx, "ArrowDown"))
	must(t, p.Until(ctx, `document.querySelector('.boardcol[data-state="Active"]').lastElementChild.dataset.item === "40"`))

	// Enter opens it; a comment is said.
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/items/40" && document.readyState === "complete"`))
	must(t, p.Eval(ctx, `document.querySelector("form.reply textarea").focus()`, nil))
	must(t, p.Type(ctx, "They do not yet."))
	must(t, p.Eval(ctx, `document.querySelector("form.reply .btn.primary").click()`, nil))
	w.asked(ctx, t, `comment on 40: "They do not yet."`)
	must(t, p.Until(ctx, `document.readyState === "complete" && document.querySelector("form.reply textarea")?.value === ""`))

	// The tray of the planning, and what is behind an insight in it.
	palette("planning", "Planning")
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/planning" && document.readyState === "complete"`))
	must(t, p.Eval(ctx, `document.querySelector('[data-key="tray-39"] button').click()`, nil))
	w.asked(ctx, t, `accepted [39] into "s13"`)
	must(t, p.Until(ctx, `document.readyState === "complete" && document.querySelector("main .notice")?.textContent === "Item 39 is in the sprint."`))
	must(t, p.Eval(ctx, `document.querySelector('[data-key="tray-41"] a').click()`, nil))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/items/41" && document.querySelectorAll("#cause .suspects li").length === 4`))

	// The canary, by its name; a person lets it go on.
	palette("promote", "Promote canary 48")
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/environments/production/releases/48" && document.querySelectorAll("#canary .metriccard").length === 2`))
	must(t, p.Eval(ctx, `document.querySelector("#canary .btn.primary").click()`, nil))
	w.asked(ctx, t, "promote shop/production/48 full=false")
	must(t, p.Until(ctx, `document.readyState === "complete" && document.querySelector("main .notice")?.textContent === "The canary goes on."`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("on the way: %v", got)
	}
}
