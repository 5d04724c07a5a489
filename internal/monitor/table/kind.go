package table

import "time"

// Kind is a scalar type of the Kusto query language.
type Kind uint8

// The scalar types. Decimal is kept as a 64-bit float: telemetry has no column of it.
const (
	Unknown  Kind = iota
	Bool          // Int: 0 or 1
	Int           // Int: 32 bits
	Long          // Int
	Real          // Real
	Decimal       // Real
	DateTime      // Int: ticks since 0001-01-01T00:00:00Z
	TimeSpan      // Int: ticks
	GUID          // Text: lower case, with dashes; "" is null
	String        // Text
	Dynamic       // Text: JSON; "" is null
)

var kindNames = [...]string{"unknown", "bool", "int", "long", "real", "decimal", "datetime", "timespan", "guid", "string", "dynamic"}

// String returns Kusto's name of the type.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// KindOf returns the type of that name, Unknown when there is none. It knows the names of
// "Scalar data types" in the Kusto documentation, with their synonyms.
func KindOf(name string) Kind {
	switch name {
	case "bool", "boolean":
		return Bool
	case "int", "int32":
		return Int
	case "long", "int64":
		return Long
	case "real", "double":
		return Real
	case "decimal":
		return Decimal
	case "datetime", "date":
		return DateTime
	case "timespan", "time":
		return TimeSpan
	case "guid", "uuid", "uniqueid":
		return GUID
	case "string":
		return String
	case "dynamic", "object":
		return Dynamic
	}
	return Unknown
}

// Ticks in a second, and the ticks of the Unix epoch since 0001-01-01.
const (
	TicksPerSecond = 10_000_000
	epochTicks     = 621_355_968_000_000_000
)

// TicksOf returns the ticks of a moment since 0001-01-01T00:00:00Z; what is finer than a
// tick is cut off.
func TicksOf(t time.Time) int64 {
	return epochTicks + t.Unix()*TicksPerSecond + int64(t.Nanosecond())/100
}

// TimeOf is the inverse of TicksOf, in UTC.
func TimeOf(ticks int64) time.Time {
	ticks -= epochTicks
	sec, rest := ticks/TicksPerSecond, ticks%TicksPerSecond
	if rest < 0 {
		sec, rest = sec-1, rest+TicksPerSecond
	}
	return time.Unix(sec, rest*100).UTC()
}
