package vap

import (
	"fmt"
	"strings"
)

// rename replaces variables.NAME in an expression by what to gives for NAME. Strings and
// comments are left alone. An expression that uses the word variables in another way
// cannot be renamed safely, and is an error.
func rename(expression string, to func(name string) (string, bool)) (string, error) {
	var out strings.Builder
	for rest, after := expression, ""; rest != ""; {
		n := token(rest)
		text := rest[:n]
		rest = rest[n:]
		if text != "variables" || strings.HasSuffix(after, ".") {
			out.WriteString(text)
			if strings.TrimSpace(text) != "" {
				after = text
			}
			continue
		}
		name, size := selected(rest)
		renamed, ok := to(name)
		if !ok {
			return "", fmt.Errorf("the expression %q uses variables%s, which the template does not declare before it", expression, clip(rest))
		}
		out.WriteString("variables." + renamed)
		after, rest = renamed, rest[size:]
	}
	return out.String(), nil
}

// uses reports the variables that an expression names.
func uses(expression string) (map[string]bool, error) {
	found := map[string]bool{}
	_, err := rename(expression, func(name string) (string, bool) {
		found[name] = true
		return name, name != ""
	})
	return found, err
}

func clip(s string) string {
	if len(s) > 20 {
		s = s[:20]
	}
	return s
}

// selected reads ".NAME" at the beginning, with spaces as CEL allows them; "" when there
// is something else.
func selected(s string) (name string, size int) {
	trimmed := strings.TrimLeft(s, " \t\r\n")
	if !strings.HasPrefix(trimmed, ".") {
		return "", 0
	}
	after := strings.TrimLeft(trimmed[1:], " \t\r\n")
	if after == "" || !letter(after[0]) {
		return "", 0
	}
	n := token(after)
	return after[:n], len(s) - len(after) + n
}

// token returns the length of the first token of CEL in s: an identifier, a string, a
// comment, a run of spaces, or one byte of anything else.
func token(s string) int {
	switch c := s[0]; {
	case c == '/' && strings.HasPrefix(s, "//"):
		if i := strings.IndexByte(s, '\n'); i >= 0 {
			return i
		}
		return len(s)
	case c == '"' || c == '\'':
		return stringToken(s, false)
	case letter(c):
		n := span(s, func(c byte) bool { return letter(c) || c >= '0' && c <= '9' })
		// A prefix of a string: r"…", b'…', rb"…".
		if n <= 2 && n < len(s) && (s[n] == '"' || s[n] == '\'') && strings.Trim(s[:n], "rRbB") == "" {
			return n + stringToken(s[n:], strings.ContainsAny(s[:n], "rR"))
		}
		return n
	case space(c):
		return span(s, space)
	}
	return 1
}

func stringToken(s string, raw bool) int {
	mark := s[:1]
	if strings.HasPrefix(s, strings.Repeat(mark, 3)) {
		mark = s[:3]
	}
	for i := len(mark); i < len(s); i++ {
		switch {
		case s[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(s[i:], mark):
			return i + len(mark)
		}
	}
	return len(s)
}

func span(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

func letter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
