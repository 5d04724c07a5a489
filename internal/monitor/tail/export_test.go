package tail

import "time"

// What the tests of this package see of its inside.

// Stats returns what a tailer has done since its start.
func (t *Tailer) Stats() Stats { return t.counts.stats() }

// ParsedLine is a CRI line.
type ParsedLine struct {
	Ticks   int64
	Out     string
	Partial bool
	Text    string
}

// ParseLine is parseLine.
func ParseLine(raw []byte) (ParsedLine, bool) {
	l, ok := parseLine(raw)
	return ParsedLine{l.ticks, l.out.String(), l.partial, string(l.text)}, ok
}

// Joined is an entry.
type Joined struct {
	Level string
	Text  string
	Total int
}

// Join runs lines of one output through a joiner and ends it, as the end of the time for a
// further line does.
func Join(lines []ParsedLine, gap time.Duration) []Joined {
	var out []Joined
	emit := func(e entry) { out = append(out, Joined{e.level, string(e.text), e.total}) }
	j := &joiner{gap: int64(gap / 100)}
	f := &file{}
	for i, l := range lines {
		j.push(line{ticks: l.Ticks, partial: l.Partial, text: []byte(l.Text)}, span{f, int64(i)}, emit)
	}
	j.close(emit)
	j.flush(emit)
	if j.size() != 0 || j.mark(f, 7) != 7 {
		panic("something is left in the joiner")
	}
	return out
}

// IsObject, Quote and Shown are what becomes of a text.
var (
	IsObject = isObject
	Quote    = quote
)

// Shown and Whole are the limits of a row.
const (
	Shown = shown
	Whole = whole
)
