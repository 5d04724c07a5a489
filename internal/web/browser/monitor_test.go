package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/web/browser"
)

// sender sends OTLP to a server as a client outside of the cluster.
type sender struct{ url, token string }

func (s sender) send(ctx context.Context, t *testing.T, signal string, body any) {
	t.Helper()
	raw, err := json.Marshal(body)
	must(t, err)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/otlp/v1/"+signal, bytes.NewReader(raw))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("X-Towpath-Project", "shop")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != http.StatusOK {
		t.Fatalf("sending %s: status %d", signal, res.StatusCode)
	}
}

type object = map[string]any

func attributes(pairs ...string) []object {
	var out []object
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, object{"key": pairs[i], "value": object{"stringValue": pairs[i+1]}})
	}
	return out
}

func of(service, scope, items string, list []object) object {
	return object{"resource": object{"attributes": attributes("service.name", service)}, scope: []object{{items: list}}}
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func logRecord(at time.Time, severity int, text string) object {
	return object{"timeUnixNano": nanos(at), "severityNumber": severity, "body": object{"stringValue": text}}
}

// traffic sends requests of web that call cart, of which every tenth fails with an
// exception, with a line each; it returns the id of the last trace.
func (s sender) traffic(ctx context.Context, t *testing.T, n int) string {
	t.Helper()
	var web, cart, lines []object
	trace := ""
	for i := range n {
		trace = fmt.Sprintf("%032x", 0xabc000+i)
		at, bad := time.Now().Add(-time.Duration(1+i)*2*time.Second), i%10 == 0
		span := func(id, parent int, kind int, name string, after, took time.Duration, status int, more ...string) object {
			o := object{"traceId": trace, "spanId": fmt.Sprintf("%016x", id), "name": name, "kind": kind, "startTimeUnixNano": nanos(at.Add(after)), "endTimeUnixNano": nanos(at.Add(after + took)), "attributes": attributes(more...), "status": object{"code": status}}
			if parent > 0 {
				o["parentSpanId"] = fmt.Sprintf("%016x", parent)
			}
			return o
		}
		status := map[bool]int{true: 2, false: 1}[bad]
		answer := span(i*8+3, i*8+2, 2, "POST /cart", 3*time.Millisecond, 20*time.Millisecond, status, "http.route", "/cart")
		if bad {
			answer["events"] = []object{{"timeUnixNano": nanos(at), "name": "exception", "attributes": attributes("exception.type", "PricingUnavailable", "exception.message", "no price", "exception.stacktrace", "PricingUnavailable: no price\n\tat cart.Checkout (checkout.go:88)")}}
		}
		web = append(web, span(i*8+1, 0, 2, "POST /checkout", 0, 40*time.Millisecond, status), span(i*8+2, i*8+1, 3, "POST", 2*time.Millisecond, 24*time.Millisecond, status, "server.address", "cart"))
		cart = append(cart, answer)
		severity, text := 9, fmt.Sprintf("checkout done order=%d", i)
		if bad {
			severity, text = 17, fmt.Sprintf("checkout failed order=%d", i)
		}
		line := logRecord(at, severity, text)
		line["traceId"], line["spanId"] = trace, fmt.Sprintf("%016x", i*8+1)
		lines = append(lines, line)
	}
	s.send(ctx, t, "traces", object{"resourceSpans": []object{of("web", "scopeSpans", "spans", web), of("cart", "scopeSpans", "spans", cart)}})
	s.send(ctx, t, "logs", object{"resourceLogs": []object{of("web", "scopeLogs", "logRecords", lines)}})
	return trace
}

// count is the number of rows that the explorer says there are, after its n-th answer.
func count(ctx context.Context, t *testing.T, p *browser.Page, n int) string {
	t.Helper()
	must(t, p.Until(ctx, fmt.Sprintf(`Number(document.querySelector("[data-explorer]")?.dataset.asked) >= %d`, n)))
	var text string
	must(t, p.Eval(ctx, `document.querySelector("[data-count]").textContent`, &text))
	return text
}

// TestTheRealMonitor sends telemetry to the built server and looks at it as people do.
func TestTheRealMonitor(t *testing.T) {
	ctx := limited(t)
	program, err := browser.Find()
	must(t, err)
	url, data := serve(ctx, t)
	b, err := browser.Start(program)
	must(t, err)
	t.Cleanup(func() { must(t, b.Stop()) })
	p, err := b.Open(ctx, 1360, 900)
	must(t, err)
	begin(ctx, t, p, url, data)
	s := sender{url, secret(t, data, "admin-token")}
	id := s.traffic(ctx, t, 100)

	explore(ctx, t, p, url)
	tailAndKeep(ctx, t, p, s)
	waterfall(ctx, t, p, url, id)
	serviceMap(ctx, t, p, url)

	must(t, p.Go(ctx, url+"/projects/shop/monitor/rules/new?q=AppTraces"))
	must(t, p.Eval(ctx, `document.querySelector("[name=name]").value = "checkout fails"; document.querySelector(".ruleform .btn.primary").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector("h1")?.textContent === "checkout fails" && document.body.textContent.includes("is evaluated from now on")`))
	// Groups are made beside the way of the rows.
	for ok := false; !ok; {
		must(t, p.Go(ctx, url+"/projects/shop/monitor/errors"))
		must(t, p.Eval(ctx, `Boolean([...document.querySelectorAll("#errors a")].find((a) => a.textContent === "PricingUnavailable")?.click() ?? document.querySelector("#errors tbody"))`, &ok))
	}
	must(t, p.Until(ctx, `document.querySelector("h1")?.textContent === "PricingUnavailable" && document.body.textContent.includes("checkout.go:88")`))
	must(t, p.Eval(ctx, `document.querySelector("[name=state][value=resolved]").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector("#errorhead .state.open")?.textContent.includes("resolved")`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("on the way: %v", got)
	}

	// A text that cannot be read is marked at its place, and stays. The refusal is an error of
	// the console, so it comes last.
	must(t, p.Go(ctx, url+"/projects/shop/monitor/logs?q=AppTraces+%7C+wher+x"))
	must(t, p.Until(ctx, `document.querySelector("[data-kql-paint] .wrong")?.textContent === "wher" && document.querySelector("[data-wrong]").textContent.startsWith("1:13")`))
	var text string
	must(t, p.Eval(ctx, `document.querySelector("#kql").value`, &text))
	if text != "AppTraces | wher x" {
		t.Errorf("the text became %q", text)
	}
}

// explore asks, completes, brushes, narrows and opens a row.
func explore(ctx context.Context, t *testing.T, p *browser.Page, url string) {
	t.Helper()
	must(t, p.Go(ctx, url+"/projects/shop/monitor/logs"))
	if got := count(ctx, t, p, 1); got != "0 rows" {
		t.Errorf("without a container there are %s", got)
	}
	must(t, p.Eval(ctx, `(() => { const k = document.querySelector("#kql"); k.focus(); k.select(); })()`, nil))
	must(t, p.Type(ctx, "AppTraces\n| where Message has \"checkout\"\n| where Sever"))
	must(t, p.Press(ctx, " ", true))
	must(t, p.Until(ctx, `document.querySelector("[data-completions]:not([hidden]) [aria-selected=true]")?.textContent.includes("SeverityLevel")`))
	var off float64
	must(t, p.Eval(ctx, `(() => { const l = document.querySelector("[data-completions]").getBoundingClientRect(), k = document.querySelector("#kql").getBoundingClientRect(); return Math.abs(l.top - (k.top + 12 + 3 * 20.8)); })()`, &off))
	if off > 8 {
		t.Errorf("the completions stand %g px from the line that is written", off)
	}
	must(t, p.Press(ctx, "Tab", false))
	must(t, p.Type(ctx, " > 0"))
	must(t, p.Press(ctx, "Enter", true))
	if got := count(ctx, t, p, 2); got != "100 rows" {
		t.Errorf("the query finds %s", got)
	}
	var paint struct{ Text, Paint string }
	must(t, p.Eval(ctx, `({Text: document.querySelector("#kql").value, Paint: document.querySelector("[data-kql-paint]").textContent})`, &paint))
	if want := "AppTraces\n| where Message has \"checkout\"\n| where SeverityLevel > 0"; paint.Text != want || strings.TrimRight(paint.Paint, "\n\u200b") != want {
		t.Errorf("text %q, paint %q", paint.Text, paint.Paint)
	}
	must(t, p.Eval(ctx, `[...document.querySelectorAll("[data-facets] label")].find((l) => l.textContent.startsWith("Error")).querySelector("input").click()`, nil))
	if got := count(ctx, t, p, 3); got != "10 rows" {
		t.Errorf("ten of a hundred failed, not %s", got)
	}
	must(t, p.Eval(ctx, `[...document.querySelectorAll("[data-facets] label")].find((l) => l.textContent.startsWith("Information")).querySelector("input").click()`, nil))
	if got := count(ctx, t, p, 4); got != "100 rows" {
		t.Errorf("two values of one column are %s", got)
	}
	must(t, p.Eval(ctx, `(() => {
		const svg = document.querySelector("[data-histogram] svg"), r = svg.getBoundingClientRect();
		svg.setPointerCapture = () => {};
		const at = (type, x) => svg.dispatchEvent(new PointerEvent(type, {clientX: r.left + r.width * x, clientY: r.top + 30, bubbles: true, button: 0, pointerId: 1}));
		at("pointerdown", .97); at("pointermove", .98); at("pointerup", 1);
	})()`, nil))
	some := count(ctx, t, p, 5)
	if n, err := strconv.Atoi(strings.TrimSuffix(some, " rows")); err != nil || n == 0 || n >= 100 {
		t.Errorf("the brush finds %s", some)
	}
	must(t, p.Until(ctx, `new URL(location.href).searchParams.get("from") !== null && document.querySelector("[data-range]").value === "custom"`))
	must(t, p.Eval(ctx, `document.querySelector("[data-rowbox]").focus()`, nil))
	must(t, p.Press(ctx, "j", false))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `document.querySelector(".vdetail")?.textContent.includes("OperationId") && document.querySelector(".vdetail a[href*='/monitor/traces/']")`))
	must(t, p.Press(ctx, "Escape", false))
	must(t, p.Until(ctx, `!document.querySelector(".vdetail")`))
	must(t, p.Eval(ctx, `document.querySelector("[data-tab=patterns]").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector("[data-patterns] table")?.textContent.includes("order=<num>")`))
}

