package browser_test

import (
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/web/webtest"
)

// TestTheWayThrough goes the way that a person goes: sign in, look at the Path, open a
// change, look at its run, find a line in the log, come to the evidence, with the mouse
// and with the keyboard.
func TestTheWayThrough(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)

	// A row opens in place into its chain, and the address says so.
	must(t, p.Until(ctx, `document.querySelector("[data-live-mark]").dataset.on === "true"`))
	must(t, p.Eval(ctx, `document.querySelector("tr.change-row a.change").click()`, nil))
	must(t, p.Until(ctx, `document.querySelectorAll(".chain li").length > 8 && location.search === "?open=42"`))

	// The filter follows the typing, and stands in the address.
	must(t, p.Press(ctx, "/", false))
	must(t, p.Until(ctx, `document.activeElement.matches("[data-find]")`))
	must(t, p.Type(ctx, "grpc"))
	must(t, p.Until(ctx, `document.querySelectorAll("tr.change-row").length === 1 && location.search.includes("q=grpc")`))

	// The palette: Ctrl-K, a few letters, Enter.
	must(t, p.Press(ctx, "k", true))
	must(t, p.Until(ctx, `document.querySelector("#palette").open && document.querySelectorAll("#found a").length > 5`))
	must(t, p.Type(ctx, "run 2040"))
	must(t, p.Until(ctx, `document.querySelector("#found a[aria-selected=true]")?.textContent.includes("2040")`))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/runs/2040" && document.readyState === "complete"`))

	// The first step that failed is shown, with its error one click away.
	must(t, p.Until(ctx, `document.querySelector("[data-log-errors]").textContent === "1 error, 1 warning"`))
	must(t, p.Eval(ctx, `document.querySelector("[data-log-errors]").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector("#L13.at")`))
	must(t, p.Press(ctx, "/", false))
	must(t, p.Type(ctx, "rounding"))
	must(t, p.Until(ctx, `document.querySelectorAll(".log mark").length > 0 && document.querySelector("[data-log-tally]").textContent.startsWith("1 of ")`))

	// g r leads to the runs, g p back to the Path; ? shows the keys.
	must(t, p.Eval(ctx, `document.activeElement.blur()`, nil))
	must(t, p.Press(ctx, "g", false))
	must(t, p.Press(ctx, "r", false))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/runs" && document.readyState === "complete"`))
	must(t, p.Press(ctx, "j", false))
	must(t, p.Until(ctx, `document.activeElement.textContent === "2041"`))
	must(t, p.Press(ctx, "?", false))
	must(t, p.Until(ctx, `document.querySelector("#keys").open`))

	// The theme that is chosen stays.
	must(t, p.Go(ctx, w.url+"/projects/shop"))
	must(t, p.Eval(ctx, `document.querySelector('[data-theme-set="dark"]').click()`, nil))
	must(t, p.Go(ctx, w.url+"/projects/shop/runs"))
	must(t, p.Until(ctx, `document.documentElement.dataset.theme === "dark" && getComputedStyle(document.body).backgroundColor === "rgb(16, 20, 19)"`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("on the way: %v", got)
	}
}

// TestThePathMovesByItself says a fact and waits for the page to follow, in place: what a
// person has opened stays open and keeps the focus.
func TestThePathMovesByItself(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	must(t, p.Go(ctx, w.url+"/projects/shop?open=42"))
	must(t, p.Until(ctx, `document.querySelector("[data-live-mark]").dataset.on === "true"`))
	must(t, p.Eval(ctx, `window.kept = document.querySelector('[data-key="c-42"]'); document.querySelector("#o-42").focus()`, nil))
	w.Push("A change that came while one looked")
	w.Append(event.Event{Type: event.TypeCommitPushed, Project: "shop", Subject: "commit:" + webtest.Second, Payload: []byte(`{"title":"A change that came while one looked"}`)})
	must(t, p.Until(ctx, `document.querySelector("tr.change-row b").textContent === "A change that came while one looked"`))
	must(t, p.Until(ctx, `document.querySelector("tr.change-row").classList.contains("fresh")`))
	must(t, p.Until(ctx, `document.querySelector("#said").textContent === "Pushed: A change that came while one looked"`))
	var same bool
	must(t, p.Eval(ctx, `window.kept === document.querySelector('[data-key="c-42"]') && document.activeElement.id === "o-42" && document.querySelectorAll(".chain li").length > 8 && !window.kept.classList.contains("fresh")`, &same))
	if !same {
		t.Error("the open row was drawn anew, or lost the focus")
	}
}

