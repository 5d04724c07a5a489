package syntax

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/value"
)

// Class is what a token is, for colours and for the parser.
type Class uint8

// The classes. An editor needs no more than these; the parser tells keywords from names by
// where they stand.
const (
	End         Class = iota
	Name              // identifiers and keywords
	Number            // 12, 0x1f, 1.5e3
	TimeSpan          // 5m, 1.5d
	String            // every form of it
	Literal           // datetime(…), guid(…), dynamic(…) as a whole
	Operator          // punctuation, and operators spelled with it, !has and in~ included
	Comment           // to the end of the line
	Invalid           // a character that begins nothing, or a string without an end
	Keyword           // only from Tokens: the name of an operator or a word of one
	FunctionUse       // only from Tokens: a name before a parenthesis
)

// Token is a piece of the text.
type Token struct {
	Span
	Class Class
}

// Tokens cuts a text into tokens for an editor, comments and mistakes included. Whitespace
// is left out. Of a text beyond MaxText only the beginning is cut.
func Tokens(text string) []Token {
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	out := scan(text)
	for i := range out {
		if out[i].Class != Name {
			continue
		}
		word := text[out[i].Start:out[i].End]
		afterPipe := i > 0 && text[out[i-1].Start:out[i-1].End] == "|"
		switch {
		case afterPipe || statementWords[word]:
			out[i].Class = Keyword
			// project-away and its like are three tokens.
			if i+2 < len(out) && afterPipe && out[i+1].Start == out[i].End && text[out[i+1].Start] == '-' && out[i+2].Start == out[i+1].End {
				out[i+1].Class, out[i+2].Class = Keyword, Keyword
			}
		case i+1 < len(out) && text[out[i+1].Start] == '(':
			out[i].Class = FunctionUse
		}
	}
	return out
}

// statementWords are coloured wherever they stand.
var statementWords = map[string]bool{
	"let": true, "by": true, "on": true, "and": true, "or": true, "in": true, "between": true, "has": true, "contains": true,
	"startswith": true, "endswith": true, "asc": true, "desc": true, "nulls": true, "union": true, "print": true, "datatable": true,
	"search": true, "find": true, "range": true, "kind": true, "with": true, "of": true, "matches": true, "regex": true, "set": true,
	"has_any": true, "has_all": true, "has_cs": true, "contains_cs": true, "hasprefix": true, "hassuffix": true, "step": true,
	"default": true, "true": true, "false": true, "null": true, "typeof": true, "declare": true, "query_parameters": true,
}

// scan cuts a text into tokens.
func scan(text string) []Token {
	out := make([]Token, 0, len(text)/4+4)
	for at := 0; at < len(text); {
		c := text[at]
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			at++
			continue
		}
		class, end := next(text, at)
		if class == End { // a space that is not ASCII, a byte order mark
			at = end
			continue
		}
		out = append(out, Token{Span: Span{Start: at, End: end}, Class: class})
		at = end
	}
	return out
}

// next returns the class and the end of the token that begins at a place.
func next(text string, at int) (Class, int) {
	c := text[at]
	switch {
	case c == '/' && strings.HasPrefix(text[at:], "//"):
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			return Comment, at + i
		}
		return Comment, len(text)
	case isQuote(text, at):
		return scanString(text, at)
	case isLetter(c):
		return scanWord(text, at)
	case c >= '0' && c <= '9':
		return scanNumber(text, at)
	case c == '.' && at+1 < len(text) && isDigit(text[at+1]) && !followsValue(text, at):
		return scanNumber(text, at)
	case c < utf8.RuneSelf:
		return scanPunctuation(text, at)
	}
	r, n := utf8.DecodeRuneInString(text[at:])
	switch {
	case r == '\ufeff' || r == '\u200b' || unicode.IsSpace(r):
		return End, at + n
	case unicode.IsLetter(r):
		return scanWord(text, at)
	}
	return Invalid, at + n
}

// followsValue reports whether a dot continues what stands before it: "x.1" and "1..2".
func followsValue(text string, at int) bool {
	if at == 0 {
		return false
	}
	c := text[at-1]
	return isLetter(c) || isDigit(c) || c == ')' || c == ']' || c == '.' || c == '\'' || c == '"'
}

