package tail

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// isObject reports whether a text is one JSON object.
func isObject(text []byte) bool {
	t := bytes.TrimSpace(text)
	return len(t) >= 2 && t[0] == '{' && t[len(t)-1] == '}' && json.Valid(t) && utf8.Valid(t)
}

const hexDigits = "0123456789abcdef"

// quote appends a text as a JSON string. Bytes that are not UTF-8 become U+FFFD, as they
// would have no place in JSON.
func quote(dst, text []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, text[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, text[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, text[start:]...), '"')
}
