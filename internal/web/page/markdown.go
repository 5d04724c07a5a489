package page

import (
	"html"
	"regexp"
	"strings"

	"github.com/a-h/templ"
)

// maxProse is the longest text in bytes that is drawn with marks; more is plain.
const maxProse = 64 << 10

// Prose draws what people write: paragraphs, lists, quotes, fenced and inline code, bold
// words and links, in the notation of Markdown. Anything else stays as it was written;
// nothing of it becomes markup of its own.
func Prose(text string) templ.Component {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	if len(text) > maxProse {
		return templ.Raw(`<p class="pre">` + html.EscapeString(text) + `</p>`)
	}
	w := &proseWriter{}
	for line := range strings.SplitSeq(text, "\n") {
		w.line(line)
	}
	w.block("")
	return templ.Raw(w.b.String())
}

// proseWriter draws line by line; in is the block that is open.
type proseWriter struct {
	b   strings.Builder
	in  string // "", "p", "ul", "blockquote", "pre"
	hot bool   // the open block has a line already
}

func (w *proseWriter) block(kind string) {
	if w.in == kind && kind != "" {
		return
	}
	switch w.in {
	case "p":
		w.b.WriteString("</p>")
	case "ul":
		w.b.WriteString("</ul>")
	case "blockquote":
		w.b.WriteString("</blockquote>")
	case "pre":
		w.b.WriteString("</pre>")
	}
	w.in, w.hot = kind, false
	switch kind {
	case "p":
		w.b.WriteString("<p>")
	case "ul":
		w.b.WriteString("<ul>")
	case "blockquote":
		w.b.WriteString("<blockquote>")
	case "pre":
		w.b.WriteString(`<pre tabindex="0">`)
	}
}

func (w *proseWriter) line(line string) {
	fence := strings.HasPrefix(strings.TrimSpace(line), "```")
	if w.in == "pre" {
		if fence {
			w.block("")
			return
		}
		w.b.WriteString(html.EscapeString(line) + "\n")
		return
	}
	trimmed := strings.TrimSpace(line)
	switch {
	case fence:
		w.block("")
		w.block("pre")
	case trimmed == "":
		w.block("")
	case strings.HasPrefix(trimmed, "- ") || strings.HasPrefix(trimmed, "* "):
		w.block("ul")
		w.b.WriteString("<li>" + inline(trimmed[2:]) + "</li>")
	case strings.HasPrefix(trimmed, "> "):
		w.block("blockquote")
		w.text(inline(trimmed[2:]))
	case strings.HasPrefix(trimmed, "#") && strings.HasPrefix(strings.TrimLeft(trimmed, "#"), " "):
		w.block("")
		w.b.WriteString("<p><b>" + inline(strings.TrimSpace(strings.TrimLeft(trimmed, "#"))) + "</b></p>")
	default:
		if w.in != "p" {
			w.block("")
			w.block("p")
		}
		w.text(inline(trimmed))
	}
}

func (w *proseWriter) text(s string) {
	if w.hot {
		w.b.WriteString("<br>")
	}
	w.b.WriteString(s)
	w.hot = true
}

// marks are the three notations inside a line: code, bold, an address. RE2 is linear.
var marks = regexp.MustCompile("`([^`]+)`|\\*\\*([^*]+)\\*\\*|(https?://[A-Za-z0-9.:/?&=#%_~+@-]+[A-Za-z0-9/#])")

// inline draws the marks within a line.
func inline(s string) string {
	var b strings.Builder
	at := 0
	for _, m := range marks.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(html.EscapeString(s[at:m[0]]))
		at = m[1]
		switch {
		case m[2] >= 0:
			b.WriteString("<code>" + html.EscapeString(s[m[2]:m[3]]) + "</code>")
		case m[4] >= 0:
			b.WriteString("<b>" + html.EscapeString(s[m[4]:m[5]]) + "</b>")
		default:
			u := html.EscapeString(s[m[6]:m[7]])
			b.WriteString(`<a href="` + u + `" rel="noreferrer noopener nofollow">` + u + `</a>`)
		}
	}
	b.WriteString(html.EscapeString(s[at:]))
	return b.String()
}
