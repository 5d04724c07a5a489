package level

import "bytes"

// head is how far into a line a level's name alone counts as its level.
const head = 128

// ofWords looks at the words of a line. A level's name decides at once in the head of
// the line when it is written in capitals, stands in brackets, or begins the line before a
// colon. Elsewhere the first word that speaks of trouble counts.
func ofWords(text []byte) string {
	weak := ""
	for i := 0; i < len(text); {
		if !isLetter(text[i]) {
			i++
			continue
		}
		start := i
		for i < len(text) && isLetter(text[i]) {
			i++
		}
		word := text[start:i]
		// A part of a name such as error_count, /var/log/error.log or my-info is no level.
		if start > 0 && isJoint(text[start-1]) || i+1 < len(text) && isJoint(text[i]) && isNameByte(text[i+1]) {
			if weak == "" && isThrown(word) {
				weak = Error
			}
			continue
		}
		level := OfWord(word)
		if level == "" {
			if weak == "" && isThrown(word) {
				weak = Error
			}
			continue
		}
		if start < head && stands(text, start, i) {
			return level
		}
		if weak == "" && !denied(text[:start]) && tells(word) {
			weak = level
		}
	}
	if weak == "" {
		weak = Unknown
	}
	return weak
}

// stands reports whether the word from start to end is written as a level is.
func stands(text []byte, start, end int) bool {
	word := text[start:end]
	before, after := byte(' '), byte(' ')
	if start > 0 {
		before = text[start-1]
	}
	if end < len(text) {
		after = text[end]
	}
	switch {
	case before == '[' && (after == ']' || after == ' ' || after == ':'), before == '<' && after == '>', before == '|' && after == '|', before == '(' && after == ')':
		return true
	case start == 0 && (after == ':' || after == '['):
		return true
	case before == ':' && start > 1 && after == ':', before == '.' || after == '.':
		return after == ':'
	case before == ' ' && after == ':' && start < head/2 && isUpper(word[:1]):
		return true
	}
	return isUpper(word) && len(word) > 2 && !isShouting(text, end)
}

// isShouting reports whether the next word is in capitals too, as in "FATAL ERROR" inside
// a sentence; the first then still is a level at the beginning of a line.
func isShouting(text []byte, end int) bool {
	if end+3 >= len(text) || text[end] != ' ' {
		return false
	}
	return end > head/2 && isUpper(text[end+1:end+3])
}

// tells reports whether a level's name that stands inside a sentence says something about
// the line: "an error occurred" does, "more information" does not.
func tells(word []byte) bool {
	switch len(word) {
	case 3: // err, inf, dbg
		return bytes.EqualFold(word, []byte("err"))
	case 4:
		return bytes.EqualFold(word, []byte("warn")) || bytes.EqualFold(word, []byte("crit"))
	}
	for _, w := range []string{"error", "fatal", "panic", "critical", "warning", "severe", "emergency"} {
		if bytes.EqualFold(word, []byte(w)) {
			return true
		}
	}
	return false
}

// isThrown reports whether a word is the name of an exception's type.
func isThrown(word []byte) bool {
	return bytes.HasSuffix(word, []byte("Exception")) || bytes.Equal(word, []byte("exception")) || bytes.HasSuffix(word, []byte("Error")) || bytes.Equal(word, []byte("Traceback"))
}

// denied reports whether what stands before a word takes its meaning away: "no error",
// "0 errors", "without error".
func denied(before []byte) bool {
	before = bytes.TrimRight(before, " ")
	last := before[bytes.LastIndexAny(before, " \t([=:,")+1:]
	switch string(bytes.ToLower(last)) {
	case "no", "0", "without", "zero", "any", "if", "non", "not":
		return true
	}
	return false
}

func isLetter(c byte) bool   { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isNameByte(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' || c == '_' }

// isJoint reports whether a character makes one name of what stands on its two sides.
func isJoint(c byte) bool {
	return c == '_' || c == '-' || c == '/' || c == '.' || c == '@' || c >= '0' && c <= '9'
}

func isUpper(word []byte) bool {
	for _, c := range word {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}
