package value

import (
	"strconv"
	"strings"
)

// Civil is a moment taken apart.
type Civil struct {
	Year, Month, Day, Hour, Minute, Second int
	Fraction                               int // ticks in the second
}

const daysTo1970 = 719_162 // from 0001-01-01

// CivilOf takes a moment apart.
func CivilOf(ticks int64) Civil {
	days, rest := FloorDiv(ticks, Day)
	y, m, d := civilOfDays(days - daysTo1970)
	return Civil{
		Year: y, Month: m, Day: d,
		Hour: int(rest / Hour), Minute: int(rest / Minute % 60), Second: int(rest / Second % 60), Fraction: int(rest % Second),
	}
}

// FloorDiv divides towards minus infinity; d is positive.
func FloorDiv(n, d int64) (quotient, rest int64) {
	q, r := n/d, n%d
	if r < 0 {
		q, r = q-1, r+d
	}
	return q, r
}

// civilOfDays is the proleptic Gregorian date of a day since 1970-01-01: eras of 400 years
// that begin with March.
func civilOfDays(z int64) (year, month, day int) {
	z += 719_468
	era, doe := FloorDiv(z, 146_097)
	yoe := (doe - doe/1460 + doe/36_524 - doe/146_096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	if month > 12 {
		month -= 12
	}
	year = int(yoe + era*400)
	if month <= 2 {
		year++
	}
	return year, month, day
}

func daysOfCivil(year, month, day int) int64 {
	y := int64(year)
	if month <= 2 {
		y--
	}
	era, yoe := FloorDiv(y, 400)
	mp := int64(month+9) % 12
	doy := (153*mp+2)/5 + int64(day) - 1
	return era*146_097 + yoe*365 + yoe/4 - yoe/100 + doy - 719_468
}

// DaysIn returns the length of a month.
func DaysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// Ticks puts a moment together; false when a part is out of its range.
func (c Civil) Ticks() (int64, bool) {
	if c.Year < 1 || c.Year > 9999 || c.Month < 1 || c.Month > 12 || c.Day < 1 || c.Day > DaysIn(c.Year, c.Month) ||
		c.Hour < 0 || c.Hour > 23 || c.Minute < 0 || c.Minute > 59 || c.Second < 0 || c.Second > 59 {
		return 0, false
	}
	days := daysOfCivil(c.Year, c.Month, c.Day) + daysTo1970
	return days*Day + int64(c.Hour)*Hour + int64(c.Minute)*Minute + int64(c.Second)*Second + int64(c.Fraction), true
}

// YearDay returns the day of the year from 1.
func (c Civil) YearDay() int {
	return int(daysOfCivil(c.Year, c.Month, c.Day)-daysOfCivil(c.Year, 1, 1)) + 1
}

// WeekDay returns the day of the week of a moment, Sunday is 0.
func WeekDay(ticks int64) int {
	days, _ := FloorDiv(ticks, Day)
	_, w := FloorDiv(days+1, 7) // 0001-01-01 was a Monday
	return int(w)
}

// AddMonths moves a moment by months; a day that the month does not have becomes its last.
func AddMonths(ticks int64, months int64) (int64, bool) {
	c := CivilOf(ticks)
	y, m := FloorDiv(int64(c.Year)*12+int64(c.Month-1)+months, 12)
	if y < 1 || y > 9999 {
		return 0, false
	}
	c.Year, c.Month = int(y), int(m)+1
	c.Day = min(c.Day, DaysIn(c.Year, c.Month))
	return c.Ticks()
}

func pad(b []byte, n, width int) []byte {
	s := strconv.Itoa(n)
	for range width - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}

// FormatDateTime writes a moment as tostring does: 2020-01-31T08:09:10.1234567Z.
func FormatDateTime(ticks int64) string {
	c := CivilOf(ticks)
	b := make([]byte, 0, 28)
	b = append(pad(b, c.Year, 4), '-')
	b = append(pad(b, c.Month, 2), '-')
	b = append(pad(b, c.Day, 2), 'T')
	b = append(pad(b, c.Hour, 2), ':')
	b = append(pad(b, c.Minute, 2), ':')
	b = append(pad(b, c.Second, 2), '.')
	return string(append(pad(b, c.Fraction, 7), 'Z'))
}

// ParseDateTime reads the formats of "The datetime data type" (ISO 8601, RFC 822, RFC 850,
// sortable) and the month/day/year that .NET reads besides.
func ParseDateTime(s string) (DateTime, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return 0, false
	}
	var c Civil
	rest, ok := datePart(s, &c)
	if !ok {
		return 0, false
	}
	offset := int64(0)
	if rest = strings.TrimPrefix(rest, "T"); strings.TrimSpace(rest) != "" && rest != "Z" {
		if rest, ok = clockPart(strings.TrimSpace(rest), &c); !ok {
			return 0, false
		}
		if offset, ok = zonePart(strings.TrimSpace(rest)); !ok {
			return 0, false
		}
	}
	t, ok := c.Ticks()
	t -= offset
	return DateTime(t), ok && t >= 0 && t <= MaxDateTime
}

// digits cuts up to max digits off the front.
func digits(s string, most int) (n, width int, rest string) {
	for width < len(s) && width < most && s[width] >= '0' && s[width] <= '9' {
		n = n*10 + int(s[width]-'0')
		width++
	}
	return n, width, s[width:]
}

