package render

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The functions that are written into templates.
const (
	fnTick  = "towpath_tick"  // counts a step and the bytes of its body
	fnLine  = "towpath_line"  // marks what an action writes
	fnPlain = "towpath_plain" // takes marks out again
	fnSee   = "towpath_see"   // notes which value an action uses
	fnText  = "towpath_text"  // the text that tpl is about to run
)

// instrument writes calls of our own functions into a template, without moving any line:
//   - a tick at the head of each file, definition and loop, so that all work is counted;
//   - with marks, a mark behind the text of each line, and at the end of each action a
//     function that marks what it writes.
//
// Marks may only travel from text through include and the functions that indent to the
// output: everywhere else they are taken out again, so that no comparison, no hash and no
// parser ever sees one. A mark stands behind visible text only, so that nothing that is
// blank becomes something.
type instrument struct {
	src   string
	file  string // of the repository
	marks *marks // nil: no marks
	text  bool   // mark text too; false for what tpl runs, whose lines are not the file's

	edits []edit
	lines []int // offsets of line starts
}

// edit is a text put in at an offset.
type edit struct {
	at   int
	text string
}

// run returns the template with the calls in it; one that cannot be scanned stays as it
// is, for the engine to say what is wrong with it.
func (in *instrument) run() string {
	pieces, err := scan(in.src)
	if err != nil {
		return in.src
	}
	in.lines = []int{0}
	for i := range len(in.src) {
		if in.src[i] == '\n' {
			in.lines = append(in.lines, i+1)
		}
	}
	in.put(0, "{{"+fnTick+" "+strconv.Itoa(len(in.src))+"}}")
	in.ticks(pieces)
	if in.marks != nil {
		for _, p := range pieces {
			switch {
			case !p.action && in.text:
				in.markText(p)
			case p.action && !p.comment:
				in.action(p)
			}
		}
	}
	return in.apply()
}

func (in *instrument) put(at int, text string) {
	if text != "" {
		in.edits = append(in.edits, edit{at, text})
	}
}

