package drain

import (
	"strings"
	"time"
)

// maxTokens and maxLine bound what is looked at of a line.
const (
	maxTokens = 64
	maxLine   = 4 << 10
)

// Mask replaces the values in a line by what they are. Two lines that one statement of a
// program wrote mostly become equal by it.
func Mask(line string) string { return strings.Join(tokens(line), " ") }

// tokens splits a line into masked words.
func tokens(line string) []string {
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	out := make([]string, 0, 16)
	for line = strings.TrimLeft(line, " \t\r\n"); line != ""; line = strings.TrimLeft(line, " \t\r\n") {
		if len(out) == maxTokens {
			return append(out, "<*>")
		}
		end := wordEnd(line)
		out = append(out, word(line[:end]))
		line = line[end:]
	}
	return out
}

// wordEnd is where the first word ends: at a space that is not within quotes.
func wordEnd(s string) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t', '\r', '\n':
			return i
		case '"', '\'', '`':
			// An apostrophe within a word begins no text.
			if i > 0 && letter(s[i-1]) {
				continue
			}
			if j := strings.IndexByte(s[i+1:], c); j >= 0 && (i+j+2 == len(s) || !letter(s[i+j+2])) {
				i += j + 1
			}
		}
	}
	return len(s)
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func digit(c byte) bool { return c >= '0' && c <= '9' }

// word masks one word: its punctuation stays, and of key=value the key.
func word(w string) string {
	lead := len(w) - len(strings.TrimLeft(w, "([{<,;"))
	head, rest := w[:lead], w[lead:]
	core := strings.TrimRight(rest, ")]}>,;.:!?")
	tail := rest[len(core):]
	if core == "" {
		return w
	}
	if i := strings.IndexByte(core, '='); i > 0 && i < len(core)-1 && !strings.ContainsAny(core[:i], "/?&") {
		return head + core[:i+1] + value(core[i+1:]) + tail
	}
	return head + value(core) + tail
}

// value masks a word without its punctuation.
func value(s string) string {
	switch {
	case len(s) >= 2 && (s[0] == '"' || s[0] == '\'' || s[0] == '`') && s[len(s)-1] == s[0]:
		return "<str>"
	case isTime(s):
		return "<time>"
	case isAddress(s):
		return "<ip>"
	case isNumber(s):
		return "<num>"
	case isDuration(s):
		return "<dur>"
	case isID(s):
		return "<id>"
	case strings.Contains(s, "/") && strings.ContainsFunc(s, func(r rune) bool { return r >= '0' && r <= '9' }):
		return path(s)
	}
	return s
}

// path masks the segments of a path or URL that are values.
func path(s string) string {
	s, query, asked := strings.Cut(s, "?")
	parts := strings.Split(s, "/")
	for i, p := range parts {
		if m := value(p); m != p || strings.Count(p, "-")+digits(p) > 6 {
			parts[i] = "<*>"
		}
	}
	s = strings.Join(parts, "/")
	if asked && query != "" {
		s += "?<*>"
	}
	return s
}

func digits(s string) int {
	n := 0
	for i := range len(s) {
		if digit(s[i]) {
			n++
		}
	}
	return n
}

// isNumber takes 12, -3.5, 1,024, 99%, 1e9 and 12/34.
func isNumber(s string) bool {
	s = strings.TrimLeft(s, "+-#$")
	if s == "" || !digit(s[0]) && s[0] != '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !digit(c) && c != '.' && c != ',' && c != '%' && c != '/' && !(c|0x20 == 'e' && i > 0 && i < len(s)-1) && !((c == '-' || c == '+') && s[i-1]|0x20 == 'e') {
			return false
		}
	}
	return digits(s) > 0
}

// isDuration takes 12ms, 1.5s, 1h2m3s, 20MB, 3KiB.
func isDuration(s string) bool {
	if s == "" || !digit(s[0]) && s[0] != '-' {
		return false
	}
	if _, err := time.ParseDuration(s); err == nil {
		return true
	}
	unit := strings.TrimLeft(s, "-0123456789.,")
	switch strings.ToLower(unit) {
	case "ms", "us", "ns", "s", "sec", "secs", "min", "mins", "m", "h", "d", "b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib", "k", "g", "bytes", "mi", "gi", "ki":
		return unit != s
	}
	return false
}

// isTime takes 2026-05-04, 2026/05/04, 12:30:00.123 and 2026-05-04T12:30:00Z.
func isTime(s string) bool {
	n := digits(s)
	if n < 4 || !digit(s[0]) {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case digit(c), c == '-', c == ':', c == '.', c == ',', c == '/', c == '+', c == 'T', c == 'Z':
		default:
			return false
		}
	}
	return strings.Count(s, ":") >= 2 || strings.Count(s, "-") >= 2 || strings.Count(s, "/") == 2
}

// isAddress takes IPv4 and IPv6 addresses, with or without a port.
func isAddress(s string) bool {
	host := s
	if i := strings.LastIndexByte(s, ':'); i > 0 && strings.Count(s, ":") == 1 {
		host = s[:i]
	}
	if strings.Count(host, ".") == 3 && digits(host)+3 == len(host) {
		return true
	}
	s = strings.Trim(s, "[]")
	if strings.Count(s, ":") < 2 {
		return false
	}
	for i := range len(s) {
		if c := s[i] | 0x20; !digit(s[i]) && s[i] != ':' && (c < 'a' || c > 'f') && s[i] != ']' {
			return false
		}
	}
	return true
}

// isID takes GUIDs, hashes, and words that no person would choose: eight characters and
// more of which a fourth are digits.
func isID(s string) bool {
	if rest, ok := strings.CutPrefix(s, "0x"); ok && rest != "" {
		s = rest + "00000000"
	}
	s = strings.TrimPrefix(s, "sha256:")
	if len(s) < 8 {
		return false
	}
	n, hex := 0, true
	for i := range len(s) {
		c := s[i]
		switch {
		case digit(c):
			n++
		case c|0x20 >= 'a' && c|0x20 <= 'f', c == '-':
		case letter(c), c == '_':
			hex = false
		default:
			return false
		}
	}
	return (hex && n > 0) || n*4 >= len(s)
}