var months = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

func monthOf(word string) int {
	if len(word) < 3 {
		return 0
	}
	for i, m := range months {
		if strings.EqualFold(word[:3], m) {
			return i + 1
		}
	}
	return 0
}

func letters(s string) (word, rest string) {
	i := 0
	for i < len(s) && (s[i]|0x20) >= 'a' && (s[i]|0x20) <= 'z' {
		i++
	}
	return s[:i], s[i:]
}

func datePart(s string, c *Civil) (string, bool) {
	if w, rest := letters(s); w != "" {
		if m := monthOf(w); m > 0 && len(w) != 6 || m > 0 && strings.EqualFold(w, "august") { // Nov 8, 2014; "Monday" is not a month
			return monthFirst(rest, m, c)
		}
		if len(w) < 3 || !strings.HasPrefix(rest, ",") {
			return "", false
		}
		s = strings.TrimSpace(rest[1:])
	}
	n, w, rest := digits(s, 8)
	if w == 0 || rest == "" && w != 4 && w != 8 {
		return "", false
	}
	switch {
	case w == 8: // 20141108
		c.Year, c.Month, c.Day = n/10000, n/100%100, n%100
		return rest, true
	case w == 4:
		return yearFirst(n, rest, c)
	case w <= 2 && rest[0] == '/' || w <= 2 && rest[0] == '-' && len(rest) > 1 && rest[1] <= '9' || w <= 2 && rest[0] == '.':
		return numbers(n, rest, c)
	case w <= 2 && (rest[0] == ' ' || rest[0] == '-'):
		word, after := letters(rest[1:])
		if c.Day, c.Month = n, monthOf(word); c.Month == 0 {
			return "", false
		}
		return shortYear(strings.TrimLeft(after, " -"), c)
	}
	return "", false
}

func monthFirst(s string, month int, c *Civil) (string, bool) {
	day, _, rest := digits(strings.TrimLeft(s, " -"), 2)
	c.Month, c.Day = month, day
	return shortYear(strings.TrimLeft(rest, " ,-"), c)
}

func shortYear(s string, c *Civil) (string, bool) {
	y, w, rest := digits(s, 4)
	switch w {
	case 4:
	case 2: // .NET's window of two-digit years
		if y += 2000; y > 2049 {
			y -= 100
		}
	default:
		return "", false
	}
	c.Year = y
	return rest, true
}

func yearFirst(year int, s string, c *Civil) (string, bool) {
	c.Year, c.Month, c.Day = year, 1, 1
	if s == "" {
		return "", true
	}
	sep := s[0]
	if sep != '-' && sep != '/' && sep != '.' {
		return "", false
	}
	m, w, rest := digits(s[1:], 2)
	if w == 0 {
		return "", false
	}
	c.Month = m
	if rest == "" {
		return "", true
	}
	if rest[0] != sep {
		return "", false
	}
	d, w, rest := digits(rest[1:], 2)
	c.Day = d
	return rest, w > 0
}

// numbers reads month/day/year.
func numbers(month int, s string, c *Civil) (string, bool) {
	sep := s[0]
	d, w, rest := digits(s[1:], 2)
	if w == 0 || rest == "" || rest[0] != sep {
		return "", false
	}
	c.Month, c.Day = month, d
	return shortYear(rest[1:], c)
}

func clockPart(s string, c *Civil) (string, bool) {
	h, w, rest := digits(s, 2)
	if w == 0 {
		return "", false
	}
	c.Hour = h
	if !strings.HasPrefix(rest, ":") {
		ok := halfDay(&rest, c) || rest == "" // "5 PM", "17"
		return rest, ok
	}
	m, w, rest := digits(rest[1:], 2)
	if w == 0 {
		return "", false
	}
	c.Minute = m
	if strings.HasPrefix(rest, ":") {
		if c.Second, w, rest = digits(rest[1:], 2); w == 0 {
			return "", false
		}
		if strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, ",") {
			n, w, after := digits(rest[1:], 7)
			for ; w < 7; w++ {
				n *= 10
			}
			c.Fraction = n
			_, _, rest = digits(after, len(after)) // finer than a tick
		}
	}
	halfDay(&rest, c)
	return rest, true
}

// halfDay takes AM or PM off the front.
func halfDay(s *string, c *Civil) bool {
	t := strings.TrimLeft(*s, " ")
	if len(t) < 2 || c.Hour < 1 || c.Hour > 12 {
		return false
	}
	switch strings.ToUpper(t[:2]) {
	case "PM":
		c.Hour = c.Hour%12 + 12
	case "AM":
		c.Hour %= 12
	default:
		return false
	}
	*s = t[2:]
	return true
}

// zonePart reads Z, GMT, UTC or an offset from UTC, in ticks.
func zonePart(s string) (int64, bool) {
	switch strings.ToUpper(s) {
	case "", "Z", "GMT", "UTC":
		return 0, true
	}
	if s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	h, w, rest := digits(s[1:], 2)
	if w == 0 {
		return 0, false
	}
	m, _, rest := digits(strings.TrimPrefix(rest, ":"), 2)
	if rest != "" || h > 14 || m > 59 {
		return 0, false
	}
	t := int64(h)*Hour + int64(m)*Minute
	if s[0] == '-' {
		t = -t
	}
	return t, true
}
