package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
)

// Stars is what stands in the place of a secret.
const Stars = "***"

// MinLength is the length in bytes below which a value, or a line of one, is not
// masked.
const MinLength = 4

// The bounds of the length that SetMinLength takes.
const (
	lowestMinLength  = 1
	highestMinLength = 6
)

// Masker hides secrets. It is safe for concurrent use.
type Masker struct {
	mu    sync.RWMutex
	least int // length below which a value is not masked
	index index
	known map[string]bool
}

// New returns a masker for the given secrets.
func New(secrets ...string) *Masker {
	m := &Masker{known: map[string]bool{}, least: MinLength}
	for _, s := range secrets {
		m.Add(s)
	}
	return m
}

// SetMinLength sets the length in bytes below which a value that is added from now on is
// not masked. It is capped at 6, so that nobody can switch masking off by it (L033).
func (m *Masker) SetMinLength(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.least = min(max(n, lowestMinLength), highestMinLength)
}

// Add makes the masker hide a value, each of its lines, and their escaped forms.
func (m *Masker) Add(secret string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, part := range append(strings.Split(secret, "\n"), secret) {
		part = strings.Trim(part, "\r\n")
		if len(strings.TrimSpace(part)) < m.least || m.known[part] {
			continue
		}
		m.add(part)
		m.add(strings.TrimSpace(part))
		for _, form := range escapes(part) {
			m.add(form)
		}
	}
}

// add makes the masker hide one text; mu is held.
func (m *Masker) add(form string) {
	if len(form) < m.least || strings.Contains(form, "\n") || m.known[form] {
		return
	}
	m.known[form] = true
	m.index.add([]byte(form))
}

// escapes returns the forms in which tools print a value.
func escapes(s string) []string {
	out := []string{
		url.QueryEscape(s), url.PathEscape(s),
		strings.ReplaceAll(s, `\`, `\\`),
		strings.ReplaceAll(s, `'`, `'\''`), // set -x
		strings.ReplaceAll(s, `'`, `''`),   // YAML
	}
	if quoted, err := json.Marshal(s); err == nil {
		out = append(out, strings.Trim(string(quoted), `"`))
	}
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) == nil {
		out = append(out, strings.Trim(strings.TrimSpace(plain.String()), `"`))
	}
	if len(s) >= 8 {
		out = append(out, encodings(s)...)
	}
	return out
}

// encodings returns the base64 forms of a value, also of a value inside a longer
// text: the three alignments, each without the characters that the neighbours
// change.
func encodings(s string) []string {
	var out []string
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		out = append(out, enc.EncodeToString([]byte(s)))
		for shift := range 3 {
			text := enc.EncodeToString(append(make([]byte, shift), s...))
			start, end := (shift*8+5)/6, (shift+len(s))*8/6
			if end-start >= 8 {
				out = append(out, text[start:end])
			}
		}
	}
	return out
}

// Empty reports whether there is nothing to hide but the passwords of URLs.
func (m *Masker) Empty() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.index.longest == 0
}

// Longest returns the length in bytes of the longest text that is hidden.
func (m *Masker) Longest() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.index.longest
}

// Holds reports whether the text holds a secret that was added.
func (m *Masker) Holds(text string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.index.find([]byte(text), nil)) > 0
}

// String returns the text with its secrets hidden.
func (m *Masker) String(text string) string { return string(m.Bytes([]byte(text))) }

// Bytes returns the text with its secrets hidden, and the passwords of the URLs in it: the
// text itself when there are none, else a copy.
func (m *Masker) Bytes(text []byte) []byte {
	spans := m.find(text)
	if len(spans) == 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	last := 0
	for _, s := range spans {
		out = append(out, text[last:s.from]...)
		out = append(out, Stars...)
		last = s.to
	}
	return append(out, text[last:]...)
}

// Cut returns the largest n ≤ limit at which the text may be cut in two without
// cutting a secret, or one that may be beginning there, in two. It is 0 only when
// limit is.
func (m *Masker) Cut(text []byte, limit int) int {
	if limit >= len(text) {
		return len(text)
	}
	n := limit
	if tail := m.Longest() - 1; tail > 0 && len(text)-n < tail {
		n = max(len(text)-tail, 1)
	}
	// A URL whose password has not come yet stays whole.
	near := max(n-2*maxUserinfo, 0)
	if at := bytes.LastIndex(text[near:n], slashes); at >= 0 && near+at > 0 && !bytes.ContainsAny(text[near+at+len(slashes):n], notPassword) {
		n = near + at
	}
	for _, s := range m.find(text) {
		if s.from < n && n < s.to {
			n = s.from
		}
	}
	if n == 0 {
		return limit
	}
	return n
}

// find returns what is to be hidden in a text in order; what overlaps is one span.
func (m *Masker) find(text []byte) []span {
	m.mu.RLock()
	spans := m.index.find(text, nil)
	m.mu.RUnlock()
	known := len(spans)
	if spans = passwords(text, spans); known > 0 && len(spans) > known {
		spans = merge(spans)
	}
	return spans
}
