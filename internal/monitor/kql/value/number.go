package value

import (
	"math"
	"strconv"
	"strings"
)

// Real writes a real as .NET does: the shortest digits that read back, with ".0" when
// whole, and an exponent of two digits from 1E+15 up and below 1E-4.
func Real(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0:
		return "0.0"
	}
	a := math.Abs(f)
	if a >= 1e15 || a < 1e-4 {
		s := strconv.FormatFloat(f, 'E', -1, 64)
		return s
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// String writes a cell as tostring does. Null is "".
func String(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return Real(x)
	case DateTime:
		return FormatDateTime(int64(x))
	case TimeSpan:
		return FormatTimeSpan(int64(x))
	case GUID:
		return string(x)
	}
	return JSON(v)
}

// ParseLong reads a whole number, decimal or 0x hexadecimal.
func ParseLong(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	t := strings.TrimPrefix(s, "-")
	if len(t) > 2 && t[0] == '0' && t[1]|0x20 == 'x' {
		u, err := strconv.ParseUint(t[2:], 16, 64)
		n := int64(u)
		if len(t) < len(s) {
			n = -n
		}
		return n, err == nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// ParseReal reads a number.
func ParseReal(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	switch strings.ToLower(s) {
	case "nan":
		return math.NaN(), true
	case "infinity", "inf", "+inf", "+infinity":
		return math.Inf(1), true
	case "-infinity", "-inf":
		return math.Inf(-1), true
	}
	if strings.ContainsAny(s, "xXpP_nNiI") { // forms that only Go reads
		n, ok := ParseLong(s)
		return float64(n), ok
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// ParseBool reads true, false, 0, 1 and other whole numbers.
func ParseBool(s string) (value, ok bool) {
	switch s = strings.TrimSpace(s); strings.ToLower(s) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	n, ok := ParseLong(s)
	return n != 0, ok
}

// ParseGUID reads the usual forms of an identifier: 32 hexadecimal digits with or without
// dashes, in braces or parentheses or not.
func ParseGUID(s string) (GUID, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 2 && (s[0] == '{' && s[len(s)-1] == '}' || s[0] == '(' && s[len(s)-1] == ')') {
		s = s[1 : len(s)-1]
	}
	if len(s) > 36 {
		return "", false
	}
	if s = strings.ToLower(strings.ReplaceAll(s, "-", "")); len(s) != 32 {
		return "", false
	}
	for i := range len(s) {
		if !strings.Contains(hexDigits, s[i:i+1]) {
			return "", false
		}
	}
	return GUID(s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]), true
}
