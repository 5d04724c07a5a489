package expr

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FormatTime formats a time by a custom date and time format of .NET, as used
// in format('{0:yyyyMMdd}', …) and in the run name token $(Date:yyyyMMdd).
// Names are English. A quoted part stands for itself, a backslash takes the next
// character literally, and so does every letter that has no meaning.
func FormatTime(t time.Time, layout string) string {
	var out strings.Builder
	for i := 0; i < len(layout); {
		c := layout[i]
		switch c {
		case '\'', '"':
			end := strings.IndexByte(layout[i+1:], c)
			if end < 0 {
				end = len(layout) - i - 1
			}
			out.WriteString(layout[i+1 : i+1+end])
			i += end + 2
			continue
		case '\\':
			i++
			if i < len(layout) {
				out.WriteByte(layout[i])
			}
			i++
			continue
		}
		run := 1
		for i+run < len(layout) && layout[i+run] == c {
			run++
		}
		out.WriteString(timeField(t, c, run, layout[i:i+run]))
		i += run
	}
	return out.String()
}

// timeField formats one run of equal letters; literal is the run itself.
func timeField(t time.Time, letter byte, run int, literal string) string {
	switch letter {
	case 'y':
		return yearField(t, run)
	case 'M':
		return namedField(int(t.Month()), run, t.Month().String())
	case 'd':
		return namedField(t.Day(), run, t.Weekday().String())
	case 'H':
		return padded(t.Hour(), min(run, 2))
	case 'h':
		return padded((t.Hour()+11)%12+1, min(run, 2))
	case 'm':
		return padded(t.Minute(), min(run, 2))
	case 's':
		return padded(t.Second(), min(run, 2))
	case 'f', 'F':
		digits := fmt.Sprintf("%09d", t.Nanosecond())[:min(run, 7)]
		if letter == 'F' {
			digits = strings.TrimRight(digits, "0")
		}
		return digits
	case 't':
		if mark := t.Format("PM"); run > 1 {
			return mark
		}
		return t.Format("PM")[:1]
	case 'z':
		return zoneField(t, run)
	case 'K':
		return t.Format("Z07:00")
	}
	return literal
}

func yearField(t time.Time, run int) string {
	if run <= 2 {
		return padded(t.Year()%100, run)
	}
	return padded(t.Year(), run)
}

// namedField formats months and days: one or two letters are the number, three
// the short name and more the name.
func namedField(number, run int, name string) string {
	switch run {
	case 1, 2:
		return padded(number, run)
	case 3:
		return name[:3]
	}
	return name
}

func zoneField(t time.Time, run int) string {
	_, seconds := t.Zone()
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	hours, minutes := seconds/3600, seconds/60%60
	switch run {
	case 1, 2:
		return sign + padded(hours, run)
	}
	return fmt.Sprintf("%s%02d:%02d", sign, hours, minutes)
}

func padded(n, width int) string {
	digits := strconv.Itoa(n)
	return strings.Repeat("0", max(width-len(digits), 0)) + digits
}