// tailAndKeep looks at rows as they come, keeps the view and exports.
func tailAndKeep(ctx context.Context, t *testing.T, p *browser.Page, s sender) {
	t.Helper()
	must(t, p.Eval(ctx, `document.querySelector("[data-live-tail]").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector("[data-explorer]").dataset.tail === "open"`))
	s.send(ctx, t, "logs", object{"resourceLogs": []object{of("web", "scopeLogs", "logRecords", []object{logRecord(time.Now(), 17, "checkout seen live"), logRecord(time.Now(), 17, "something else")})}})
	must(t, p.Until(ctx, `document.querySelector(".vrow")?.textContent.includes("checkout seen live")`))
	must(t, p.Eval(ctx, `document.querySelector("[data-live-tail]").click(); document.querySelector("[data-save-view]").click(); document.querySelector("dialog.saveview [name=name]").value = "mine"; document.querySelector("dialog.saveview .btn.primary").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector("[data-views] a")?.textContent === "mine"`))
	must(t, p.Eval(ctx, `(() => { URL.createObjectURL = (b) => { b.text().then((t) => { window.exported = t; }); return "#"; }; document.querySelector("[data-export-as=csv]").click(); })()`, nil))
	must(t, p.Until(ctx, `window.exported?.startsWith("TenantId,") || window.exported?.includes("TimeGenerated")`))
}

