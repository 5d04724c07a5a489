package lsp

import "strings"

// item is an entry of an outline: a key, or the dash of an element of a sequence.
type item struct {
	dash     bool
	col      int // in bytes, from 0
	line     int // from 0
	name     string
	value    string // text behind the key or dash, without quotes and comment
	anchor   string // the name of its anchor, if it has one
	depth    int
	parent   *item
	children []*item
}

// maxNesting is how deep an outline goes; what is deeper stands beside its parent.
const maxNesting = 128

// outline reads what indentation says of a text. It never fails: lines that are neither
// entries nor elements are passed over, and so is the text of block scalars.
func outline(all []string) *item {
	root, _ := scan(all)
	return root
}

// scan is outline; end is set when the text ends in the middle of a flow collection.
func scan(all []string) (root *item, end *flowEnd) {
	root = &item{col: -1, line: -1}
	top, block := root, -1 // block: column of the entry whose block scalar goes on
	for number := 0; number < len(all); number++ {
		line := all[number]
		body := strings.TrimLeft(line, " ")
		if body == "" || body[0] == '#' {
			continue
		}
		col := len(line) - len(body)
		if block >= 0 && col > block {
			continue
		}
		block = -1
		for body == "-" || strings.HasPrefix(body, "- ") {
			top = (&item{dash: true, col: col, line: number}).below(top)
			rest := strings.TrimLeft(body[1:], " ")
			top.anchor, rest = anchored(rest)
			col = len(line) - len(rest)
			body = rest
		}
		name, value, ok := entryOf(body)
		switch {
		case ok:
			top = (&item{col: col, line: number, name: name}).below(top)
			top.anchor, value = anchored(value)
			top.value = scalar(value)
		case top.dash && top.line == number, top == root && (body[0] == '{' || body[0] == '['):
			value = body
			top.value = scalar(body)
		}
		if strings.HasPrefix(value, "|") || strings.HasPrefix(value, ">") {
			// The text of a scalar is indented deeper than what it belongs to.
			block = top.col
		}
		if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
			f := &flow{all: all, line: number, at: len(line) - len(value), owner: top.col}
			var next int
			if end, next = f.read(top); end != nil {
				return root, end
			}
			number = next - 1
		}
	}
	return root, nil
}

// anchored takes the anchor and the tag off a value.
func anchored(value string) (anchor, rest string) {
	for strings.HasPrefix(value, "&") || strings.HasPrefix(value, "!") {
		word, after, _ := strings.Cut(value, " ")
		if word[0] == '&' {
			anchor = word[1:]
		}
		value = strings.TrimLeft(after, " ")
	}
	return anchor, value
}

// below puts a new item under the one that it belongs to, seen from the last one.
func (i *item) below(last *item) *item {
	i.parent = last.holder(i.col, i.dash)
	if i.parent.depth >= maxNesting {
		i.parent = i.parent.parent
	}
	i.depth = i.parent.depth + 1
	i.parent.children = append(i.parent.children, i)
	return i
}

// holder is what something at a column belongs to, after the item.
func (i *item) holder(col int, dash bool) *item {
	for i.parent != nil {
		if i.col < col || dash && !i.dash && i.col == col {
			return i
		}
		i = i.parent
	}
	return i
}

// entryOf takes "key: value" apart; the value reaches to the end of the line.
func entryOf(body string) (name, value string, ok bool) {
	if strings.HasPrefix(body, "${{") {
		end := strings.Index(body, "}}")
		if end < 0 || !strings.HasPrefix(strings.TrimLeft(body[end+2:], " "), ":") {
			return "", "", false
		}
		_, value, _ = strings.Cut(body[end+2:], ":")
		return body[:end+2], strings.TrimLeft(value, " "), true
	}
	for at := 0; at < len(body); at++ {
		if body[at] == ':' && (at+1 == len(body) || body[at+1] == ' ') {
			return strings.Trim(strings.TrimSpace(body[:at]), `'"`), strings.TrimLeft(body[at+1:], " "), at > 0
		}
		if at == 0 && (body[0] == '{' || body[0] == '[' || body[0] == '#') {
			return "", "", false
		}
	}
	return "", "", false
}

