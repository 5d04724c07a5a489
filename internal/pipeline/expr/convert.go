package expr

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Truthy converts the value to a Boolean, which always succeeds (X100 to X106).
func (v Value) Truthy() bool {
	switch v.kind {
	case Null:
		return false
	case Boolean:
		return v.boolean
	case Number:
		return v.number.Sign() != 0
	case String:
		return v.text != ""
	}
	return true
}

// Text converts the value to a string; ok is false for arrays and objects,
// which have no text.
func (v Value) Text() (text string, ok bool) {
	switch v.kind {
	case Null:
		return "", true
	case Boolean:
		if v.boolean {
			return "True", true
		}
		return "False", true
	case Number:
		if v.text != "" {
			return v.text, true
		}
		return formatNumber(v.number), true
	case String:
		return v.text, true
	case Version:
		return v.version.String(), true
	case DateTime:
		return v.time.Format("2006-01-02 15:04:05-07:00"), true
	}
	return "", false
}

// asNumber converts the value to a number, and says whether that is possible.
func (v Value) asNumber() (*big.Rat, bool) {
	switch v.kind {
	case Null:
		return new(big.Rat), true
	case Boolean:
		if v.boolean {
			return big.NewRat(1, 1), true
		}
		return new(big.Rat), true
	case Number:
		return v.number, true
	case String:
		if v.text == "" {
			return new(big.Rat), true
		}
		return parseNumber(v.text)
	}
	return nil, false
}

func (v Value) asVersion() (version, bool) {
	switch v.kind {
	case Version:
		return v.version, true
	case Number, String:
		text, _ := v.Text()
		return parseVersion(text)
	}
	return version{}, false
}

func (v Value) asTime() (time.Time, bool) {
	switch v.kind {
	case DateTime:
		return v.time, true
	case String:
		return parseTime(v.text)
	}
	return time.Time{}, false
}

// isNull reports whether the value converts to null: null itself and the empty
// string do.
func (v Value) isNull() bool { return v.kind == Null || v.kind == String && v.text == "" }

// numberPattern is the invariant number style of the service: sign, thousands,
// decimal point, white space around. There are no exponents.
var numberPattern = regexp.MustCompile(`^[\t-\r ]*[+-]?(?:\d[\d,]*(?:\.\d*)?|\.\d+)[\t-\r ]*$`)

// numberLimit is the largest number of the service, 2^96 − 1.
var numberLimit = new(big.Rat).SetInt(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 96), big.NewInt(1)))

func parseNumber(text string) (*big.Rat, bool) {
	if len(text) > 256 || !numberPattern.MatchString(text) {
		return nil, false
	}
	clean := strings.ReplaceAll(strings.TrimFunc(text, isSpaceRune), ",", "")
	number, ok := new(big.Rat).SetString(strings.TrimSuffix(clean, "."))
	if !ok || new(big.Rat).Abs(number).Cmp(numberLimit) > 0 {
		return nil, false
	}
	return number, true
}

// formatNumber writes a number with at most seven decimals and without trailing
// zeros ("0.#######").
func formatNumber(n *big.Rat) string {
	if n.IsInt() {
		return n.Num().String()
	}
	text := strings.TrimRight(strings.TrimRight(n.FloatString(7), "0"), ".")
	if text == "-0" {
		return "0"
	}
	return text
}

// version is a version of two to four parts; parts that are missing are -1.
type version struct{ parts [4]int }

func parseVersion(text string) (version, bool) {
	v := version{parts: [4]int{-1, -1, -1, -1}}
	segments := strings.Split(strings.TrimFunc(text, isSpaceRune), ".")
	if len(segments) < 2 || len(segments) > 4 {
		return version{}, false
	}
	for i, segment := range segments {
		n, err := strconv.ParseInt(strings.TrimFunc(segment, isSpaceRune), 10, 32)
		if err != nil || n < 0 {
			return version{}, false
		}
		v.parts[i] = int(n)
	}
	return v, true
}

// String returns the parts that the version has, joined by dots.
func (v version) String() string {
	var segments []string
	for _, part := range v.parts {
		if part >= 0 {
			segments = append(segments, strconv.Itoa(part))
		}
	}
	return strings.Join(segments, ".")
}

func (v version) compare(other version) int {
	for i, part := range v.parts {
		if part != other.parts[i] {
			if part < other.parts[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

var timePattern = regexp.MustCompile(`^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,7}))?)?\s*(Z|[+-]\d{1,2}:\d{2})?$`)

// parseTime reads a point in time as the service does; without a zone it is UTC.
func parseTime(text string) (time.Time, bool) {
	m := timePattern.FindStringSubmatch(strings.TrimFunc(text, isSpaceRune))
	if m == nil || m[4] == "" {
		return time.Time{}, false
	}
	field := func(i int) int { n, _ := strconv.Atoi(m[i]); return n }
	nanos, _ := strconv.Atoi((m[7] + "000000000")[:9])
	zone := time.UTC
	if z := m[8]; z != "" && z != "Z" {
		hours, minutes, _ := strings.Cut(z[1:], ":")
		h, _ := strconv.Atoi(hours)
		min, _ := strconv.Atoi(minutes)
		seconds := h*3600 + min*60
		if z[0] == '-' {
			seconds = -seconds
		}
		if h > 14 || min > 59 {
			return time.Time{}, false
		}
		zone = time.FixedZone("", seconds)
	}
	t := time.Date(field(1), time.Month(field(2)), field(3), field(4), field(5), field(6), nanos, zone)
	valid := int(t.Month()) == field(2) && t.Day() == field(3) && t.Hour() == field(4) && t.Minute() == field(5) && t.Second() == field(6)
	return t, valid
}

func isSpaceRune(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

// Int converts the value to a whole number, and says whether it is one.
func (v Value) Int() (int64, bool) {
	number, ok := v.asNumber()
	if !ok || !number.IsInt() || !number.Num().IsInt64() {
		return 0, false
	}
	return number.Num().Int64(), true
}
