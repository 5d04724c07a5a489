package browser_test

import (
	"context"
	"flag"
	"strconv"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/web/browser"
	"towpath.dev/towpath/internal/web/webtest"
)

// frames makes TestALongLog report how long the frames of a scroll through the log took:
//
//	go test ./internal/web/browser -run TestALongLog -v -args -frames
var frames = flag.Bool("frames", false, "report the times of frames")

// mostRows is how many rows of a log of any length may be in the page.
const mostRows = 500

// sound is false when a row shows the text of another line, when rows in sight are missing,
// or more are in the page than may be.
const sound = `(() => {
	const rows = [...document.querySelectorAll(".log > section > div")];
	const box = document.querySelector(".logbox").getBoundingClientRect();
	const inside = rows.filter((r) => { const b = r.getBoundingClientRect(); return b.bottom > box.top && b.top < box.bottom; });
	const lines = inside.map((r) => Number(r.id.slice(1))).sort((a, b) => a - b);
	return rows.length <= 500 && inside.length > 5 && inside.every((r) => r.textContent.includes("line " + r.id.slice(1) + " of a long log"))
		&& lines.every((n, i) => i === 0 || n === lines[i - 1] + 1);
})()`

// TestALongLog looks at a log of 100 000 lines: at its end, at a line in the middle, at the
// beginning, by address, by search and by scrolling. Only what is near is in the page, and
// every row shows its own line.
func TestALongLog(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	at := w.url + "/projects/shop/runs/" + strconv.Itoa(webtest.Long) + "?job=Build.cart&step=3"
	for _, n := range []int{webtest.LongLines, 51_234, 1} {
		must(t, p.Go(ctx, "about:blank"))
		must(t, p.Go(ctx, at+"#L"+strconv.Itoa(n)))
		id := "L" + strconv.Itoa(n)
		must(t, p.Until(ctx, `document.querySelector("#`+id+`.at")?.textContent.includes("line `+strconv.Itoa(n)+` of a long log")`))
		must(t, p.Until(ctx, `(() => { const b = document.querySelector(".logbox").getBoundingClientRect(), l = document.querySelector("#`+id+`").getBoundingClientRect(); return l.top >= b.top && l.bottom <= b.bottom + 1; })()`))
		must(t, p.Until(ctx, sound))
	}
	// The scroll bar goes anywhere: what is in sight is right, and little is in the page.
	for _, part := range []string{"0.25", "0.9", "0.5", "1", "0"} {
		must(t, p.Eval(ctx, `(() => { const b = document.querySelector(".logbox"); b.scrollTop = `+part+` * (b.scrollHeight - b.clientHeight); })()`, nil))
		must(t, p.Until(ctx, `Math.abs(document.querySelector(".logbox").scrollTop - `+part+` * (document.querySelector(".logbox").scrollHeight - document.querySelector(".logbox").clientHeight)) < 2 && `+sound))
	}
	most := scrollThrough(ctx, t, p)
	if most > mostRows {
		t.Errorf("%d rows were in the page", most)
	}
	must(t, p.Until(ctx, sound))
	// A search finds what is far away.
	must(t, p.Press(ctx, "/", false))
	must(t, p.Type(ctx, "line 77123 of"))
	must(t, p.Until(ctx, `document.querySelector("#L77123.at mark")?.textContent === "line 77123 of" && document.querySelector("[data-log-tally]").textContent === "1 of 1"`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems: %v", got)
	}
}

// scrollThrough scrolls a frame at a time through a part of the log and returns how many
// rows were in the page at most.
func scrollThrough(ctx context.Context, t *testing.T, p *browser.Page) int {
	t.Helper()
	var out struct {
		Most   int
		Frames []float64
	}
	must(t, p.Eval(ctx, `(async () => {
		const b = document.querySelector(".logbox"), frames = [];
		let most = 0, last = performance.now();
		for (let i = 0; i < 120; i++) {
			b.scrollTop = i * 700;
			await new Promise(requestAnimationFrame);
			const now = performance.now();
			frames.push(now - last);
			last = now;
			most = Math.max(most, document.querySelectorAll(".log > section > div").length);
		}
		return { most, frames };
	})()`, &out))
	if *frames {
		worst, sum := 0.0, 0.0
		for _, f := range out.Frames {
			worst, sum = max(worst, f), sum+f
		}
		t.Logf("%d frames of 35 lines each: mean %.1f ms, worst %.1f ms, at most %d rows in the page", len(out.Frames), sum/float64(len(out.Frames)), worst, out.Most)
	}
	return out.Most
}

// TestGroupsFold folds the groups of the long log, one and all, and goes to a line that is
// folded away.
func TestGroupsFold(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	must(t, p.Go(ctx, w.url+"/projects/shop/runs/"+strconv.Itoa(webtest.Long)+"?job=Build.cart&step=3"))
	next := func(id string) string {
		return `document.querySelector("#` + id + `").nextElementSibling?.id`
	}
	must(t, p.Until(ctx, `document.querySelector("#L1.fold button")?.getAttribute("aria-expanded") === "true"`))
	must(t, p.Eval(ctx, `document.querySelector("#L1.fold button").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector("#L1 button").getAttribute("aria-expanded") === "false" && `+next("L1")+` === "L101"`))
	must(t, p.Eval(ctx, `document.querySelector("#L1.fold button").click()`, nil))
	must(t, p.Until(ctx, next("L1")+` === "L2"`))
	must(t, p.Press(ctx, "z", false))
	must(t, p.Until(ctx, next("L1")+` === "L101"`))
	// 100 groups of 100 lines leave one line each.
	must(t, p.Until(ctx, `parseFloat(document.querySelector(".log").style.height) === `+strconv.Itoa((webtest.LongLines-100*99)*20)))
	must(t, p.Eval(ctx, `location.hash = "#L50050"`, nil))
	must(t, p.Until(ctx, `document.querySelector("#L50050.at")?.previousElementSibling?.id === "L50049"`))
	must(t, p.Eval(ctx, `document.querySelector("[data-log-times]").click()`, nil))
	must(t, p.Until(ctx, `getComputedStyle(document.querySelector("#L50050 time")).display === "none"`))
	must(t, p.Eval(ctx, `document.querySelector("[data-log-wrap]").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector(".log.wrap #L50050.at") && document.querySelectorAll(".log > section > div").length <= 500`))
	var link string
	must(t, p.Eval(ctx, `(document.querySelector("#L50051 a").dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: true })), location.search + location.hash)`, &link))
	if !strings.HasSuffix(link, "step=3#L50050-L50051") {
		t.Errorf("the address of two lines is %s", link)
	}
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems: %v", got)
	}
}