// waterfall draws a trace, folds it and reads a span.
func waterfall(ctx context.Context, t *testing.T, p *browser.Page, url, id string) {
	t.Helper()
	must(t, p.Go(ctx, url+"/projects/shop/monitor/traces/"+id))
	must(t, p.Until(ctx, `document.querySelector("[data-waterfall]").dataset.drawn === "3"`))
	must(t, p.Eval(ctx, `document.querySelector("[data-wf-box]").focus()`, nil))
	for _, key := range []string{"End", "Enter"} {
		must(t, p.Press(ctx, key, false))
	}
	must(t, p.Until(ctx, `document.querySelector("[data-wf-detail]").textContent.includes("/cart")`))
	must(t, p.Press(ctx, "Escape", false))
	var tall, folded int
	must(t, p.Eval(ctx, `document.querySelector(".wfspace").offsetHeight`, &tall))
	must(t, p.Press(ctx, "Home", false))
	must(t, p.Press(ctx, "ArrowLeft", false))
	must(t, p.Eval(ctx, `document.querySelector(".wfspace").offsetHeight`, &folded))
	if folded >= tall {
		t.Errorf("three spans are %d px tall, folded %d", tall, folded)
	}
}

// serviceMap follows a node and a line of the map to the query behind them.
func serviceMap(ctx context.Context, t *testing.T, p *browser.Page, url string) {
	t.Helper()
	for _, what := range []struct{ sel, want string }{{`a.node[aria-label^="web,"]`, "100"}, {`a.edge[aria-label^="web calls cart"]`, "100"}} {
		must(t, p.Go(ctx, url+"/projects/shop/monitor/map"))
		var label string
		must(t, p.Eval(ctx, `document.querySelector('`+what.sel+`').getAttribute("aria-label")`, &label))
		if !strings.Contains(label, what.want) || !strings.Contains(label, "10.0") {
			t.Errorf("the map says %q", label)
		}
		must(t, p.Eval(ctx, `document.querySelector('`+what.sel+`').dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}))`, nil))
		must(t, p.Until(ctx, `location.pathname.endsWith("/monitor/logs")`))
		if got := count(ctx, t, p, 1); got != "1 row" {
			t.Errorf("behind %q are %s", label, got)
		}
		must(t, p.Until(ctx, `document.querySelector(".vrow")?.textContent.includes("`+what.want+`")`))
	}
}
