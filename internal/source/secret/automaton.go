package secret

import "fmt"

// automaton finds all words of a set in one pass over the input: Aho-Corasick as a table
// of states by classes of bytes. ASCII letters count without their case.
type automaton struct {
	class [256]uint8
	// next[state<<shift|class] is the state after a byte.
	next  []uint16
	shift uint
	// States from first on end a word; ends holds their words, by state-first.
	first uint16
	ends  [][]int32
}

// maxStates is what the table's cells can name.
const maxStates = 1 << 16

// newAutomaton builds the table for lower-case words. A word's number is its place in
// the list.
func newAutomaton(words []string) (*automaton, error) {
	a := &automaton{}
	classes := 1 // Class 0 is every byte that no word has.
	for _, w := range words {
		if w == "" {
			return nil, fmt.Errorf("building the keyword table: an empty word")
		}
		for i := 0; i < len(w); i++ {
			if c := lower(w[i]); a.class[c] == 0 {
				a.class[c] = uint8(classes)
				classes++
			}
		}
	}
	if classes > 256 {
		return nil, fmt.Errorf("building the keyword table: %d classes of bytes", classes)
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.class[c] = a.class[c+'a'-'A']
	}
	for 1<<a.shift < classes {
		a.shift++
	}
	t := a.trie(words)
	if len(t.ends) > maxStates {
		return nil, fmt.Errorf("building the keyword table: %d states", len(t.ends))
	}
	a.renumber(t)
	return a, nil
}

// trie is the automaton before its states are sorted.
type trie struct {
	next [][]int32 // by state and class; -1 is no edge
	ends [][]int32
}

func (a *automaton) trie(words []string) *trie {
	t := &trie{}
	node := func() int32 {
		row := make([]int32, 1<<a.shift)
		for i := range row {
			row[i] = -1
		}
		t.next, t.ends = append(t.next, row), append(t.ends, nil)
		return int32(len(t.ends) - 1)
	}
	node()
	for n, w := range words {
		s := int32(0)
		for i := 0; i < len(w); i++ {
			c := a.class[lower(w[i])]
			if t.next[s][c] < 0 {
				t.next[s][c] = node()
			}
			s = t.next[s][c]
		}
		t.ends[s] = append(t.ends[s], int32(n))
	}
	t.complete()
	return t
}

// complete fills the missing edges, breadth first: where a word breaks off, the search
// goes on in the longest suffix that begins a word.
func (t *trie) complete() {
	fail := make([]int32, len(t.ends))
	var queue []int32
	for c, s := range t.next[0] {
		if s < 0 {
			t.next[0][c] = 0
			continue
		}
		queue = append(queue, s)
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		t.ends[s] = append(t.ends[s], t.ends[fail[s]]...)
		for c, n := range t.next[s] {
			over := t.next[fail[s]][c]
			if n < 0 {
				t.next[s][c] = over
				continue
			}
			fail[n] = over
			queue = append(queue, n)
		}
	}
}

// renumber gives the states that end a word the highest numbers, so that the loop needs
// one comparison for each byte.
func (a *automaton) renumber(t *trie) {
	to := make([]uint16, len(t.ends))
	n := uint16(0)
	for pass := range 2 {
		if pass == 1 {
			a.first = n
		}
		for s, ends := range t.ends {
			if (len(ends) > 0) != (pass == 1) {
				continue
			}
			to[s] = n
			n++
			if pass == 1 {
				a.ends = append(a.ends, ends)
			}
		}
	}
	a.next = make([]uint16, len(t.ends)<<a.shift)
	for s, row := range t.next {
		for c, x := range row {
			a.next[int(to[s])<<a.shift|c] = to[x]
		}
	}
}

// each calls hit for every word in data with the place after its end, in order.
func (a *automaton) each(data []byte, hit func(word int32, end int)) {
	next, first, shift := a.next, a.first, a.shift
	s := uint16(0)
	for i, b := range data {
		s = next[uint(s)<<shift|uint(a.class[b])]
		if s >= first {
			for _, w := range a.ends[s-first] {
				hit(w, i+1)
			}
		}
	}
}

// contains reports whether any word is in text.
func (a *automaton) contains(text string) bool {
	s := uint16(0)
	for i := 0; i < len(text); i++ {
		if s = a.next[uint(s)<<a.shift|uint(a.class[text[i]])]; s >= a.first {
			return true
		}
	}
	return false
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
