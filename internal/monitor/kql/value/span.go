package value

import (
	"math"
	"strconv"
	"strings"
)

// FormatTimeSpan writes a length of time as tostring does: [-][d.]hh:mm:ss[.fffffff].
func FormatTimeSpan(t int64) string {
	b := make([]byte, 0, 26)
	u := uint64(t)
	if t < 0 {
		b, u = append(b, '-'), -u
	}
	if d := u / uint64(Day); d > 0 {
		b = append(strconv.AppendUint(b, d, 10), '.')
	}
	b = append(pad(b, int(u/uint64(Hour)%24), 2), ':')
	b = append(pad(b, int(u/uint64(Minute)%60), 2), ':')
	b = pad(b, int(u/uint64(Second)%60), 2)
	if f := int(u % uint64(Second)); f > 0 {
		b = pad(append(b, '.'), f, 7)
	}
	return string(b)
}

// IsUnit reports whether a timespan literal may end with a word, as 5m and 2hours do.
func IsUnit(word string) bool { return unitOf(word) != 0 }

// UnitTicks returns the length of a unit as datetime_add and datetime_diff spell it, in
// lower case; false for one that is none or has no one length in ticks, as a month or a
// nanosecond.
func UnitTicks(unit string) (int64, bool) {
	switch unit {
	case "week":
		return 7 * Day, true
	case "day":
		return Day, true
	case "hour":
		return Hour, true
	case "minute":
		return Minute, true
	case "second":
		return Second, true
	case "millisecond":
		return Millisecond, true
	case "microsecond":
		return Microsecond, true
	}
	return 0, false
}

// unitOf returns the ticks of a unit as timespan literals spell it, 0 for none.
func unitOf(s string) int64 {
	switch s {
	case "d", "day", "days":
		return Day
	case "h", "hr", "hrs", "hour", "hours":
		return Hour
	case "m", "min", "minute", "minutes":
		return Minute
	case "s", "sec", "second", "seconds":
		return Second
	case "ms", "milli", "millis", "millisec", "millisecond", "milliseconds":
		return Millisecond
	case "micro", "micros", "microsec", "microsecond", "microseconds":
		return Microsecond
	case "nano", "nanos", "nanosec", "nanosecond", "nanoseconds":
		return -100
	case "tick", "ticks":
		return 1
	}
	return 0
}

// ParseTimeSpan reads a length of time: [-][d.]hh:mm[:ss[.fffffff]], a number of days, or
// a number with a unit such as 1.5h.
func ParseTimeSpan(s string) (TimeSpan, bool) {
	s = strings.TrimSpace(s)
	negative := strings.HasPrefix(s, "-")
	body := strings.TrimPrefix(s, "-")
	if body == "" || len(body) > 64 {
		return 0, false
	}
	var t int64
	var ok bool
	if strings.Contains(body, ":") {
		t, ok = clockSpan(body)
	} else {
		t, ok = unitSpan(body)
	}
	if negative {
		t = -t
	}
	return TimeSpan(t), ok
}

func unitSpan(s string) (int64, bool) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	unit := Day
	if u := strings.TrimSpace(s[i:]); u != "" {
		unit = unitOf(strings.ToLower(u))
	}
	if unit == 0 || i == 0 {
		return 0, false
	}
	if n, err := strconv.ParseInt(s[:i], 10, 64); err == nil {
		if unit < 0 {
			return n / -unit, true
		}
		return n * unit, n <= math.MaxInt64/unit
	}
	f, err := strconv.ParseFloat(s[:i], 64)
	if unit < 0 {
		f /= float64(-unit)
	} else {
		f *= float64(unit)
	}
	if err != nil || f >= math.MaxInt64 {
		return 0, false
	}
	return int64(math.Round(f)), true
}

func clockSpan(s string) (int64, bool) {
	parts := strings.Split(s, ":")
	if len(parts) > 4 {
		return 0, false
	}
	days := 0
	if d, h, ok := strings.Cut(parts[0], "."); ok {
		n, w, rest := digits(d, 8)
		if w == 0 || rest != "" {
			return 0, false
		}
		days, parts[0] = n, h
	} else if len(parts) == 4 { // d:hh:mm:ss
		n, w, rest := digits(parts[0], 8)
		if w == 0 || rest != "" {
			return 0, false
		}
		days, parts = n, parts[1:]
	}
	if len(parts) > 3 {
		return 0, false
	}
	t := int64(days) * Day
	for i, unit := range []int64{Hour, Minute, Second}[:len(parts)] {
		p, fraction := parts[i], ""
		if unit == Second {
			p, fraction, _ = strings.Cut(p, ".")
		}
		n, w, rest := digits(p, 8)
		if w == 0 || rest != "" || unit != Hour && n > 59 || unit == Hour && n > 23 {
			return 0, false
		}
		f, w, rest := digits(fraction, 7)
		for ; w < 7; w++ {
			f *= 10
		}
		if _, _, rest = digits(rest, len(rest)); rest != "" {
			return 0, false
		}
		t += int64(n)*unit + int64(f)
	}
	return t, true
}
