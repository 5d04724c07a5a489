package scalar

import (
	"time"
	_ "time/tzdata" // the rules of the zones, wherever the server runs

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// zoneShift moves moments between UTC and the clock of a zone (1: to local, -1: to UTC).
// A local time that a change of clocks skips or repeats is read as Go's time.Date does.
func zoneShift(direction int) func(c *Call) (func(a []any) any, error) {
	return func(c *Call) (func(a []any) any, error) {
		if z := c.Args[1]; z.Const {
			if _, err := time.LoadLocation(value.String(z.At(0))); err != nil {
				return nil, fault.New(fault.Invalid, "%s: %q is no time zone of the IANA list", c.Name, value.String(z.At(0)))
			}
		}
		zones := map[string]*time.Location{}
		return func(a []any) any {
			name := value.String(a[1])
			loc, ok := zones[name]
			if !ok {
				loc, _ = time.LoadLocation(name)
				zones[name] = loc
			}
			t, ok := value.To(a[0], table.DateTime).(value.DateTime)
			if !ok || loc == nil {
				return nil
			}
			return shifted(t, loc, direction)
		}, nil
	}
}

func shifted(t value.DateTime, loc *time.Location, direction int) any {
	at := table.TimeOf(int64(t))
	if direction > 0 {
		_, offset := at.In(loc).Zone()
		return value.To(int64(t)+int64(offset)*value.Second, table.DateTime)
	}
	local := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), loc)
	return value.To(table.TicksOf(local), table.DateTime)
}
