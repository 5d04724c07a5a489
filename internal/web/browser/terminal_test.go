package browser_test

import (
	"context"
	"net/http"
	"testing"

	"towpath.dev/towpath/internal/web/browser"
)

// breaking is a pipeline whose job fails beside a file that it has left.
const breaking = `trigger: none
steps:
- checkout: none
- bash: echo "left in the job" > note; exit 1
  env: {MARK: of the step}
`

// text is what the terminal on the page shows.
const text = `[...document.querySelectorAll(".xterm-rows > div")].map((r) => r.textContent.replaceAll("\u00a0", " ").trimEnd()).join("\n")`

// TestTheTerminalOfAKeptJob ticks the box that keeps a job, types a command where it failed and
// sees what it prints, and releases it.
func TestTheTerminalOfAKeptJob(t *testing.T) {
	ctx := limited(t)
	program, err := browser.Find()
	must(t, err)
	url, data := serve(ctx, t)
	b, err := browser.Start(program)
	must(t, err)
	t.Cleanup(func() { must(t, b.Stop()) })
	p, err := b.Open(ctx, 1440, 900)
	must(t, err)
	begin(ctx, t, p, url, data)
	pushFile(ctx, t, url, data, breaking)

	must(t, p.Go(ctx, url+"/projects/shop/runs?start=1&repo=shop/shop"))
	must(t, p.Until(ctx, `document.querySelector("#queue [name=keep]")`))
	must(t, p.Eval(ctx, `(() => { const b = document.querySelector("#queue [name=keep]"); b.click(); b.form.requestSubmit(); })()`, nil))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/runs/1" && document.querySelector(".kept a.btn")?.textContent === "Terminal"`))
	must(t, p.Eval(ctx, `document.querySelector(".kept a.btn").click()`, nil))
	must(t, p.Until(ctx, `document.querySelector("[data-terminal][data-on]") && document.activeElement.classList.contains("xterm-helper-textarea")`))
	must(t, p.Until(ctx, text+`.includes("[failed step]")`))
	must(t, p.Type(ctx, `cat note; echo "$MARK" $((6*7)) $(tput cols)`))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, text+`.includes("\nleft in the job\n")`))
	must(t, p.Until(ctx, text+`.match(/of the step 42 [1-9]/)`))
	// A colour beyond the palette is drawn without a word of the page's policy.
	must(t, p.Type(ctx, `printf '\033[38;2;200;30;90mcolour\033[0m\n'`))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `[...document.querySelectorAll(".xterm-rows span")].some((s) => s.textContent.startsWith("colour") && s.style.color)`))
	must(t, p.Eval(ctx, `document.querySelector("form[action$='/release'] button").click()`, nil))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/runs/1" && !document.querySelector(".kept")`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("problems: %v", got)
	}
	anotherSite(ctx, t, url, data)
}

// anotherSite asks for the socket as a page of another site would.
func anotherSite(ctx context.Context, t *testing.T, url, data string) {
	t.Helper()
	for _, origin := range []string{"", "http://elsewhere.example"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/projects/shop/runs/1/terminal/socket", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+secret(t, data, "admin-token"))
		for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			req.Header.Set(k, v)
		}
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("the socket for the origin %q: %s", origin, res.Status)
		}
	}
}
