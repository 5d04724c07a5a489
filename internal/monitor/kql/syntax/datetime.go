package syntax

import (
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor/table"
)

// layouts are the forms of "The datetime data type": ISO 8601 first, then those of RFC 822
// and RFC 850.
var layouts = []string{
	"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999",
	"2006-01-02 15:04:05.999999999 Z07:00", "2006-1-2 15:04:05.999999999", "2006-1-2T15:04:05.999999999Z07:00",
	"2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15", "2006-01-02 15",
	"2006-01-02", "2006-1-2", "2006-01", "2006", "2006-01-02Z", "20060102", "2006-1-2 15:04",
	"Mon, 2 Jan 06 15:04:05 MST", "Mon, 2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 06 15:04 MST", "Mon, 2 Jan 2006 15:04 MST",
	"2 Jan 06 15:04:05 MST", "2 Jan 06 15:04 MST", "2 Jan 2006 15:04:05 MST", "2 Jan 06 15:04:05", "2 Jan 2006 15:04:05", "2 Jan 2006",
	"Monday, 02-Jan-06 15:04:05 MST", "Monday, 02-Jan-06 15:04:05", "02-Jan-06 15:04:05 MST", "02-Jan-06 15:04:05", "02-Jan-06",
	"01-02-2006", "01-02-2006 15:04:05", "1/2/2006 15:04:05.999999999", "1/2/2006 15:04", "1/2/2006", "1/2/2006 3:04:05 PM", "2006/01/02 15:04:05", "2006/01/02", "2006-01-02 3:04:05 PM",
	"2 Jan 2006 15:04", "Jan 2 2006", "Jan 2, 2006", "January 2, 2006", "2 January 2006",
	"Mon, 2 Jan 2006 15:04:05", "Mon, 2 Jan 06 15:04:05", "Mon Jan 2 15:04:05 2006", "Mon Jan 2 2006",
	"2006-01-02T15:04:05.999999999-0700",
}

// ParseDateTime reads a datetime in any of its documented forms, in ticks.
func ParseDateTime(s string) (any, bool) {
	s = strings.TrimSpace(s)
	switch strings.ToLower(s) {
	case "null", "":
		return nil, s != ""
	case "min":
		return int64(0), true
	case "max":
		return int64(3_155_378_975_999_999_999), true
	}
	// Go reads at most nine digits of a fraction and wants no lower-case marks.
	s = strings.NewReplacer(" UTC", " GMT").Replace(s)
	if n := len(s); n > 10 && s[n-1] == 'z' {
		s = s[:n-1] + "Z"
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if y := t.Year(); y < 1 || y > 9999 {
			return nil, false
		}
		return table.TicksOf(t), true
	}
	return nil, false
}

// FormatDateTime writes ticks as Kusto does: 2024-05-01T10:20:30.1234567Z.
func FormatDateTime(ticks int64) string {
	return table.TimeOf(ticks).Format("2006-01-02T15:04:05.0000000Z")
}

// FormatTimeSpan writes ticks as Kusto does: [-][d.]hh:mm:ss[.fffffff].
func FormatTimeSpan(ticks int64) string {
	sign := ""
	n := uint64(ticks)
	if ticks < 0 {
		sign, n = "-", -n
	}
	sec, frac := n/table.TicksPerSecond, n%table.TicksPerSecond
	out := fmt.Sprintf("%02d:%02d:%02d", sec/3600%24, sec/60%60, sec%60)
	if days := sec / 86400; days > 0 {
		out = fmt.Sprintf("%d.%s", days, out)
	}
	if frac > 0 {
		out += fmt.Sprintf(".%07d", frac)
	}
	return sign + out
}
