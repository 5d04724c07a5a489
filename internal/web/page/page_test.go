package page_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/web/page"
)

var now = time.Date(2026, 11, 23, 14, 2, 0, 0, time.UTC)

func TestAgo(t *testing.T) {
	for want, ago := range map[string]time.Duration{
		"now": 4 * time.Second, "59 s": 59 * time.Second, "6 min": 6*time.Minute + 59*time.Second, "23 h": 23*time.Hour + 59*time.Minute,
		"59 d": 59*24*time.Hour + time.Hour, "2026-09-24": 60 * 24 * time.Hour,
	} {
		if got := page.Ago(now, now.Add(-ago)); got != want {
			t.Errorf("%v ago is %q, want %q", ago, got, want)
		}
	}
	if got := page.Ago(now, now.Add(time.Hour)); got != "now" {
		t.Errorf("a clock ahead of ours gives %q", got)
	}
	if got := page.Ago(now, time.Time{}); got != "–" {
		t.Errorf("no time is %q", got)
	}
}

func TestTook(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0.4 s": 400 * time.Millisecond, "22.6 s": 22_610 * time.Millisecond, "1 min 12 s": 72 * time.Second, "14 min": 14*time.Minute + 3*time.Second, "2 h 5 min": 125 * time.Minute, "–": -1,
	} {
		if got := page.Took(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for id, want := range map[string]string{
		strings.Repeat("ab", 20): "abababa", "sha256:5be1" + strings.Repeat("0", 56) + "90c2": "5be1…90c2", "cart-6c54b7d9f-x2k4q": "cart-6c5…9f-x2k4q",
		"main": "main", "": "",
	} {
		if got := page.Short(id); got != want {
			t.Errorf("%q is %q, want %q", id, got, want)
		}
	}
}

func TestBytesAndCount(t *testing.T) {
	got := []string{page.Bytes(0), page.Bytes(1023), page.Bytes(8_493_466), page.Bytes(300 << 30), page.Count(999), page.Count(49055), page.Count(-1234567)}
	want := []string{"0 B", "1023 B", "8.1 MB", "300 GB", "999", "49\u202f055", "−1\u202f234\u202f567"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// spans are what LogLines may write; anything else comes from the log.
var spans = regexp.MustCompile(`</?(?:div|a|time|span)(?: (?:id|class|href|aria-label)="[-A-Za-z0-9# ]*")*>`)

func line(text string) string {
	s := page.LogLines([]logs.Line{{N: 6, Time: now, Text: text}})
	_, s, _ = strings.Cut(s, "</time>")
	return strings.TrimSuffix(s, "</div>")
}

func TestLogLines(t *testing.T) {
	for text, want := range map[string]string{
		"plain <b> & \"x\"":                       `<span>plain &lt;b&gt; &amp; &#34;x&#34;</span>`,
		"\x1b[32mok\x1b[0m done":                  `<span><span class="a-g">ok</span> done</span>`,
		"\x1b[1;31m--- FAIL\x1b[m":                `<span><span class="a-b a-r">--- FAIL</span></span>`,
		"\x1b[38;5;196mx\x1b[39;4my":              `<span>x<span class="a-u">y</span></span>`,
		"\x1b]8;;http://evil\x1b\\link\x1b]8;;\a": `<span>link</span>`,
		"\x1b[2K\x1b[1A10 %\r20 %\r":              `<span>20 %</span>`,
		"\x1b[":                                   `<span></span>`,
		"\x1b[31":                                 `<span></span>`,
		"a\x07\x00b\tc":                           "<span>ab\tc</span>",
		"\x1b[31m<script>\x1b[0m":                 `<span><span class="a-r">&lt;script&gt;</span></span>`,
	} {
		if got := line(text); got != want {
			t.Errorf("%q\n got %s\nwant %s", text, got, want)
		}
	}
	for text, want := range map[string]string{"##[error] x": "e", "\x1b[31m##[error]x": "e", "  ##[warning]": "w", "##[section]a": "g", "##[command]a": "c", "##[debug]": "d", "x ##[error]": "", "##[else]": ""} {
		if got := page.LineClass(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func FuzzLogLines(f *testing.F) {
	for _, seed := range []string{"plain", "\x1b[1;31mred\x1b[0m", "\x1b[38;2;1;2;3mx", "\x1b]0;title\a", "\x1b[999999999999m", "##[error]\x1b[", "a\rb\r", "\x1b\x1b[m", "<\"'&>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out := spans.ReplaceAllString(page.LogLines([]logs.Line{{N: 1, Time: now, Text: text}}), "")
		if strings.ContainsAny(out, "<>\"") {
			t.Fatalf("%q leaves markup: %q", text, out)
		}
		if strings.ContainsRune(out, 0x1b) || strings.ContainsRune(page.PlainText(text), 0x1b) {
			t.Fatalf("%q leaves an escape character: %q", text, out)
		}
	})
}

func TestCodeLines(t *testing.T) {
	var b strings.Builder
	if err := page.CodeLines("x.go", "package x\n\n// <b>\nvar s = \"<i>\"\n", "L").Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	want := `<div class="ln" id="L1"><a href="#L1" aria-label="Line 1">1</a><span><span class="k">package</span> x</span></div>` +
		`<div class="ln" id="L2"><a href="#L2" aria-label="Line 2">2</a><span></span></div>` +
		`<div class="ln" id="L3"><a href="#L3" aria-label="Line 3">3</a><span><span class="c">// &lt;b&gt;</span></span></div>` +
		`<div class="ln" id="L4"><a href="#L4" aria-label="Line 4">4</a><span><span class="k">var</span> s = <span class="s">&#34;&lt;i&gt;&#34;</span></span></div>`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}