// scalar is a value without comment and quotes.
func scalar(text string) string {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "#") {
		return ""
	}
	if at := strings.Index(text, " #"); at >= 0 && !strings.ContainsAny(text[:1], `'"`) {
		text = strings.TrimSpace(text[:at])
	}
	if n := len(text); n >= 2 && (text[0] == '\'' || text[0] == '"') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}

// child is the entry of a name, or nil.
func (i *item) child(name string) *item {
	for _, c := range i.children {
		if !c.dash && strings.EqualFold(c.name, name) {
			return c
		}
	}
	return nil
}

// directive reports whether the entry is one that templates expand away.
func (i *item) directive() bool { return strings.HasPrefix(i.name, "${{") }

// path are the items from below the root to the item.
func (i *item) path() []*item {
	if i == nil || i.parent == nil {
		return nil
	}
	return append(i.parent.path(), i)
}

// walk calls visit for everything below the item.
func (i *item) walk(visit func(*item)) {
	for _, c := range i.children {
		visit(c)
		c.walk(visit)
	}
}

// place is where the cursor is.
type place struct {
	root *item
	// holder is the mapping or sequence that the cursor stands in; key is the entry whose
	// value is written, nil where a key is.
	holder, key *item
	// element says that the cursor is at the value of an element of holder's sequence.
	element bool
	// typed is what stands before the cursor of the word or value, word all of it.
	typed, word string
	start       int // byte of the line where the word begins
	blocked     bool
	flow        bool // the cursor is inside of a flow collection
	at          int  // line of the cursor
}

// locate finds out where the cursor is. The line of the cursor is looked at by itself: it is
// the one that is being written.
func locate(all []string, pos position) place {
	if pos.Line < 0 || pos.Line >= len(all) {
		return place{root: outline(all)}
	}
	line := all[pos.Line]
	at := byteAt(line, pos.Character)
	before := line[:at]
	p := place{root: outline(all), at: pos.Line}
	if _, end := scan(append(all[:pos.Line:pos.Line], before)); end != nil {
		p.holder, p.key, p.element, p.flow, p.typed = end.holder, end.key, end.element, true, end.typed
		p.start, p.word = at-len(p.typed), p.typed+wordAfter(line[at:])
		return p
	}
	last, blocked := lastAbove(all, pos.Line, len(before)-len(strings.TrimLeft(before, " ")))
	p.blocked = blocked
	body := strings.TrimLeft(before, " ")
	col := len(before) - len(body)
	for body == "-" || strings.HasPrefix(body, "- ") {
		last = (&item{dash: true, col: col, line: pos.Line}).below(last)
		rest := strings.TrimLeft(body[1:], " ")
		col += len(body) - len(rest)
		body = rest
		p.element = true
	}
	if name, _, ok := entryOf(body); ok {
		p.key = (&item{col: col, line: pos.Line, name: name}).below(last)
		p.holder, p.element = p.key.parent, false
		value := strings.TrimLeft(body[strings.Index(body, ":")+1:], " ")
		if p.key.directive() {
			value = ""
		}
		p.typed = strings.TrimLeft(value, `'"`)
	} else {
		p.holder = last.holder(col, false)
		p.typed = body
	}
	p.start = at - len(p.typed)
	p.word = p.typed + wordAfter(line[at:])
	return p
}

// whole is the holder with the entries that stand below the cursor, too.
func (p place) whole() *item {
	found := p.holder
	p.root.walk(func(i *item) {
		if i.line == p.holder.line && i.col == p.holder.col && i.dash == p.holder.dash {
			found = i
		}
	})
	if p.holder.parent == nil {
		return p.root
	}
	return found
}

// lastAbove is the last item above a line as its own outline has it; siblings that stand
// below the cursor belong to the same holder. blocked says that the line is text.
func lastAbove(all []string, line, col int) (*item, bool) {
	root := outline(all[:line])
	last := root
	root.walk(func(i *item) { last = i })
	for i := last; i.parent != nil; i = i.parent {
		if (strings.HasPrefix(i.value, "|") || strings.HasPrefix(i.value, ">")) && col > i.col {
			return last, true
		}
	}
	return last, false
}

// wordAfter is the rest of the word that the cursor is in.
func wordAfter(rest string) string {
	if at := strings.IndexAny(rest, " \t:,]}'\"#"); at >= 0 {
		return rest[:at]
	}
	return rest
}
