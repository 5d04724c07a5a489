package level

import (
	"bytes"
	"strconv"
)

// ofObject finds the level of a record that is a JSON object, which must be valid. It
// looks at the fields of the object itself and at "level" in a field "log" (ECS).
func ofObject(text []byte) string {
	found, template, mongo := "", false, ""
	eachField(text, func(key, value []byte) bool {
		switch {
		case isLevelKey(key):
			found = ofJSON(value, ofNumber)
		case bytes.EqualFold(key, []byte("severityNumber")), bytes.Equal(key, []byte("severity_number")):
			found = ofJSON(value, OfSeverity)
		case bytes.Equal(key, []byte("log")) && value[0] == '{':
			eachField(value, func(key, value []byte) bool {
				if bytes.Equal(key, []byte("level")) {
					found = ofJSON(value, ofNumber)
				}
				return found == ""
			})
		case bytes.Equal(key, []byte("@mt")), bytes.Equal(key, []byte("@m")):
			template = true
		case bytes.Equal(key, []byte("s")) && len(value) == 3 && value[0] == '"':
			mongo = ofLetter(value[1])
		}
		return found == ""
	})
	switch {
	case found != "":
		return found
	case template:
		return Info // Serilog's compact form leaves the level out when it is Information
	case mongo != "":
		return mongo
	}
	return Unknown
}

// ofJSON reads a level from a JSON value, a string or a number.
func ofJSON(value []byte, number func(int) string) string {
	if value[0] == '"' {
		value = bytes.TrimSpace(value[1 : len(value)-1])
		if l := ofValue(value); l != "" {
			return l
		}
	}
	if n, err := strconv.Atoi(string(value)); err == nil {
		return number(n)
	}
	return ""
}

// eachField calls see for the fields of a valid JSON object, with the key between its
// quotes and the value as it is written, until see returns false.
func eachField(text []byte, see func(key, value []byte) bool) {
	i := skipSpace(text, 0)
	if i >= len(text) || text[i] != '{' {
		return
	}
	for i = skipSpace(text, i+1); i < len(text) && text[i] == '"'; i = skipSpace(text, i+1) {
		end := skipString(text, i)
		key := text[i+1 : end-1]
		i = skipSpace(text, skipSpace(text, end)+1) // the colon
		end = skipValue(text, i)
		if end <= i || !see(key, text[i:end]) {
			return
		}
		if i = skipSpace(text, end); i >= len(text) || text[i] != ',' {
			return
		}
	}
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the place after the string that begins at i.
func skipString(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// skipValue returns the place after the value that begins at i.
func skipValue(text []byte, i int) int {
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			i = skipString(text, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}