func isLetter(c byte) bool {
	return c == '_' || c == '$' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isQuote reports whether a string begins here, with any prefix.
func isQuote(text string, at int) bool {
	rest := text[at:]
	if len(rest) > 1 && (rest[0] == 'h' || rest[0] == 'H') && (rest[1] == '"' || rest[1] == '\'' || rest[1] == '@' || rest[1] == '`' || rest[1] == '~') {
		rest = rest[1:]
	}
	switch rest[0] {
	case '"', '\'':
		return true
	case '@':
		return len(rest) > 1 && (rest[1] == '"' || rest[1] == '\'')
	}
	return strings.HasPrefix(rest, "```") || strings.HasPrefix(rest, "~~~")
}

func scanString(text string, at int) (Class, int) {
	if text[at] == 'h' || text[at] == 'H' {
		at++
	}
	if strings.HasPrefix(text[at:], "```") || strings.HasPrefix(text[at:], "~~~") {
		i := strings.Index(text[at+3:], text[at:at+3])
		if i < 0 {
			return Invalid, len(text)
		}
		return String, at + 3 + i + 3
	}
	verbatim := text[at] == '@'
	if verbatim {
		at++
	}
	quote := text[at]
	for i := at + 1; i < len(text); i++ {
		switch {
		case text[i] == '\n' || text[i] == '\r':
			return Invalid, i
		case text[i] == quote && verbatim && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return String, i + 1
		case text[i] == '\\' && !verbatim:
			i++
		}
	}
	return Invalid, len(text)
}

// literalTypes are the words that, before a parenthesis, begin a literal.
var literalTypes = map[string]bool{
	"datetime": true, "date": true, "time": true, "timespan": true, "guid": true, "int": true, "long": true, "real": true,
	"double": true, "decimal": true, "bool": true, "boolean": true, "dynamic": true,
}

func scanWord(text string, at int) (Class, int) {
	end := at
	for end < len(text) {
		c := text[end]
		if isLetter(c) || isDigit(c) {
			end++
			continue
		}
		if c < utf8.RuneSelf {
			break
		}
		r, n := utf8.DecodeRuneInString(text[end:])
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		end += n
	}
	word := text[at:end]
	if end < len(text) && text[end] == '~' && (word == "in") {
		return Operator, end + 1
	}
	if literalTypes[word] {
		open := end
		for open < len(text) && (text[open] == ' ' || text[open] == '\t') {
			open++
		}
		if open < len(text) && text[open] == '(' {
			if stop := scanLiteral(text, open, word == "dynamic"); stop > 0 {
				return Literal, stop
			}
			return Invalid, end
		}
	}
	return Name, end
}

// scanLiteral returns the end of a literal's parentheses, 0 when they do not close.
func scanLiteral(text string, open int, nested bool) int {
	depth := 0
	for i := open; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '"' || c == '\'') && (nested || i > open):
			class, stop := scanString(text, i)
			if class == Invalid {
				return 0
			}
			i = stop - 1
		case c == '@' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\''):
			class, stop := scanString(text, i)
			if class == Invalid {
				return 0
			}
			i = stop - 1
		case c == '/' && nested && strings.HasPrefix(text[i:], "//"):
			_, stop := next(text, i)
			i = stop - 1
		case c == '(' || nested && (c == '[' || c == '{'):
			depth++
		case c == ')' || nested && (c == ']' || c == '}'):
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

func scanNumber(text string, at int) (Class, int) {
	end := at
	digits := func() {
		for end < len(text) && isDigit(text[end]) {
			end++
		}
	}
	if strings.HasPrefix(text[at:], "0x") || strings.HasPrefix(text[at:], "0X") {
		for end = at + 2; end < len(text) && strings.IndexByte("0123456789abcdefABCDEF", text[end]) >= 0; end++ {
		}
		return Number, end
	}
	digits()
	if end+1 < len(text) && text[end] == '.' && isDigit(text[end+1]) {
		end++
		digits()
	} else if end < len(text) && text[end] == '.' && !strings.HasPrefix(text[end:], "..") && (end+1 == len(text) || !isLetter(text[end+1])) {
		end++
	}
	if end < len(text) && text[end]|0x20 == 'e' {
		mark := end
		end++
		if end < len(text) && (text[end] == '+' || text[end] == '-') {
			end++
		}
		if end < len(text) && isDigit(text[end]) {
			digits()
		} else {
			end = mark
		}
	}
	word := end
	for word < len(text) && (isLetter(text[word]) || isDigit(text[word])) {
		word++
	}
	if word > end {
		if value.IsUnit(text[end:word]) {
			return TimeSpan, word
		}
		if !strings.ContainsAny(text[at:end], ".+-") {
			return Name, word // a name may begin with a digit
		}
	}
	return Number, end
}

// punctuation lists the operators of more than one character, longest first.
var punctuation = []string{"<|", "=>", "==", "=~", "!=", "!~", "<=", ">=", "<>", ".."}

func scanPunctuation(text string, at int) (Class, int) {
	rest := text[at:]
	for _, p := range punctuation {
		if strings.HasPrefix(rest, p) {
			return Operator, at + len(p)
		}
	}
	if rest[0] == '!' {
		end := 1
		for end < len(rest) && (isLetter(rest[end])) {
			end++
		}
		if end < len(rest) && rest[end] == '~' {
			end++
		}
		if end > 1 {
			return Operator, at + end
		}
		return Invalid, at + 1
	}
	if strings.IndexByte("()[]{}|,;.:+-*/%<>=~@?", rest[0]) >= 0 {
		return Operator, at + 1
	}
	return Invalid, at + 1
}