// TestTheErrorsLeadToTheirLines goes from what went wrong, above, to the line that says so.
func TestTheErrorsLeadToTheirLines(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	for _, width := range []int{1440, 390} {
		p := w.signIn(ctx, t, width, 900)
		must(t, p.Go(ctx, w.url+"/projects/shop/runs/2040"))
		must(t, p.Until(ctx, `document.querySelector("#issues li.error a")?.textContent.includes("Bash exited with code 1")`))
		must(t, p.Eval(ctx, `document.querySelector("#issues li.error a").click()`, nil))
		must(t, p.Until(ctx, `document.querySelector("#L13.at")?.textContent.includes("Bash exited")`))
		var broad bool
		must(t, p.Eval(ctx, `document.documentElement.scrollWidth > window.innerWidth`, &broad))
		if broad {
			t.Errorf("%d pixels: the page is broader than the window", width)
		}
	}
}

// TestTheGraphIsOperatedByKeyboard comes to a stage of the graph with the tab key's order
// and opens it.
func TestTheGraphIsOperatedByKeyboard(t *testing.T) {
	w := start(t)
	ctx := limited(t)
	p := w.signIn(ctx, t, 1440, 900)
	must(t, p.Go(ctx, w.url+"/projects/shop/runs/2041"))
	must(t, p.Until(ctx, `document.querySelectorAll("svg.dag a.node").length === 5 && document.querySelectorAll("svg.dag .way").length === 5`))
	var places []float64
	must(t, p.Eval(ctx, `[...document.querySelectorAll("svg.dag a.node")].map((n) => n.getBoundingClientRect().left)`, &places))
	if places[0] >= places[1] || places[1] >= places[2] || places[2] != places[3] || places[3] >= places[4] {
		t.Errorf("the stages stand at %v", places)
	}
	must(t, p.Eval(ctx, `document.querySelectorAll("svg.dag a.node")[3].focus()`, nil))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `document.readyState === "complete" && document.querySelector("#stagenow")?.textContent.includes("Start Scan")`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems: %v", got)
	}
}
