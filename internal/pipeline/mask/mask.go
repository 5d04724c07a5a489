package mask

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Stars is what stands in the place of a secret.
const Stars = "***"

// MinLength is the length in bytes below which a value, or a line of one, is not
// masked.
const MinLength = 4

// Masker hides secrets. It is safe for concurrent use.
type Masker struct {
	mu      sync.RWMutex
	needles [][]byte // longest first
	known   map[string]bool
}

// New returns a masker for the given secrets.
func New(secrets ...string) *Masker {
	m := &Masker{known: map[string]bool{}}
	for _, s := range secrets {
		m.Add(s)
	}
	return m
}

// Add makes the masker hide a value, each of its lines, and their escaped forms.
func (m *Masker) Add(secret string) {
	var forms []string
	for _, part := range append(strings.Split(secret, "\n"), secret) {
		part = strings.Trim(part, "\r\n")
		if len(strings.TrimSpace(part)) < MinLength {
			continue
		}
		forms = append(forms, part, strings.TrimSpace(part))
		forms = append(forms, escapes(part)...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Readers hold the old slice: build a new one.
	needles := slices.Clone(m.needles)
	for _, f := range forms {
		if len(f) < MinLength || strings.Contains(f, "\n") || m.known[f] {
			continue
		}
		m.known[f] = true
		needles = append(needles, []byte(f))
	}
	slices.SortStableFunc(needles, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	m.needles = needles
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

// Empty reports whether there is nothing to hide.
func (m *Masker) Empty() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.needles) == 0
}

// Longest returns the length in bytes of the longest text that is hidden.
func (m *Masker) Longest() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.needles) == 0 {
		return 0
	}
	return len(m.needles[0])
}

// Holds reports whether the text holds a secret.
func (m *Masker) Holds(text string) bool {
	return len(m.find([]byte(text))) > 0
}

// String returns the text with its secrets hidden.
func (m *Masker) String(text string) string { return string(m.Bytes([]byte(text))) }

// Bytes returns the text with its secrets hidden: the text itself when there are
// none, else a copy.
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

// span is a part of a text that is to be hidden.
type span struct{ from, to int }

// find returns the secrets in a text in their order; what overlaps is one span.
func (m *Masker) find(text []byte) []span {
	m.mu.RLock()
	needles := m.needles
	m.mu.RUnlock()
	var spans []span
	for _, needle := range needles {
		if len(needle) > len(text) {
			continue
		}
		for at := 0; ; {
			i := bytes.Index(text[at:], needle)
			if i < 0 {
				break
			}
			spans = append(spans, span{at + i, at + i + len(needle)})
			at += i + 1
		}
	}
	if len(spans) < 2 {
		return spans
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := spans[:1]
	for _, s := range spans[1:] {
		last := &merged[len(merged)-1]
		if s.from < last.to {
			last.to = max(last.to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}
