package scalar

import (
	"math"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func times() map[string]Func {
	out := map[string]Func{
		"now": row(now), "ago": row(ago),
		"format_datetime": fallible(formatter(func(v any, f string) (string, bool) {
			t, ok := value.To(v, table.DateTime).(value.DateTime)
			if !ok {
				return "", true
			}
			return value.FormatDate(int64(t), f)
		})),
		"format_timespan": fallible(formatter(func(v any, f string) (string, bool) {
			t, ok := value.To(v, table.TimeSpan).(value.TimeSpan)
			if !ok {
				return "", true
			}
			return value.FormatSpan(int64(t), f)
		})),
		"datetime_add": fallible(dateAdd), "datetime_diff": fallible(dateDiff), "datetime_part": fallible(datePart),
		"datetime_utc_to_local": fallible(zoneShift(1)), "datetime_local_to_utc": fallible(zoneShift(-1)),
		"make_datetime": strict(makeDateTime), "make_timespan": strict(makeTimeSpan),
		"dayofweek":                        times1(func(t int64) int64 { return int64(value.WeekDay(t)) * value.Day }),
		"unixtime_seconds_todatetime":      unixTime(float64(value.Second)),
		"unixtime_milliseconds_todatetime": unixTime(float64(value.Millisecond)),
		"unixtime_microseconds_todatetime": unixTime(float64(value.Microsecond)),
		"unixtime_nanoseconds_todatetime":  unixTime(0.01),
	}
	for name, part := range map[string]string{
		"dayofmonth": "day", "dayofyear": "dayofyear", "hourofday": "hour", "monthofyear": "month", "getmonth": "month", "getyear": "year",
		"week_of_year": "week_of_year",
	} {
		out[name] = times1(partOf(part))
	}
	for _, unit := range []string{"day", "week", "month", "year"} {
		out["startof"+unit] = strict(startOf(unit, 0))
		out["endof"+unit] = strict(startOf(unit, 1))
	}
	return out
}

func now(c *Call, a []any) any {
	t := c.Env.Now
	if len(a) > 0 {
		t += long(a[0])
	}
	return value.DateTime(t)
}

func ago(c *Call, a []any) any {
	if a[0] == nil {
		return nil
	}
	return value.DateTime(c.Env.Now - long(a[0]))
}

// times1 makes a function of a moment that gives a number.
func times1(f func(t int64) int64) Func {
	return Func{run: func(c *Call) (vec.Vec, error) {
		a := c.Args[0].Convert(table.DateTime, c.N)
		out := vec.Vec{Kind: c.Kind, Int: make([]int64, c.N), Null: nullsOf(c.N, a)}
		m := a.Mask()
		for i := range out.Int {
			out.Int[i] = f(a.Int[i&m])
		}
		return out, nil
	}}
}

func unixTime(unit float64) Func {
	return strict(func(_ *Call, a []any) any {
		if n, ok := a[0].(int64); ok && unit >= 1 && n < math.MaxInt64/int64(unit) && n > math.MinInt64/int64(unit) {
			return value.To(value.UnixEpoch+n*int64(unit), table.DateTime)
		}
		f, ok := number(a[0])
		if !ok {
			return nil
		}
		return value.To(float64(value.UnixEpoch)+f*unit, table.DateTime)
	})
}

// formatter refuses a constant format that holds what no format may.
func formatter(write func(v any, format string) (string, bool)) func(c *Call) (func(a []any) any, error) {
	return func(c *Call) (func(a []any) any, error) {
		if f := c.Args[1]; f.Const {
			if _, ok := write(zeroOf(c.Name), value.String(f.At(0))); !ok {
				return nil, fault.New(fault.Invalid, "%s: %q is not a format of elements and delimiters", c.Name, value.String(f.At(0)))
			}
		}
		return func(a []any) any {
			s, ok := write(a[0], value.String(a[1]))
			if !ok {
				return nil
			}
			return s
		}, nil
	}
}

func zeroOf(name string) any {
	if name == "format_timespan" {
		return value.TimeSpan(0)
	}
	return value.DateTime(0)
}

func unitMonths(unit string) int64 {
	return map[string]int64{"year": 12, "quarter": 3, "month": 1}[unit]
}

func checkUnit(c *Call) error {
	if !c.Args[0].Const {
		return nil
	}
	u := strings.ToLower(value.String(c.Args[0].At(0)))
	if _, ok := value.UnitTicks(u); ok || u == "nanosecond" || unitMonths(u) > 0 || c.Name == "datetime_part" && (u == "dayofyear" || u == "week_of_year") {
		return nil
	}
	return fault.New(fault.Invalid, "%s: %q is no unit of time", c.Name, u)
}

func dateAdd(c *Call) (func(a []any) any, error) {
	return func(a []any) any {
		unit, n := strings.ToLower(value.String(a[0])), long(a[1])
		t := long(value.To(a[2], table.DateTime))
		if m := unitMonths(unit); m > 0 {
			if moved, ok := value.AddMonths(t, m*n); ok {
				return value.DateTime(moved)
			}
			return nil
		}
		if unit == "nanosecond" {
			return value.To(t+n/100, table.DateTime)
		}
		ticks, ok := value.UnitTicks(unit)
		if !ok || n > math.MaxInt64/ticks || n < math.MinInt64/ticks {
			return nil
		}
		return value.To(t+n*ticks, table.DateTime)
	}, checkUnit(c)
}

// dateDiff counts the borders of the unit between the two moments.
func dateDiff(c *Call) (func(a []any) any, error) {
	return func(a []any) any {
		unit := strings.ToLower(value.String(a[0]))
		x, y := long(value.To(a[1], table.DateTime)), long(value.To(a[2], table.DateTime))
		if m := unitMonths(unit); m > 0 {
			return monthIndex(x)/m - monthIndex(y)/m
		}
		if unit == "nanosecond" {
			return (x - y) * 100
		}
		ticks, ok := value.UnitTicks(unit)
		switch {
		case !ok:
			return nil
		case unit == "week": // weeks begin on Sunday; day 0 was a Monday
			x, y = x+value.Day, y+value.Day
		}
		return x/ticks - y/ticks
	}, checkUnit(c)
}

func monthIndex(t int64) int64 {
	c := value.CivilOf(t)
	return int64(c.Year)*12 + int64(c.Month) - 1
}

func datePart(c *Call) (func(a []any) any, error) {
	return func(a []any) any {
		f := partOf(strings.ToLower(value.String(a[0])))
		t, ok := value.To(a[1], table.DateTime).(value.DateTime)
		if !ok {
			return nil
		}
		return f(int64(t))
	}, checkUnit(c)
}

func partOf(part string) func(t int64) int64 {
	return func(t int64) int64 {
		c := value.CivilOf(t)
		switch part {
		case "year":
			return int64(c.Year)
		case "quarter":
			return int64(c.Month+2) / 3
		case "month":
			return int64(c.Month)
		case "week_of_year", "week":
			return isoWeek(t)
		case "day":
			return int64(c.Day)
		case "dayofyear":
			return int64(c.YearDay())
		case "hour":
			return int64(c.Hour)
		case "minute":
			return int64(c.Minute)
		case "second":
			return int64(c.Second)
		case "millisecond":
			return int64(c.Fraction) / value.Millisecond
		case "microsecond":
			return int64(c.Fraction) / value.Microsecond
		}
		return int64(c.Fraction) * 100
	}
}

// isoWeek is the week of ISO 8601: the one that holds the year's first Thursday is 1.
func isoWeek(t int64) int64 {
	thursday := t + int64(3-(value.WeekDay(t)+6)%7)*value.Day
	return int64(value.CivilOf(thursday).YearDay()-1)/7 + 1
}

// startOf begins a unit, moved by an offset of units; with after 1 it ends it: the last
// tick before the next begins.
func startOf(unit string, after int64) func(c *Call, a []any) any {
	return func(_ *Call, a []any) any {
		dt, ok := value.To(a[0], table.DateTime).(value.DateTime)
		if !ok {
			return nil
		}
		t, offset := int64(dt), after
		if len(a) > 1 {
			offset += long(a[1])
		}
		day := t - t%value.Day
		ok = true
		switch unit {
		case "day":
			day += offset * value.Day
		case "week":
			day += (offset*7 - int64(value.WeekDay(t))) * value.Day
		case "month":
			day, ok = value.AddMonths(day-int64(value.CivilOf(t).Day-1)*value.Day, offset)
		case "year":
			day, ok = value.AddMonths(day-int64(value.CivilOf(t).YearDay()-1)*value.Day, 12*offset)
		}
		if !ok {
			return nil
		}
		return value.To(day-after, table.DateTime)
	}
}

// makeDateTime(year, month, day[, hour, minute[, second]]), or a text.
func makeDateTime(_ *Call, a []any) any {
	if len(a) == 1 {
		return value.To(a[0], table.DateTime)
	}
	parts := make([]int, 5)
	parts[1], parts[2] = 1, 1
	for i := range min(5, len(a)) {
		parts[i] = int(long(a[i]))
	}
	c := value.Civil{Year: parts[0], Month: parts[1], Day: parts[2], Hour: parts[3], Minute: parts[4]}
	t, ok := c.Ticks()
	seconds := int64(0)
	if len(a) > 5 {
		f, fine := number(a[5])
		if ok = ok && fine && f >= 0 && f < 60; ok {
			seconds = int64(math.Round(f * float64(value.Second)))
		}
	}
	if !ok {
		return nil
	}
	return value.DateTime(t + seconds)
}

// makeTimeSpan([day,] hour, minute[, second]).
func makeTimeSpan(_ *Call, a []any) any {
	var f [4]float64
	at := 0
	if len(a) < 4 {
		at = 1
	}
	for i, x := range a {
		if at+i < 4 {
			f[at+i], _ = number(x)
		}
	}
	if f[1] < 0 || f[1] > 23 || f[2] < 0 || f[2] > 59 || f[3] < 0 || f[3] >= 60 {
		return nil
	}
	return value.TimeSpan(int64(f[0])*value.Day + int64(f[1])*value.Hour + int64(f[2])*value.Minute + int64(math.Round(f[3]*float64(value.Second))))
}
