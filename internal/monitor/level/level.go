package level

import (
	"bytes"
	"strconv"

	"towpath.dev/towpath/internal/monitor/table"
)

// The values of column LogLevel, as the table reference of ContainerLogV2 lists them.
const (
	Critical = "CRITICAL"
	Error    = "ERROR"
	Warning  = "WARNING"
	Info     = "INFO"
	Debug    = "DEBUG"
	Trace    = "TRACE"
	Unknown  = "UNKNOWN"
)

// Of infers how serious a line is. object says that it is a JSON object. In this order
// count: the level of a structured record (JSON, then key=value), the prefixes of klog and
// syslog, a level's name in the head of the line, and a word of it anywhere.
func Of(text []byte, object bool) string {
	if object {
		return ofObject(text)
	}
	text = stripColour(table.Clip(text, 4<<10))
	if l := ofPair(text); l != "" {
		return l
	}
	if l := ofPrefix(text); l != "" {
		return l
	}
	return ofWords(text)
}

// OfWord maps the names that logging libraries give their levels; "" for any other
// word. The word may be in any case, with a slog offset ("ERROR+2") behind it.
func OfWord(word []byte) string {
	if i := bytes.IndexAny(word, "+-"); i > 0 {
		word = word[:i]
	}
	var buf [16]byte
	if len(word) == 0 || len(word) > len(buf) {
		return ""
	}
	for i, c := range word {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	switch string(buf[:len(word)]) {
	case "fatal", "critical", "crit", "ftl", "panic", "dpanic", "alert", "emerg", "emergency":
		return Critical
	case "error", "err", "eror", "severe", "fail":
		return Error
	case "warning", "warn", "wrn", "wn":
		return Warning
	case "info", "information", "informational", "notice", "inf", "nfo":
		return Info
	case "debug", "dbug", "dbg", "fine", "deb":
		return Debug
	case "trace", "trce", "trc", "finer", "finest", "verbose", "vrb", "silly":
		return Trace
	}
	return ""
}

// ofLetter maps the one-letter levels of klog, MongoDB and Android's logcat.
func ofLetter(c byte) string {
	switch c {
	case 'F', 'C':
		return Critical
	case 'E':
		return Error
	case 'W':
		return Warning
	case 'I':
		return Info
	case 'D':
		return Debug
	case 'T', 'V':
		return Trace
	}
	return ""
}

// ofNumber maps the numbers of syslog (RFC 5424: 0 to 7) and of bunyan and pino (10,
// 20, … 60; values between count as the one below).
func ofNumber(n int) string {
	switch {
	case n < 0 || n > 100:
		return ""
	case n >= 60 || n < 3:
		return Critical
	case n >= 50 || n == 3:
		return Error
	case n >= 40 || n == 4:
		return Warning
	case n >= 30 || n == 5 || n == 6:
		return Info
	case n >= 20 || n == 7:
		return Debug
	case n >= 10:
		return Trace
	}
	return ""
}

// OfSeverity maps OpenTelemetry's SeverityNumber, 1 to 24.
func OfSeverity(n int) string {
	if n < 1 || n > 24 {
		return ""
	}
	return [...]string{Trace, Debug, Info, Warning, Error, Critical}[(n-1)/4]
}

// Said reports whether a line names its level where records do: in a pair level=…, or in
// the prefix of klog, syslog or Redis.
func Said(text []byte) bool { return ofPair(text) != "" || ofPrefix(text) != "" }

// ofPair finds level=… in a line of key=value pairs.
func ofPair(text []byte) string {
	rest := text
	for {
		i := bytes.IndexByte(rest, '=')
		if i < 0 {
			return ""
		}
		key := rest[:i]
		key = key[bytes.LastIndexAny(key, " \t,;{[(|")+1:]
		rest = rest[i+1:]
		if isLevelKey(key) {
			value := bytes.TrimLeft(rest, `"'`)
			if end := bytes.IndexAny(value, " \t,;\"'|})]"); end >= 0 {
				value = value[:end]
			}
			if l := ofValue(value); l != "" {
				return l
			}
		}
	}
}

// ofValue maps the value of a field that is named as a level.
func ofValue(value []byte) string {
	if l := OfWord(value); l != "" {
		return l
	}
	if len(value) == 1 {
		if l := ofLetter(value[0] &^ 0x20); l != "" && (value[0] < '0' || value[0] > '9') {
			return l
		}
	}
	if n, err := strconv.Atoi(string(value)); err == nil && len(value) < 4 {
		return ofNumber(n)
	}
	return ""
}

// isLevelKey reports whether a field of this name holds the level.
func isLevelKey(key []byte) bool {
	var buf [16]byte
	if len(key) < 2 || len(key) > len(buf) {
		return false
	}
	for i, c := range key {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	switch string(buf[:len(key)]) {
	case "level", "lvl", "severity", "@l", "@level", "log.level", "loglevel", "log_level", "levelname", "severitytext", "severity_text", "level_name":
		return true
	}
	return false
}

// ofPrefix knows klog ("E0305 12:00:00.1 …"), syslog ("<11>…") and the sign in the
// lines of Redis ("1:M 05 Mar 2026 12:00:00.000 # …").
func ofPrefix(text []byte) string {
	if len(text) > 14 && decimal(text[1:5]) > 0 && text[5] == ' ' && text[8] == ':' && text[11] == ':' {
		return ofLetter(text[0])
	}
	if len(text) > 3 && text[0] == '<' {
		if i := bytes.IndexByte(text[:min(len(text), 5)], '>'); i > 1 {
			if n := decimal(text[1:i]); n >= 0 && n < 192 {
				return ofNumber(n & 7)
			}
		}
	}
	if i := bytes.IndexByte(text, ':'); i > 0 && i < 8 && decimal(text[:i]) >= 0 && len(text) > i+2 && bytes.IndexByte([]byte("MSCX"), text[i+1]) >= 0 && text[i+2] == ' ' {
		for _, f := range bytes.Fields(table.Clip(text, 48)) {
			switch string(f) {
			case "#":
				return Warning
			case "*":
				return Info
			case "-":
				return Debug
			case ".":
				return Debug
			}
		}
	}
	return ""
}

// stripColour removes the escape sequences of a terminal from the head of a line, where
// they stand around the level.
func stripColour(text []byte) []byte {
	if bytes.IndexByte(text, 0x1b) < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == 0x1b && i+1 < len(text) && text[i+1] == '[' {
			for i += 2; i < len(text) && (text[i] < '@' || text[i] > '~'); i++ {
			}
			continue
		}
		out = append(out, text[i])
	}
	return out
}

// decimal reads a decimal number, -1 when there is another character.
func decimal(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}
