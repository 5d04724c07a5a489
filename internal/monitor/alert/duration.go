package alert

import (
	"time"

	"github.com/prometheus/common/model"

	"towpath.dev/towpath/internal/fault"
)

// Duration is a length of time that stands in JSON as Prometheus writes it: "5m", "1h30m".
type Duration time.Duration

// String returns it as Prometheus writes it.
func (d Duration) String() string { return model.Duration(d).String() }

// Go returns it as a time.Duration.
func (d Duration) Go() time.Duration { return time.Duration(d) }

// MarshalText writes the string.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the string.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	*d = v
	return err
}

// ParseDuration reads "30s", "5m", "1h30m", "7d"; "" is zero.
func ParseDuration(s string) (Duration, error) {
	if s == "" {
		return 0, nil
	}
	v, err := model.ParseDuration(s)
	if err != nil {
		return 0, fault.New(fault.Invalid, "%q is not a duration.", s).WithNext("write it as 30s, 5m, 1h30m or 7d")
	}
	return Duration(v), nil
}
