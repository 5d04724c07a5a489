package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// HoursRule is when a stage may start (C006). A window that ends before it begins goes over
// midnight, and belongs to the day on which it begins.
type HoursRule struct {
	Days  []string `json:"days"`  // "mon" to "sun"
	Start string   `json:"start"` // "09:00"
	End   string   `json:"end"`   // "17:30"
	Zone  string   `json:"zone"`  // "Europe/Rome"; "UTC"
}

var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (r *HoursRule) check() error {
	if len(r.Days) == 0 || len(r.Days) > len(days) {
		return fault.New(fault.Invalid, "Business hours have 1 to 7 days.")
	}
	for i, d := range r.Days {
		if !slices.Contains(days, d) || slices.Contains(r.Days[:i], d) {
			return fault.New(fault.Invalid, "%q is no day, or named twice: use mon, tue, wed, thu, fri, sat, sun.", clip(d))
		}
	}
	for _, text := range []string{r.Start, r.End} {
		if _, err := time.Parse("15:04", text); err != nil || len(text) != 5 {
			return fault.New(fault.Invalid, "%q is no time of the day.", clip(text)).WithNext("write it as 09:00")
		}
	}
	if r.Start == r.End {
		return fault.New(fault.Invalid, "Business hours that end when they begin are no hours.")
	}
	if _, err := r.location(); err != nil {
		return err
	}
	return nil
}

func (r *HoursRule) location() (*time.Location, error) {
	if r.Zone == "" || r.Zone == "Local" || len(r.Zone) > 64 || strings.Contains(r.Zone, "..") {
		return nil, fault.New(fault.Invalid, "Business hours need a time zone.").WithNext("write it as Europe/Rome, or UTC")
	}
	l, err := time.LoadLocation(r.Zone)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%q is no time zone.", clip(r.Zone)).WithNext("write it as Europe/Rome, or UTC")
	}
	return l, nil
}

// judge says whether the time is within the hours, and when that changes.
func (r *HoursRule) judge(now time.Time) (Status, string, time.Time) {
	zone, err := r.location()
	if err != nil {
		return Refused, err.Error(), time.Time{}
	}
	local := now.In(zone)
	for offset := -1; offset <= 7; offset++ {
		day := time.Date(local.Year(), local.Month(), local.Day()+offset, 0, 0, 0, 0, zone)
		if !slices.Contains(r.Days, days[day.Weekday()]) {
			continue
		}
		start, end := at(day, r.Start), at(day, r.End)
		if r.End < r.Start {
			end = at(day.AddDate(0, 0, 1), r.End)
		}
		switch {
		case now.Before(start):
			return Waiting, fmt.Sprintf("opens %s", start.Format("Mon 2006-01-02 15:04 MST")), start
		case now.Before(end):
			return Passed, fmt.Sprintf("open until %s", end.Format("15:04 MST")), end
		}
	}
	return Refused, "these hours never come", time.Time{} // check lets no such rule pass.
}

// at is a time of a day on the clock of its zone.
func at(day time.Time, clock string) time.Time {
	t, err := time.Parse("15:04", clock)
	if err != nil {
		return day
	}
	return time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), 0, 0, day.Location())
}
