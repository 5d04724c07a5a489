package lsp

import "strings"

// flowEnd is where a text ends in the middle of a flow collection.
type flowEnd struct {
	// holder and key are as in place; element says that the cursor is at an element of a
	// sequence, whose item the holder is.
	holder, key *item
	element     bool
	typed       string // of the key or value that is being written
}

// flow reads a flow collection, [ … ] or { … }, which may go on over lines.
type flow struct {
	all      []string
	line, at int
	owner    int // column of the block item that the collection belongs to
	end      *flowEnd
	broken   bool // a line stands too far left, or it is too deep
}

// read makes the items of the collection that begins at the place of the flow, below an item.
// It returns how a text ends in it, and the first line that belongs to it no more.
func (f *flow) read(below *item) (*flowEnd, int) {
	f.value(below)
	return f.end, f.line + 1
}

// over reports whether nothing of the collection can come any more.
func (f *flow) over() bool { return f.end != nil || f.broken }

// skip goes to the next thing, over blanks, comments and ends of lines; false at the end.
func (f *flow) skip() bool {
	for {
		rest := f.all[f.line][f.at:]
		body := strings.TrimLeft(rest, " \t")
		f.at += len(rest) - len(body)
		if body != "" && body[0] != '#' {
			return true
		}
		if f.line+1 >= len(f.all) {
			f.at = len(f.all[f.line])
			return false
		}
		next := f.all[f.line+1]
		first := strings.TrimLeft(next, " \t")
		indent := len(next) - len(first)
		// What closes it is often written below what it belongs to. The last line may be the
		// one that is being written.
		if last := f.line+2 == len(f.all); first == "" && (!last || indent <= f.owner) || first != "" && indent <= f.owner && first[0] != ']' && first[0] != '}' {
			if first == "" && !last {
				f.line, f.at = f.line+1, len(next)
				continue
			}
			f.broken = true
			return false
		}
		f.line, f.at = f.line+1, indent
	}
}

// value reads what stands here as the value of an item.
func (f *flow) value(of *item) {
	switch c := f.all[f.line][f.at]; {
	case of.depth >= maxNesting:
		f.broken = true
	case c == '{':
		f.at++
		f.mapping(of)
	case c == '[':
		f.at++
		f.sequence(of)
	default:
		text, closed := f.text(false)
		if of.value = scalar(text); !closed && f.line == len(f.all)-1 && f.end == nil {
			f.end = &flowEnd{holder: of.parent, key: of, typed: strings.TrimLeft(text, `'"`)}
		}
	}
}

// mapping reads entries up to the brace.
func (f *flow) mapping(of *item) {
	for !f.over() {
		if !f.skip() {
			f.stop(&flowEnd{holder: of})
			return
		}
		switch f.all[f.line][f.at] {
		case '}', ']':
			f.at++
			return
		case ',':
			f.at++
			continue
		}
		line, col := f.line, f.at
		text, closed := f.text(true)
		if !closed {
			f.stop(&flowEnd{holder: of, typed: strings.TrimLeft(text, `'"`)})
			return
		}
		key := (&item{col: col, line: line, name: strings.Trim(strings.TrimSpace(text), `'"`)}).into(of)
		if f.at == len(f.all[f.line]) || f.all[f.line][f.at] != ':' {
			continue
		}
		f.at++
		if !f.skip() {
			f.stop(&flowEnd{holder: of, key: key})
			return
		}
		if c := f.all[f.line][f.at]; c != ',' && c != '}' && c != ']' {
			f.value(key)
		}
	}
}

// sequence reads elements up to the bracket.
func (f *flow) sequence(of *item) {
	for !f.over() {
		if !f.skip() {
			f.stop(&flowEnd{holder: (&item{dash: true, col: f.at, line: f.line}).into(of), element: true})
			return
		}
		switch f.all[f.line][f.at] {
		case ']', '}':
			f.at++
			return
		case ',':
			f.at++
			continue
		}
		element := (&item{dash: true, col: f.at, line: f.line}).into(of)
		if c := f.all[f.line][f.at]; c == '{' || c == '[' {
			f.value(element)
			continue
		}
		text, closed := f.text(false)
		element.value = scalar(text)
		if !closed {
			f.stop(&flowEnd{holder: element, element: true, typed: strings.TrimLeft(text, `'"`)})
		}
	}
}

// stop notes how the text ends, unless the collection was left because a line stands too far
// left.
func (f *flow) stop(e *flowEnd) {
	if f.end == nil && !f.broken {
		f.end = e
	}
}

// text reads a key or a value of one line; closed is false when the text ends with it.
func (f *flow) text(key bool) (text string, closed bool) {
	line := f.all[f.line]
	from, quote := f.at, byte(0)
	for ; f.at < len(line); f.at++ {
		c := line[f.at]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
			continue
		case (c == '\'' || c == '"') && f.at == from:
			quote = c
			continue
		case strings.HasPrefix(line[f.at:], "${{"):
			if n := strings.Index(line[f.at:], "}}"); n >= 0 {
				f.at += n + 1
				continue
			}
			f.at = len(line)
		}
		if f.at >= len(line) || c == ',' || c == ']' || c == '}' || c == '#' && f.at > from && line[f.at-1] == ' ' {
			break
		}
		if c == ':' && key && (f.at+1 == len(line) || strings.IndexByte(" ,]}", line[f.at+1]) >= 0 || line[f.at-1] == '"' || line[f.at-1] == '\'') {
			break
		}
	}
	f.at = min(f.at, len(line))
	return line[from:f.at], f.at < len(line) || f.line < len(f.all)-1
}

// into puts an item under another one, and returns it.
func (i *item) into(parent *item) *item {
	i.parent, i.depth = parent, parent.depth+1
	parent.children = append(parent.children, i)
	return i
}
