package render

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a run of text or one action of a template, by offsets in its source.
type piece struct {
	from, to int
	action   bool
	// Of an action:
	comment   bool
	inner     int  // where its words end, before " -}}" or "}}"
	trimLeft  bool // "{{-"
	trimRight bool // "-}}"
	words     []word
}

// word is one lexical item of an action.
type word struct {
	kind     wordKind
	from, to int
}

type wordKind byte

const (
	wordName     wordKind = iota // a function or keyword: include
	wordField                    // .Values.image
	wordVariable                 // $x, $x.image, $.Values
	wordDot                      // .
	wordChain                    // .image after a closing parenthesis
	wordAssign                   // := or =
	wordPipe
	wordComma
	wordOpen
	wordClose
	wordOther // strings, numbers
)

var errUnclosed = errors.New("an action or string is not closed")

// scan splits a template as text/template does. It is lenient: what it cannot read is an
// error, and the template is then rendered without marks, where the engine says what is
// wrong with it.
func scan(src string) ([]piece, error) {
	var out []piece
	at := 0
	for {
		open := strings.Index(src[at:], "{{")
		if open < 0 {
			if at < len(src) {
				out = append(out, piece{from: at, to: len(src)})
			}
			return out, nil
		}
		open += at
		if open > at {
			out = append(out, piece{from: at, to: open})
		}
		p, err := scanAction(src, open)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
		at = p.to
	}
}

// scanAction reads the action that begins at open.
func scanAction(src string, open int) (piece, error) {
	p := piece{from: open, action: true}
	at := open + 2
	if at+1 < len(src) && src[at] == '-' && isSpace(src[at+1]) {
		p.trimLeft = true
		at += 2
	}
	if strings.HasPrefix(src[at:], "/*") {
		p.comment = true
		end := strings.Index(src[at+2:], "*/")
		if end < 0 {
			return p, errUnclosed
		}
		at += end + 4
		if !p.close(src, at) {
			return p, errUnclosed
		}
		return p, nil
	}
	for at < len(src) {
		if p.close(src, at) {
			return p, nil
		}
		if isSpace(src[at]) {
			at++
			continue
		}
		w, err := scanWord(src, at, p.words)
		if err != nil {
			return p, err
		}
		p.words = append(p.words, w)
		at = w.to
	}
	return p, errUnclosed
}

// close notes the end of the action when it is at an offset.
func (p *piece) close(src string, at int) bool {
	rest := src[at:]
	switch {
	case len(rest) >= 4 && isSpace(rest[0]) && rest[1:4] == "-}}":
		p.inner, p.to, p.trimRight = at, at+4, true
	case strings.HasPrefix(rest, "}}"):
		p.inner, p.to = at, at+2
	default:
		return false
	}
	return true
}

func scanWord(src string, at int, before []word) (word, error) {
	w := word{kind: wordOther, from: at, to: at + 1}
	c := src[at]
	switch {
	case c == '"' || c == '\'':
		return quoted(src, at, c)
	case c == '`':
		end := strings.IndexByte(src[at+1:], '`')
		if end < 0 {
			return w, errUnclosed
		}
		w.to = at + end + 2
	case c == '(':
		w.kind = wordOpen
	case c == ')':
		w.kind = wordClose
	case c == '|':
		w.kind = wordPipe
	case c == ',':
		w.kind = wordComma
	case c == '=':
		w.kind = wordAssign
	case c == ':' && strings.HasPrefix(src[at:], ":="):
		w.kind, w.to = wordAssign, at+2
	case c == '$':
		w.kind, w.to = wordVariable, chain(src, names(src, at+1))
	case c == '.' && names(src, at+1) > at+1 && !isDigit(src[at+1]):
		w.kind, w.to = wordField, chain(src, at)
		if n := len(before); n > 0 && before[n-1].kind == wordClose && before[n-1].to == at {
			w.kind = wordChain
		}
	case c == '.' && (at+1 == len(src) || !isDigit(src[at+1])):
		w.kind = wordDot
	case isDigit(c) || c == '+' || c == '-' || c == '.':
		for w.to < len(src) && (names(src, w.to) > w.to || strings.IndexByte("+-.", src[w.to]) >= 0) {
			w.to++
		}
	default:
		if w.to = names(src, at); w.to == at {
			return w, errUnclosed
		}
		w.kind = wordName
	}
	return w, nil
}

// quoted reads a string or a character.
func quoted(src string, at int, quote byte) (word, error) {
	for i := at + 1; i < len(src) && src[i] != '\n'; i++ {
		switch src[i] {
		case '\\':
			i++
		case quote:
			return word{kind: wordOther, from: at, to: i + 1}, nil
		}
	}
	return word{}, errUnclosed
}

// chain is the end of ".a.b.c".
func chain(src string, at int) int {
	for at < len(src) && src[at] == '.' {
		end := names(src, at+1)
		if end == at+1 {
			break
		}
		at = end
	}
	return at
}

// names is the end of a run of letters, digits and underscores.
func names(src string, at int) int {
	for at < len(src) {
		r, n := utf8.DecodeRuneInString(src[at:])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		at += n
	}
	return at
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
