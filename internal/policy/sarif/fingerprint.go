package sarif

import (
	"strconv"
	"unicode/utf16"
)

// The constants of GitHub's fingerprints (github/codeql-action, src/fingerprints.ts).
const (
	window    = 100
	base      = 37
	endOfFile = 65535
)

// fingerprints are GitHub's primaryLocationLineHash of each line of a file: a rolling hash
// of the 100 characters that are not blank from its beginning on, in hex, and which line
// with this hash it is. out[i] belongs to line i+1.
func fingerprints(data []byte) []string {
	h := hasher{counts: map[string]int{}, lineStart: true, first: 1}
	for range window {
		h.first *= base
	}
	for _, unit := range utf16.Encode([]rune(string(data))) {
		h.character(unit)
	}
	h.character(endOfFile)
	for range window {
		if h.lines[h.index] != 0 {
			h.output()
		}
		h.update(0)
	}
	return h.out
}

// hasher rolls over the characters of a file.
type hasher struct {
	ring      [window]uint64
	lines     [window]int // line that begins at a place of the ring, 0 for none
	index     int
	sum       uint64
	first     uint64 // base to the power of window
	line      int
	lineStart bool
	wasCR     bool
	counts    map[string]int
	out       []string
}

func (h *hasher) character(c uint16) {
	if c == ' ' || c == '\t' || h.wasCR && c == '\n' {
		h.wasCR = false
		return
	}
	h.wasCR = c == '\r'
	if h.wasCR {
		c = '\n'
	}
	if h.lines[h.index] != 0 {
		h.output()
	}
	if h.lineStart {
		h.lineStart = false
		h.line++
		h.lines[h.index] = h.line
	}
	h.lineStart = c == '\n'
	h.update(uint64(c))
}

func (h *hasher) update(c uint64) {
	begin := h.ring[h.index]
	h.ring[h.index] = c
	h.sum = base*h.sum + c - h.first*begin
	h.index = (h.index + 1) % window
}

// output ends the hash of the line that began a window ago. Lines end in their order.
func (h *hasher) output() {
	text := strconv.FormatUint(h.sum, 16)
	h.counts[text]++
	h.out = append(h.out, text+":"+strconv.Itoa(h.counts[text]))
	h.lines[h.index] = 0
}