func (in *instrument) apply() string {
	slices.SortStableFunc(in.edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	at := 0
	for _, e := range in.edits {
		b.WriteString(in.src[at:e.at])
		b.WriteString(e.text)
		at = e.at
	}
	b.WriteString(in.src[at:])
	return b.String()
}

// line is the line of an offset, from 1.
func (in *instrument) line(at int) int {
	i, _ := slices.BinarySearch(in.lines, at+1)
	return i
}

// ticks puts a tick at the head of each loop and definition.
func (in *instrument) ticks(pieces []piece) {
	type block struct {
		head    piece
		ticking bool
	}
	var open []block
	for _, p := range pieces {
		switch in.keyword(p) {
		case "range", "define", "block":
			open = append(open, block{p, true})
		case "if", "with":
			open = append(open, block{head: p})
		case "end":
			if len(open) == 0 {
				return // The engine will say so.
			}
			b := open[len(open)-1]
			open = open[:len(open)-1]
			body := in.src[b.head.to:p.from]
			// A definition that is blank counts as none; it must stay so.
			if !b.ticking || in.keyword(b.head) == "define" && strings.TrimSpace(body) == "" {
				continue
			}
			tail := "}}"
			if b.head.trimRight {
				tail = " -}}"
			}
			in.put(b.head.to, "{{"+fnTick+" "+strconv.Itoa(len(body))+tail)
		}
	}
	// tpl runs text that is not known yet: it is instrumented when it is.
	for _, p := range pieces {
		for i, w := range p.words {
			if w.kind != wordName || in.src[w.from:w.to] != "tpl" || i+1 == len(p.words) {
				continue
			}
			if end := operand(p.words, i+1); end > i+1 {
				in.put(p.words[i+1].from, "("+fnText+" ")
				in.put(p.words[end-1].to, ")")
			}
		}
	}
}

// operand is the index behind the operand that begins at a word: a word, or a group in
// parentheses with the fields behind it.
func operand(words []word, i int) int {
	switch words[i].kind {
	case wordOpen:
		depth := 0
		for ; i < len(words); i++ {
			switch words[i].kind {
			case wordOpen:
				depth++
			case wordClose:
				depth--
			}
			if depth == 0 {
				i++
				break
			}
		}
		for i < len(words) && words[i].kind == wordChain {
			i++
		}
		return i
	case wordName, wordField, wordVariable, wordDot, wordOther:
		return i + 1
	}
	return i
}

// keyword is the first word of an action when it is a name; "else if" is "else".
func (in *instrument) keyword(p piece) string {
	if !p.action || len(p.words) == 0 || p.words[0].kind != wordName {
		return ""
	}
	return in.src[p.words[0].from:p.words[0].to]
}

// markText puts a mark behind the visible text of each line.
func (in *instrument) markText(p piece) {
	at := p.from
	for line := range strings.SplitAfterSeq(in.src[p.from:p.to], "\n") {
		if end := lastVisible(line); end > 0 {
			in.put(at+end, markText(in.marks.id(mark{file: in.file, line: in.line(at)})))
		}
		at += len(line)
	}
}

// writes reports whether an action writes its value.
func (in *instrument) writes(p piece) bool {
	switch in.keyword(p) {
	case "if", "else", "end", "range", "with", "define", "block", "template", "break", "continue":
		return false
	}
	depth := 0
	for _, w := range p.words {
		switch w.kind {
		case wordOpen:
			depth++
		case wordClose:
			depth--
		case wordAssign:
			if depth == 0 {
				return false
			}
		}
	}
	return len(p.words) > 0
}

// action puts the calls into one action.
func (in *instrument) action(p piece) {
	for i, w := range p.words {
		// text/template takes "x |" for "x"; nothing can be put behind it.
		if w.kind == wordPipe && (i+1 == len(p.words) || p.words[i+1].kind == wordPipe || p.words[i+1].kind == wordClose) {
			return
		}
	}
	if in.writes(p) {
		id := in.marks.id(mark{file: in.file, line: in.line(p.from)})
		in.pipeline(p.words, 0, true, id, p.inner)
		in.put(p.inner, fmt.Sprintf(" | %s %d", fnLine, id))
		return
	}
	if i := in.begin(p); i < len(p.words) {
		in.pipeline(p.words, i, false, -1, p.inner)
	}
}

// begin is the index at which the pipeline of an action begins that writes nothing.
func (in *instrument) begin(p piece) int {
	start := 0
	switch in.keyword(p) {
	case "if", "with", "range":
		start = 1
	case "else", "template", "block":
		start = 2
	case "end", "define", "break", "continue":
		return len(p.words)
	}
	depth := 0
	for i, w := range p.words {
		switch w.kind {
		case wordOpen:
			depth++
		case wordClose:
			depth--
		case wordAssign:
			if depth == 0 {
				start = i + 1
			}
		}
	}
	return start
}

// pipeline walks the commands of a pipeline from a word on, and returns the index of the
// word that ends it. top says that it is what an action writes; see is the number under
// which values are noted, -1 for none.
func (in *instrument) pipeline(words []word, i int, top bool, see, end int) int {
	for {
		name := ""
		if i < len(words) && words[i].kind == wordName {
			name = in.src[words[i].from:words[i].to]
		}
		first := i
		for i < len(words) && words[i].kind != wordPipe && words[i].kind != wordClose {
			i = in.operand(words, i, first, name, see)
		}
		stop := end
		if i < len(words) {
			stop = words[i].from
		}
		if (name == "include" || name == "tpl") && !(top && in.passes(words, i)) {
			in.put(stop, " | "+fnPlain+" ")
		}
		if i == len(words) || words[i].kind == wordClose {
			return i
		}
		i++
	}
}

// operand handles one word of a command, with what is in its parentheses, and returns the
// index behind it.
func (in *instrument) operand(words []word, i, first int, name string, see int) int {
	w := words[i]
	if w.kind == wordOpen {
		inner := see
		if opaque(name) || in.seeChain(words, i, see) {
			inner = -1
		}
		i = in.pipeline(words, i+1, false, inner, 0)
		return min(i+1, len(words))
	}
	alone := i == first && (i+1 == len(words) || words[i+1].kind == wordPipe || words[i+1].kind == wordClose)
	if see >= 0 && !opaque(name) && (i > first || alone) {
		in.see(w, see)
	}
	return i + 1
}

// seeChain notes the value of "(…).a.b", whose beginning is evaluated once more for it. It
// reports whether it did.
func (in *instrument) seeChain(words []word, i, id int) bool {
	end := operand(words, i)
	if id < 0 || words[end-1].kind != wordChain {
		return false
	}
	group := end - 1
	for words[group].kind == wordChain {
		group--
	}
	for _, w := range words[i : group+1] {
		if name := in.src[w.from:w.to]; w.kind == wordName && (name == "include" || name == "tpl") {
			return false
		}
	}
	in.put(words[i].from, fmt.Sprintf("(%s %d %s ", fnSee, id, in.src[words[i].from:words[group].to]))
	in.put(words[end-1].to, quotedNames(in.src[words[group].to+1:words[end-1].to])+")")
	return true
}

// quotedNames are the names of "a.b" as arguments.
func quotedNames(fields string) string {
	out := ""
	for name := range strings.SplitSeq(fields, ".") {
		if name != "" {
			out += " " + strconv.Quote(name)
		}
	}
	return out
}

// opaque names the functions whose arguments are not what they write: contexts, and
// lookups by a name that is not known here.
func opaque(name string) bool {
	switch name {
	case "include", "tpl", "dict", "template", "block", "index", "get", "dig", "set", "unset", "hasKey", "pluck", "merge", "mergeOverwrite":
		return true
	}
	return false
}

// passes reports whether all commands behind the one that ends at a word only move text,
// so that marks may stay in it.
func (in *instrument) passes(words []word, i int) bool {
	for ; i < len(words); i++ {
		if words[i].kind != wordPipe {
			continue
		}
		if i+1 == len(words) {
			return false
		}
		switch in.src[words[i+1].from:words[i+1].to] {
		case "indent", "nindent", "trim":
		default:
			return false
		}
	}
	return true
}

// see notes the value of a word: what it begins at, and the names that lead from there.
func (in *instrument) see(w word, id int) {
	text := in.src[w.from:w.to]
	base, fields := ".", ""
	switch w.kind {
	case wordDot:
	case wordField:
		fields = text[1:]
	case wordVariable:
		base, fields, _ = strings.Cut(text, ".")
	default:
		return
	}
	in.put(w.from, fmt.Sprintf("(%s %d %s ", fnSee, id, base))
	in.put(w.to, quotedNames(fields)+")")
}
