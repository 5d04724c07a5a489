package page

import (
	"html"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/logs"
)

// LogLines draws lines of a step's log as HTML. Escape sequences for colour (ECMA-48
// SGR) become classes, all others vanish; the commands of Azure Pipelines at the start
// of a line (##[error] and its siblings) give the line its class. Everything is escaped.
func LogLines(lines []logs.Line) string {
	var b strings.Builder
	b.Grow(160 * len(lines))
	for _, l := range lines {
		n := strconv.FormatInt(l.N+1, 10)
		b.WriteString(`<div id="L` + n + `"`)
		if c := LineClass(l.Text); c != "" {
			b.WriteString(` class="` + c + `"`)
		}
		b.WriteString(`><a href="#L` + n + `" aria-label="Line ` + n + `">` + n + `</a><time>`)
		if l.Time.Unix() > 0 {
			b.WriteString(l.Time.UTC().Format("15:04:05.000"))
		}
		b.WriteString(`</time><span>`)
		text, group := strings.CutPrefix(l.Text, "##[group]")
		if group {
			b.WriteString(`<i>##[group]</i>`) // The viewer draws a sign in its place.
		}
		ansi(&b, text)
		b.WriteString("</span></div>")
	}
	return b.String()
}

// LineClass says what kind of line a log line is: "e" error, "w" warning, "g" group or
// section, "c" command, "d" debug, "" any other.
func LineClass(text string) string {
	switch Marker(text) {
	case "error":
		return "e"
	case "warning":
		return "w"
	case "group", "endgroup", "section":
		return "g"
	case "command":
		return "c"
	case "debug":
		return "d"
	}
	return ""
}

// Marker is the word of the command at the start of a log line, "error" of "##[error]…";
// "" when it begins with none.
func Marker(text string) string {
	_, word, _ := marker(text)
	return word
}

// marker cuts a log line into its command's word and the rest; blanks and colours before it
// are dropped when there is one.
func marker(text string) (rest, word string, ok bool) {
	from := strings.TrimLeft(text, " \t")
	for strings.HasPrefix(from, "\x1b[") {
		end := strings.IndexByte(from, 'm')
		if end < 0 {
			return text, "", false
		}
		from = from[end+1:]
	}
	from, ok = strings.CutPrefix(from, "##[")
	if !ok {
		return text, "", false
	}
	word, rest, ok = strings.Cut(from, "]")
	if !ok {
		return text, "", false
	}
	return rest, word, true
}

// IssueText is what an error or a warning in a log says, without its marker and colours and
// at most limit bytes of it.
func IssueText(text string, limit int) string {
	rest, _, _ := marker(text)
	rest = strings.TrimSpace(PlainText(rest))
	if len(rest) > limit {
		rest = strings.ToValidUTF8(rest[:limit], "") + "…"
	}
	return rest
}

// PlainText removes escape sequences and control characters from a log line, for search
// and for titles.
func PlainText(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		plain, _, rest := cut(text)
		b.WriteString(plain)
		text = rest
	}
	return b.String()
}

// style is what SGR has set.
type style struct {
	bold, dim, italic, underline bool
	colour                       byte
}

func (s style) classes() string {
	var c []string
	for _, v := range []struct {
		on   bool
		name string
	}{{s.bold, "a-b"}, {s.dim, "a-d"}, {s.italic, "a-i"}, {s.underline, "a-u"}} {
		if v.on {
			c = append(c, v.name)
		}
	}
	if s.colour != 0 {
		c = append(c, "a-"+string(s.colour))
	}
	return strings.Join(c, " ")
}

func ansi(b *strings.Builder, text string) {
	var st style
	for len(text) > 0 {
		plain, sgr, rest := cut(text)
		text = rest
		if plain != "" {
			class := st.classes()
			if class != "" {
				b.WriteString(`<span class="` + class + `">`)
			}
			b.WriteString(html.EscapeString(plain))
			if class != "" {
				b.WriteString("</span>")
			}
		}
		if sgr != nil {
			st = st.apply(sgr)
		}
	}
}

// cut takes the text before the next escape sequence, the codes of that sequence when
// it sets a style, and what follows it.
func cut(text string) (plain string, sgr []int, rest string) {
	esc := strings.IndexByte(text, 0x1b)
	if esc < 0 {
		return printable(text), nil, ""
	}
	plain, rest = printable(text[:esc]), text[esc+1:]
	switch {
	case strings.HasPrefix(rest, "["):
		end := strings.IndexFunc(rest[1:], func(r rune) bool { return r >= 0x40 && r <= 0x7e })
		if end < 0 {
			return plain, nil, ""
		}
		body, final := rest[1:1+end], rest[1+end]
		rest = rest[end+2:]
		if final == 'm' {
			return plain, codes(body), rest
		}
	case strings.HasPrefix(rest, "]"): // An operating system command ends with BEL or ST.
		end := strings.IndexAny(rest, "\a\x1b")
		if end < 0 {
			return plain, nil, ""
		}
		rest = strings.TrimPrefix(rest[end+1:], "\\")
	case rest != "":
		rest = rest[1:]
	}
	return plain, nil, rest
}

func codes(body string) []int {
	out := []int{}
	for part := range strings.SplitSeq(body, ";") {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = 0
		}
		out = append(out, n)
	}
	return out
}

// palette names the eight colours in their order.
const palette = "krgylmcw"

func (s style) apply(codes []int) style {
	for i := 0; i < len(codes); i++ {
		switch c := codes[i]; {
		case c == 0:
			s = style{}
		case c == 1:
			s.bold = true
		case c == 2:
			s.dim = true
		case c == 3:
			s.italic = true
		case c == 4:
			s.underline = true
		case c == 22:
			s.bold, s.dim = false, false
		case c == 23:
			s.italic = false
		case c == 24:
			s.underline = false
		case c >= 30 && c <= 37:
			s.colour = palette[c-30]
		case c >= 90 && c <= 97:
			s.colour = palette[c-90]
		case c == 39:
			s.colour = 0
		case c == 38 || c == 48: // An extended colour: its parameters are skipped.
			if i+1 < len(codes) && codes[i+1] == 5 {
				i += 2
			} else {
				i += 4
			}
		}
	}
	return s
}

// printable drops control characters but tabs, and keeps what follows the last carriage
// return, as a terminal would show it.
func printable(text string) string {
	text = strings.TrimRight(text, "\r")
	if i := strings.LastIndexByte(text, '\r'); i >= 0 {
		text = text[i+1:]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}
