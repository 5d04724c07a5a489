package value

import (
	"math"

	"towpath.dev/towpath/internal/monitor/table"
)

// KindOf returns the kind of a cell, Unknown of null.
func KindOf(v any) table.Kind {
	switch v.(type) {
	case nil:
		return table.Unknown
	case bool:
		return table.Bool
	case int64:
		return table.Long
	case float64:
		return table.Real
	case string:
		return table.String
	case DateTime:
		return table.DateTime
	case TimeSpan:
		return table.TimeSpan
	case GUID:
		return table.GUID
	}
	return table.Dynamic
}

// To converts a cell to a kind, as tolong, toreal, todatetime and so on do; nil when that
// is not possible. Text becomes what it spells.
func To(v any, k table.Kind) any {
	if v == nil {
		return nil
	}
	switch k {
	case table.Bool:
		return toBool(v)
	case table.Int:
		n, ok := toLong(v).(int64)
		if !ok || n < math.MinInt32 || n > math.MaxInt32 {
			return nil
		}
		return n
	case table.Long:
		return toLong(v)
	case table.Real, table.Decimal:
		return toReal(v)
	case table.DateTime:
		return toDateTime(v)
	case table.TimeSpan:
		return toTimeSpan(v)
	case table.GUID:
		switch x := v.(type) {
		case GUID:
			return x
		case string:
			return known(ParseGUID(x))
		}
		return nil
	case table.String:
		return String(v)
	}
	return v
}

// known gives nil for what was not read.
func known[T any](v T, ok bool) any {
	if !ok {
		return nil
	}
	return v
}

func toBool(v any) any {
	switch x := v.(type) {
	case bool:
		return x
	case int64:
		return x != 0
	case float64:
		return x != 0
	case string:
		return known(ParseBool(x))
	}
	return nil
}

func toLong(v any) any {
	switch x := v.(type) {
	case bool:
		return int64(bit(x))
	case int64:
		return x
	case float64:
		if math.IsNaN(x) || x >= math.MaxInt64 || x <= math.MinInt64 {
			return nil
		}
		return int64(x)
	case DateTime:
		return int64(x)
	case TimeSpan:
		return int64(x)
	case string:
		if n, ok := ParseLong(x); ok {
			return n
		}
		if f, ok := ParseReal(x); ok {
			return toLong(f)
		}
	}
	return nil
}

func toReal(v any) any {
	switch x := v.(type) {
	case bool:
		return float64(bit(x))
	case int64:
		return float64(x)
	case float64:
		return x
	case DateTime:
		return float64(x)
	case TimeSpan:
		return float64(x)
	case string:
		return known(ParseReal(x))
	}
	return nil
}

func toDateTime(v any) any {
	switch x := v.(type) {
	case DateTime:
		return x
	case int64:
		if x < 0 || x > MaxDateTime {
			return nil
		}
		return DateTime(x)
	case float64:
		return toDateTime(toLong(x))
	case string:
		return known(ParseDateTime(x))
	}
	return nil
}

func toTimeSpan(v any) any {
	switch x := v.(type) {
	case TimeSpan:
		return x
	case int64: // a bare number is days, as in timespan(2)
		if x > math.MaxInt64/Day || x < math.MinInt64/Day {
			return nil
		}
		return TimeSpan(x * Day)
	case float64:
		if math.Abs(x) > math.MaxInt64/float64(Day) {
			return nil
		}
		return TimeSpan(math.Round(x * float64(Day)))
	case string:
		return known(ParseTimeSpan(x))
	}
	return nil
}
