// Package cron reads the five fields of a schedule and says when they come next (X020).
// The fields are minutes, hours, days of the month, months and days of the week, in UTC.
// A field is "*" or a list of numbers, names (Jan, Monday, mon), ranges and steps ("*/15",
// "8-18/2"). When both kinds of days are restricted, a day that either names counts, as in
// every cron. It imports the standard library only.
package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule is when something is due. The zero Schedule never is.
type Schedule struct {
	minutes, hours, days, months, weekdays uint64 // bit n for the number n
	anyDay, anyWeekday                     bool   // the field begins with "*"
}

// field is what may stand in one of the five places.
type field struct {
	name     string
	min, max int
	names    []string // of min, min+1, …, by their first three letters
}

var (
	months   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// maxText bounds an expression.
const maxText = 500

// Parse reads an expression of five fields. The error is for the user.
func Parse(text string) (Schedule, error) {
	var s Schedule
	fields := strings.Fields(text)
	if len(fields) != 5 || len(text) > maxText {
		return s, fmt.Errorf("a schedule has five fields (minutes, hours, days, months, days of the week); %q has %d", clip(text), len(fields))
	}
	places := []struct {
		field
		into *uint64
	}{
		{field{name: "minutes", max: 59}, &s.minutes},
		{field{name: "hours", max: 23}, &s.hours},
		{field{name: "days of the month", min: 1, max: 31}, &s.days},
		{field{name: "months", min: 1, max: 12, names: months}, &s.months},
		{field{name: "days of the week", max: 7, names: weekdays}, &s.weekdays},
	}
	for i, p := range places {
		set, err := p.parse(fields[i])
		if err != nil {
			return Schedule{}, err
		}
		*p.into = set
	}
	if s.weekdays&(1<<7) != 0 { // 7 is Sunday too
		s.weekdays |= 1
	}
	s.anyDay, s.anyWeekday = fields[2][0] == '*', fields[4][0] == '*'
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, fmt.Errorf("the schedule %q never comes: no such day is in its months", clip(text))
	}
	return s, nil
}

func (f field) parse(text string) (uint64, error) {
	var set uint64
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 || n > f.max {
				return 0, f.wrong(part)
			}
			step = n
		}
		from, to := f.min, f.max
		if f.names != nil && f.max == 7 {
			to = 6
		}
		if span != "*" {
			low, high, ranged := strings.Cut(span, "-")
			var ok bool
			if from, ok = f.number(low); !ok {
				return 0, f.wrong(part)
			}
			switch {
			case ranged:
				if to, ok = f.number(high); !ok || to < from {
					return 0, f.wrong(part)
				}
			case !stepped:
				to = from
			}
		}
		for n := from; n <= to; n += step {
			set |= 1 << n
		}
	}
	return set, nil
}

// number reads a number or a name.
func (f field) number(text string) (int, bool) {
	if len(text) >= 3 {
		for i, name := range f.names {
			if strings.EqualFold(text[:3], name) && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz") == "" {
				return f.min + i, true
			}
		}
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && text[0] != '+' && n >= f.min && n <= f.max
}

func (f field) wrong(part string) error {
	return fmt.Errorf("%q is nothing that can stand in the %s of a schedule (%d to %d)", clip(part), f.name, f.min, f.max)
}

// Next is the first minute after a time at which the schedule is due, in UTC; zero when
// there is none in the next eight years, which hold a 29 February.
func (s Schedule) Next(after time.Time) time.Time {
	t := after.UTC().Truncate(time.Minute).Add(time.Minute)
	end := t.AddDate(8, 0, 1)
	for t.Before(end) {
		switch {
		case s.months&(1<<int(t.Month())) == 0:
			t = time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		case !s.day(t):
			t = time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
		case s.hours&(1<<t.Hour()) == 0:
			t = t.Truncate(time.Hour).Add(time.Hour)
		case s.minutes&(1<<t.Minute()) == 0:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

func (s Schedule) day(t time.Time) bool {
	day, weekday := s.days&(1<<t.Day()) != 0, s.weekdays&(1<<int(t.Weekday())) != 0
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }
