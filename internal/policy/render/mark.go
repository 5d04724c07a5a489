package render

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A mark is two characters of the private use area that stand in a rendered text behind
// what they tell of. A text that holds such characters itself is rendered without marks.
const (
	markHigh = 0xE000
	markLow  = 0xE800
	markBase = 0x800
	maxMarks = markBase * markBase
)

// marked reports whether a text holds characters that marks are made of.
func marked(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= markHigh && r < markLow+markBase })
}

// mark is where a stretch of rendered text comes from.
type mark struct {
	file  string // of the repository
	line  int
	value string // path of the only value that the action saw, as key of marks.paths; "" for none
}

// marks hands out marks and knows what they mean.
type marks struct {
	list  []mark
	index map[mark]int
	paths map[string]valuePath
}

func newMarks() *marks {
	return &marks{index: map[mark]int{}, paths: map[string]valuePath{}}
}

// id is the number of a mark; -1 when there are too many.
func (m *marks) id(k mark) int {
	if i, ok := m.index[k]; ok {
		return i
	}
	if len(m.list) == maxMarks {
		return -1
	}
	m.list = append(m.list, k)
	m.index[k] = len(m.list) - 1
	return len(m.list) - 1
}

// text is a mark as it stands in a text.
func markText(id int) string {
	if id < 0 {
		return ""
	}
	return string([]rune{rune(markHigh + id/markBase), rune(markLow + id%markBase)})
}

// lastVisible is the offset behind the last character of a line that is not blank, 0 when
// all of it is.
func lastVisible(line string) int { return len(strings.TrimRight(line, " \t\r\n")) }

// markLines adds a mark to each line of a text that has none and is not blank.
func markLines(text, mark string) string {
	if mark == "" {
		return text
	}
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		end := lastVisible(line)
		if end == 0 || marked(line) {
			b.WriteString(line)
			continue
		}
		b.WriteString(line[:end])
		b.WriteString(mark)
		b.WriteString(line[end:])
	}
	return b.String()
}

// found is a mark at a column of a line: the characters before it and behind the mark
// before are what it tells of.
type found struct {
	col int // characters of the line before it, marks not counted
	id  int
}

// strip takes the marks out of a text; lines[i] are those of line i+1.
func strip(text string) (clean string, lines [][]found) {
	var b strings.Builder
	b.Grow(len(text))
	col, line := 0, []found(nil)
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r >= markHigh && r < markHigh+markBase {
			low, m := utf8.DecodeRuneInString(text[i+n:])
			if low >= markLow && low < markLow+markBase {
				line = append(line, found{col: col, id: int(r-markHigh)*markBase + int(low-markLow)})
				i += n + m
				continue
			}
		}
		b.WriteString(text[i : i+n])
		i += n
		if col++; r == '\n' {
			lines, line, col = append(lines, line), nil, 0
		}
	}
	return b.String(), append(lines, line)
}

// unmark takes the marks out of a text.
func unmark(text string) string {
	if !marked(text) {
		return text
	}
	clean, _ := strip(text)
	return clean
}

// markAt is the mark that tells of a column (from 1) of a line (from 1): the first at or
// behind it, else the last of the line.
func markAt(lines [][]found, line, col int) (int, bool) {
	if line < 1 || line > len(lines) || len(lines[line-1]) == 0 {
		return 0, false
	}
	list := lines[line-1]
	i := slices.IndexFunc(list, func(f found) bool { return f.col >= col })
	if i < 0 {
		i = len(list) - 1
	}
	return list[i].id, true
}
