package protocol

import (
	"bytes"
	"strconv"
)

// Log lines travel and are kept in one form: the time in Unix milliseconds, a
// space, the text, and a line feed. The text holds no line feed.

// AppendLine appends one log line to b.
func AppendLine(b []byte, unixMilli int64, text []byte) []byte {
	b = strconv.AppendInt(b, unixMilli, 10)
	b = append(b, ' ')
	b = append(b, text...)
	return append(b, '\n')
}

// ParseLine takes a log line without its line feed apart. A line that has no time,
// which only a damaged file holds, is returned as text with the time 0.
func ParseLine(line []byte) (unixMilli int64, text []byte) {
	stamp, text, found := bytes.Cut(line, []byte{' '})
	if !found || len(stamp) > 15 {
		return 0, line
	}
	for _, c := range stamp {
		if c < '0' || c > '9' {
			return 0, line
		}
		unixMilli = unixMilli*10 + int64(c-'0')
	}
	return unixMilli, text
}
