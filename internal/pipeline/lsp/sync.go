package lsp

import "strings"

// change is a change of a document: all of it, or with a range a part.
type change struct {
	Range *span  `json:"range"`
	Text  string `json:"text"`
}

// applied is a text after changes, each of which sees what the ones before it made; ok is
// false when it has become too large.
func applied(text string, changes []change) (_ string, ok bool) {
	for _, c := range changes {
		if c.Range == nil {
			text = c.Text
		} else {
			from := offset(text, c.Range.Start)
			to := max(offset(text, c.Range.End), from)
			text = text[:from] + c.Text + text[to:]
		}
		if len(text) > maxMessage {
			return "", false
		}
	}
	return text, true
}

// offset is the byte of a place in a text; what lies behind its end is its end.
func offset(text string, p position) int {
	at := 0
	for range p.Line {
		n := strings.IndexByte(text[at:], '\n')
		if n < 0 {
			return len(text)
		}
		at += n + 1
	}
	line, _, _ := strings.Cut(text[at:], "\n")
	return at + byteAt(strings.TrimSuffix(line, "\r"), p.Character)
}
