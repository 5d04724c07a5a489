package lsp

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// position is a place in a text as the protocol says it: line and UTF-16 unit, both from 0.
type position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

// span is a part of a text; its end is the first place after it.
type span struct {
	Start position `json:"start"`
	End   position `json:"end"`
}

// lines are the lines of a text without their ends.
func lines(text string) []string {
	out := strings.Split(text, "\n")
	for i := range out {
		out[i] = strings.TrimSuffix(out[i], "\r")
	}
	return out
}

// units is how many UTF-16 units a text has; a byte that is no UTF-8 counts as one.
func units(text string) int {
	n := 0
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	return n
}

// byteAt is the offset in a line of a UTF-16 unit: the end of the line for what lies behind
// it, the beginning of a character for its second half.
func byteAt(line string, character int) int {
	if character <= 0 {
		return 0
	}
	for at, r := range line {
		size := utf16.RuneLen(r)
		if character < size {
			return at
		}
		character -= size
		if character == 0 {
			_, width := utf8.DecodeRuneInString(line[at:])
			return at + width
		}
	}
	return len(line)
}

// runeUnits is the UTF-16 unit at which the character number n of a line stands, from 0.
func runeUnits(line string, n int) int {
	count := 0
	for _, r := range line {
		if n <= 0 {
			break
		}
		n--
		count += utf16.RuneLen(r)
	}
	return count
}

// token is the span of what stands at a place of the compiler, line and character from 1: up
// to the next blank that no quote holds, or the end of the line.
func token(all []string, line, col int) span {
	line = min(max(line-1, 0), max(len(all)-1, 0))
	if len(all) == 0 {
		return span{}
	}
	text := all[line]
	start := position{Line: line, Character: runeUnits(text, col-1)}
	rest := text[byteAt(text, start.Character):]
	end := len(strings.TrimRight(rest, " \t"))
	if at := strings.IndexAny(rest, ": \t"); at > 0 && (rest[at] == ':' || !strings.ContainsAny(rest[:1], `'"$`)) {
		end = min(end, at)
	}
	if end == 0 {
		end = len(rest)
	}
	return span{start, position{Line: line, Character: start.Character + max(units(rest[:end]), 1)}}
}
