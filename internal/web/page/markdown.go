package page

import (
	"html"
	"regexp"
	"strings"

	"github.com/a-h/templ"
)

// maxProse is the longest text in bytes that is drawn with marks; more is plain.
const maxProse = 64 << 10

// Prose draws what people write: paragraphs, headings, lists, tables, quotes, fenced and
// inline code, bold words and links, in the notation of Markdown. Anything else stays as it was written;
// nothing of it becomes markup of its own.
func Prose(text string) templ.Component {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	if len(text) > maxProse {
		return templ.Raw(`<p class="pre">` + html.EscapeString(text) + `</p>`)
	}
	w := &proseWriter{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if n := w.table(lines[i:]); n > 0 {
			i += n - 1
			continue
		}
		w.line(lines[i])
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
	case "ol":
		w.b.WriteString("</ol>")
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
	case "ol":
		w.b.WriteString("<ol>")
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
	case numbered.MatchString(trimmed):
		w.block("ol")
		w.b.WriteString("<li>" + inline(trimmed[strings.IndexByte(trimmed, ' ')+1:]) + "</li>")
	case strings.Trim(trimmed, "-") == "" && len(trimmed) >= 3:
		w.block("")
		w.b.WriteString("<hr>")
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

// numbered is an entry of an ordered list, ruled the line below the head of a table.
var (
	numbered = regexp.MustCompile(`^[0-9]{1,4}[.)] `)
	ruled    = regexp.MustCompile(`^\|?( *:?-+:? *\|)* *:?-+:? *\|?$`)
)

// table draws the table that the lines begin with and returns how many lines it has, 0 when
// they begin with none.
func (w *proseWriter) table(lines []string) int {
	if w.in == "pre" || len(lines) < 2 || !strings.Contains(lines[0], "|") || !strings.Contains(lines[1], "|") || !ruled.MatchString(strings.TrimSpace(lines[1])) {
		return 0
	}
	w.block("")
	right := map[int]bool{}
	for i, c := range cells(lines[1]) {
		right[i] = strings.HasSuffix(c, ":") && !strings.HasPrefix(c, ":")
	}
	row := func(line, tag string) {
		w.b.WriteString("<tr>")
		for i, c := range cells(line) {
			open := "<" + tag
			if tag == "th" {
				open += ` scope="col"`
			}
			if right[i] {
				open += ` class="r"`
			}
			w.b.WriteString(open + ">" + inline(c) + "</" + tag + ">")
		}
		w.b.WriteString("</tr>")
	}
	w.b.WriteString("<table><thead>")
	row(lines[0], "th")
	w.b.WriteString("</thead><tbody>")
	n := 2
	for ; n < len(lines) && strings.Contains(lines[n], "|"); n++ {
		row(lines[n], "td")
	}
	w.b.WriteString("</tbody></table>")
	return n
}

// cells splits a row of a table.
func cells(line string) []string {
	line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "|"), "|")
	out := strings.Split(line, "|")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// marks are the four notations inside a line: code, bold, a link with words, an address. RE2
// is linear.
var marks = regexp.MustCompile("`([^`]+)`|\\*\\*([^*]+)\\*\\*|\\[([^\\]]+)\\]\\((https?://[^()\\s\"'<>]+)\\)|(https?://[A-Za-z0-9.:/?&=#%_~+@-]+[A-Za-z0-9/#])")

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
		case m[6] >= 0:
			b.WriteString(away(s[m[8]:m[9]], s[m[6]:m[7]]))
		default:
			b.WriteString(away(s[m[10]:m[11]], s[m[10]:m[11]]))
		}
	}
	b.WriteString(html.EscapeString(s[at:]))
	return b.String()
}

// away is a link to another site, which learns nothing of where the visitor comes from.
func away(url, words string) string {
	return `<a href="` + html.EscapeString(url) + `" rel="noreferrer noopener nofollow">` + html.EscapeString(words) + `</a>`
}
