package value

import "strings"

// delimiters are what a format may hold between its elements (format_datetime).
const delimiters = " /-:,._[]T"

// FormatDate writes a moment by a format of format_datetime; false for a format that has
// something else than its elements and delimiters.
func FormatDate(ticks int64, format string) (string, bool) {
	c := CivilOf(ticks)
	hour12 := (c.Hour+11)%12 + 1
	var b []byte
	for i := 0; i < len(format); {
		n := run(format[i:])
		switch ch := format[i]; {
		case ch == 'd' && n <= 2:
			b = pad(b, c.Day, n)
		case ch == 'M' && n <= 2:
			b = pad(b, c.Month, n)
		case ch == 'y' && n <= 2:
			b = pad(b, c.Year%100, n)
		case ch == 'y' && n <= 5:
			b = pad(b, c.Year, n)
		case ch == 'h' && n <= 2:
			b = pad(b, hour12, n)
		case ch == 'H' && n <= 2:
			b = pad(b, c.Hour, n)
		case ch == 'm' && n <= 2:
			b = pad(b, c.Minute, n)
		case ch == 's' && n <= 2:
			b = pad(b, c.Second, n)
		case (ch == 'f' || ch == 'F') && n <= 7:
			b = fraction(b, c.Fraction, n, ch == 'F')
		case ch == 't' && n <= 2:
			b = append(b, [2]string{"AM", "PM"}[bit(c.Hour >= 12)][:n]...)
		case strings.IndexByte(delimiters, ch) >= 0 || ch == 'Z':
			b = append(b, format[i:i+n]...)
		default:
			return "", false
		}
		i += n
	}
	return string(b), true
}

// FormatSpan writes a length of time by a format of format_timespan; false as FormatDate.
func FormatSpan(t int64, format string) (string, bool) {
	var b []byte
	if t < 0 {
		b, t = append(b, '-'), -t
	}
	for i := 0; i < len(format); {
		n := run(format[i:])
		switch ch := format[i]; {
		case ch == 'd' && n <= 8:
			b = pad(b, int(t/Day), n)
		case (ch == 'h' || ch == 'H') && n <= 2:
			b = pad(b, int(t/Hour%24), n)
		case ch == 'm' && n <= 2:
			b = pad(b, int(t/Minute%60), n)
		case ch == 's' && n <= 2:
			b = pad(b, int(t/Second%60), n)
		case (ch == 'f' || ch == 'F') && n <= 7:
			b = fraction(b, int(t%Second), n, ch == 'F')
		case strings.IndexByte(delimiters, ch) >= 0:
			b = append(b, format[i:i+n]...)
		default:
			return "", false
		}
		i += n
	}
	return string(b), true
}

// run is the length of the run of the first character.
func run(s string) int {
	n := 1
	for n < len(s) && s[n] == s[0] {
		n++
	}
	return n
}

func fraction(b []byte, ticks, width int, trim bool) []byte {
	for range 7 - width {
		ticks /= 10
	}
	if !trim {
		return pad(b, ticks, width)
	}
	if ticks == 0 {
		return b
	}
	for ticks%10 == 0 {
		ticks, width = ticks/10, width-1
	}
	return pad(b, ticks, width)
}
