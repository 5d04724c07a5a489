package secret

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// Finding is one credential.
type Finding struct {
	Rule   string // id: "private-key", "aws-access-token"
	Title  string // what the rule finds, one sentence
	Offset int    // of the secret in the scanned bytes (of text in UTF-16: in its UTF-8 form)
	Line   int    // 1-based, where the secret begins
	Column int    // 1-based, in bytes
	Secret Raw    // the credential itself; it must not be stored or shown
	// Redacted is what may be shown: a few first characters and the length.
	Redacted string
}

// Raw is a credential as found. It prints, logs and encodes as "[secret]"; a conversion
// to string is the one way to its value.
type Raw string

const hidden = "[secret]"

// String hides the value.
func (Raw) String() string { return hidden }

// GoString hides the value.
func (Raw) GoString() string { return hidden }

// Format hides the value from every verb.
func (Raw) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue hides the value.
func (Raw) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the value.
func (Raw) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Canonical returns the value without white space and written line breaks: the same key
// indented, or in a string of JSON, has the same canonical form. Fingerprints are made
// of it.
func (r Raw) Canonical() string {
	s := strings.NewReplacer(`\r`, "", `\n`, "").Replace(string(r))
	return strings.Map(func(c rune) rune {
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			return -1
		}
		return c
	}, s)
}

// Redact returns what may be shown of a secret: of a key block its first line, of
// anything else at most its first four characters, and never more than a quarter of it.
func Redact(s string) string {
	if strings.HasPrefix(s, "-----BEGIN") {
		head, _, _ := strings.Cut(s[len("-----BEGIN"):min(len(s), 80)], "-----")
		return "-----BEGIN" + printable(head) + "-----…"
	}
	keep := min(4, len(s)/4)
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return fmt.Sprintf("%s… (%d characters)", printable(s[:keep]), utf8.RuneCountInString(s))
}

// printable replaces what could disturb a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError {
			return '.'
		}
		return r
	}, s)
}
