package cron_test

import (
	"testing"
	"time"

	"towpath.dev/towpath/internal/pipeline/cron"
)

func TestX020Next(t *testing.T) {
	for _, tt := range []struct{ name, cron, after, want string }{
		{"every minute", "* * * * *", "2026-03-01T10:00:30Z", "2026-03-01T10:01:00Z"},
		{"never the same minute twice", "0 3 * * *", "2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z"},
		{"steps", "*/15 8-10/2 * * *", "2026-03-01T08:45:00Z", "2026-03-01T10:00:00Z"},
		{"a step from a number", "10/20 * * * *", "2026-03-01T08:31:00Z", "2026-03-01T08:50:00Z"},
		{"names of days", "0 0 * * Mon-Fri", "2026-02-27T12:00:00Z", "2026-03-02T00:00:00Z"},
		{"full names", "0 0 * January Sunday", "2026-03-01T00:00:00Z", "2027-01-03T00:00:00Z"},
		{"seven is Sunday", "0 0 * * 7", "2026-03-02T00:00:00Z", "2026-03-08T00:00:00Z"},
		{"either kind of day", "0 0 13 * Fri", "2026-03-10T00:00:00Z", "2026-03-13T00:00:00Z"},
		{"either kind of day, the other", "0 0 14 * Fri", "2026-03-13T00:00:00Z", "2026-03-14T00:00:00Z"},
		{"over the end of a year", "0 0 1 1 *", "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z"},
		{"a leap day", "0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"lists", "5,35 1,13 * * *", "2026-03-01T01:35:00Z", "2026-03-01T13:05:00Z"},
		{"another zone is read as UTC", "0 3 * * *", "2026-03-01T05:00:00+03:00", "2026-03-01T03:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := cron.Parse(tt.cron)
			if err != nil {
				t.Fatal(err)
			}
			after, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Next(after).Format(time.RFC3339); got != tt.want {
				t.Errorf("after %s comes %s, want %s", tt.after, got, tt.want)
			}
		})
	}
}

func TestX020Refused(t *testing.T) {
	for _, text := range []string{"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *", "a * * * *", "+1 * * * *", "0 0 31 2 *", ", * * * *", "-1 * * * *", "* * * Janx1 *"} {
		if s, err := cron.Parse(text); err == nil {
			t.Errorf("%q is accepted and comes %s", text, s.Next(time.Unix(0, 0)))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("*/5 1-2,3 * Jan Mon")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := cron.Parse(text)
		if err == nil && s.Next(time.Unix(0, 0)).IsZero() {
			t.Errorf("%q is accepted and never comes", text)
		}
	})
}