// TestNoFactIsCut draws the Path in a font wider than any that a system falls back to: what
// a cell says stays inside it, on every size of window.
func TestNoFactIsCut(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	for _, width := range []int{1440, 1200, 1000, 390} {
		p := w.signIn(ctx, t, width, 900)
		must(t, p.Go(ctx, w.url+"/projects/shop"))
		var cut []string
		must(t, p.Eval(ctx, `(() => {
			document.documentElement.style.setProperty("--sans", '"DejaVu Sans", Verdana, sans-serif');
			document.querySelector("#path").style.letterSpacing = ".06em";
			const cut = [];
			for (const fact of document.querySelectorAll(".lock i > span:not(.sr)")) {
				const text = document.createRange();
				text.selectNodeContents(fact);
				const is = text.getBoundingClientRect(), lock = fact.closest(".lock").getBoundingClientRect(), cell = fact.closest("td").getBoundingClientRect();
				if (is.right > lock.right + 1 || is.bottom > lock.bottom + 1 || lock.bottom > cell.bottom + 1 || fact.scrollWidth > fact.clientWidth + 1) cut.push(fact.textContent);
			}
			return document.querySelectorAll(".lock i > span:not(.sr)").length < 20 ? ["there are no facts"] : cut;
		})()`, &cut))
		if len(cut) > 0 {
			t.Errorf("%d pixels: cut are %q", width, cut)
		}
	}
}

// TestALogGrows waits for lines of a running step to come by themselves.
func TestALogGrows(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	must(t, p.Go(ctx, w.url+"/projects/shop/runs/2041"))
	must(t, p.Until(ctx, `document.querySelector("#L16")?.textContent.includes("number 16")`))
	must(t, p.Until(ctx, `document.querySelector("[data-log-total]").textContent === "16 lines"`))
	var took string
	must(t, p.Eval(ctx, `document.querySelector(".steps a[aria-current] time").textContent`, &took))
	time.Sleep(1200 * time.Millisecond) // The clock of the page has to move; nothing is asserted about how far.
	must(t, p.Until(ctx, `document.querySelector(".steps a[aria-current] time").textContent !== "`+took+`"`))
}

// TestAnExportComputesNothing exports lines of which one is what a spreadsheet would compute.
func TestAnExportComputesNothing(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	must(t, p.Go(ctx, w.url+"/projects/shop/monitor/logs?q=ContainerLogV2"))
	must(t, p.Until(ctx, `document.querySelector(".vrow")?.textContent !== undefined`))
	must(t, p.Eval(ctx, `(() => { URL.createObjectURL = (b) => { b.text().then((t) => { window.exported = t; }); return "#"; }; document.querySelector("[data-export-as=csv]").click(); })()`, nil))
	must(t, p.Until(ctx, `window.exported?.includes("HYPERLINK")`))
	var safe bool
	must(t, p.Eval(ctx, `window.exported.includes(",\"'=HYPERLINK(\"\"http") && !window.exported.includes("\"=HYPERLINK")`, &safe))
	if !safe {
		t.Error("a text of the export begins with an equals sign")
	}
}

// TestAccessibility checks on every page what a screen reader and a keyboard need.
func TestAccessibility(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	for _, stop := range tour {
		must(t, p.Go(ctx, w.url+stop.path))
		var wrong []string
		must(t, p.Eval(ctx, lacks, &wrong))
		if len(wrong) > 0 {
			t.Errorf("%s: %s", stop.name, strings.Join(wrong, "; "))
		}
	}
}

// lacks lists what a page lacks: a title, one heading of the first level, landmarks,
// names of what can be operated, unique ids, headings that skip no level.
const lacks = `(() => {
	const out = [], all = (s) => [...document.querySelectorAll(s)];
	if (!document.title.endsWith("Towpath")) out.push("title " + document.title);
	if (document.documentElement.lang !== "en") out.push("no language");
	if (all("main").length !== 1) out.push("main landmarks: " + all("main").length);
	if (all("main h1").length !== 1) out.push("h1: " + all("main h1").length);
	if (all("[aria-live=polite]").length < 2) out.push("no live region");
	const name = (e) => (e.getAttribute("aria-label") || (e.labels && [...e.labels].map((l) => l.textContent).join(" ")) || e.textContent || e.title || "").trim();
	for (const e of all("a[href], button, input:not([type=hidden]), select, summary")) if (!e.hidden && !name(e)) out.push("no name: " + e.outerHTML.slice(0, 90));
	for (const n of all("nav")) if (!n.getAttribute("aria-label")) out.push("a nav without a name");
	const ids = new Set();
	for (const e of all("[id]")) { if (ids.has(e.id)) out.push("id twice: " + e.id); ids.add(e.id); }
	for (const th of all("th")) if (!th.scope) out.push("th without scope: " + th.textContent);
	for (const s of all("svg")) if (s.getAttribute("aria-hidden") !== "true" && !(/^(img|group)$/.test(s.getAttribute("role")) && s.getAttribute("aria-label"))) out.push("a drawing is read aloud without a name");
	return out.slice(0, 6);
})()`
