// Package fault breaks a service on demand: a share of its answers becomes an error, and every answer can be made slow. Canary
// analysis, alerts and rollbacks are shown and tested with it.
//
// Nouns: Setting (what is broken now), Switch (holds the setting and applies it). Invariant: a Switch that was not enabled never
// breaks anything and hides its endpoint. Probes never pass through a Switch, so a broken service stays in rotation.
// Must not import a service.
package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"shop/internal/rest"
)

// MaxLatency is the longest delay that can be set; above it callers only see their own time-outs.
const MaxLatency = 30 * time.Second

// ErrInjected is what a request gets that was chosen to fail.
var ErrInjected = errors.New("this error was injected by the fault switch")

// Setting is what a Switch does to requests. The zero value does nothing.
type Setting struct {
	// ErrorRate is the share of requests that fail, from 0 to 1.
	ErrorRate float64
	// Latency is added before every answer, from 0 to MaxLatency.
	Latency time.Duration
}

// wire is the JSON form of a Setting: {"error_rate": 0.1, "latency": "200ms"}.
type wire struct {
	ErrorRate float64 `json:"error_rate"`
	Latency   string  `json:"latency"`
}

// MarshalJSON writes the latency in Go's duration form, such as "200ms".
func (s Setting) MarshalJSON() ([]byte, error) {
	return json.Marshal(wire{ErrorRate: s.ErrorRate, Latency: s.Latency.String()})
}

// ParseSetting reads a setting from its two texts; an empty text means zero.
func ParseSetting(errorRate, latency string) (Setting, error) {
	var s Setting
	var err error
	if errorRate != "" {
		if s.ErrorRate, err = strconv.ParseFloat(errorRate, 64); err != nil {
			return Setting{}, fmt.Errorf("the error rate %q is no number; use one from 0 to 1", errorRate)
		}
	}
	if latency != "" {
		if s.Latency, err = time.ParseDuration(latency); err != nil {
			return Setting{}, fmt.Errorf("the latency %q is no duration; use one such as 200ms", latency)
		}
	}
	return s, s.check()
}

// check is written so that NaN, which no comparison holds for, is refused too.
func (s Setting) check() error {
	if !(s.ErrorRate >= 0 && s.ErrorRate <= 1) {
		return fmt.Errorf("the error rate is %v; it must be from 0 to 1", s.ErrorRate)
	}
	if s.Latency < 0 || s.Latency > MaxLatency {
		return fmt.Errorf("the latency is %v; it must be from 0 to %v", s.Latency, MaxLatency)
	}
	return nil
}

// Switch applies a Setting to requests and lets it be changed while the service runs. It is safe for concurrent use.
type Switch struct {
	enabled bool
	roll    func() float64

	mu  sync.Mutex
	now Setting
}

// New makes a switch. A switch that is not enabled ignores initial. roll returns a number in [0, 1), drawn once a request.
func New(enabled bool, initial Setting, roll func() float64) *Switch {
	s := &Switch{enabled: enabled, roll: roll}
	if enabled {
		s.now = initial
	}
	return s
}

// Enabled reports whether the switch may break anything.
func (s *Switch) Enabled() bool { return s.enabled }

// Setting returns what the switch does at the moment.
func (s *Switch) Setting() Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Apply delays the request and decides whether it fails: it returns nil, ErrInjected, or the context's error if the caller left.
func (s *Switch) Apply(ctx context.Context) error {
	set := s.Setting()
	if set.Latency > 0 {
		timer := time.NewTimer(set.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if set.ErrorRate > 0 && s.roll() < set.ErrorRate {
		return ErrInjected
	}
	return nil
}

// Middleware puts the switch before an HTTP handler. A chosen request is answered with status 503.
func (s *Switch) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Apply(r.Context()); err != nil {
			rest.Fail(w, rest.Errorf(http.StatusServiceUnavailable, "%v", err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP shows the setting (GET) and replaces it (POST). A switch that is not enabled answers 404, as if it did not exist.
func (s *Switch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enabled {
		rest.Fail(w, rest.Errorf(http.StatusNotFound, "fault switches are off; start the service with FAULTS=enabled"))
		return
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		if err := s.replace(w, r); err != nil {
			rest.Fail(w, err)
			return
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		rest.Fail(w, rest.Errorf(http.StatusMethodNotAllowed, "use GET or POST"))
		return
	}
	rest.Write(w, http.StatusOK, s.Setting())
}

func (s *Switch) replace(w http.ResponseWriter, r *http.Request) error {
	var in wire
	if err := rest.Read(w, r, &in); err != nil {
		return err
	}
	set, err := ParseSetting(strconv.FormatFloat(in.ErrorRate, 'g', -1, 64), in.Latency)
	if err != nil {
		return rest.Errorf(http.StatusBadRequest, "%v", err)
	}
	s.mu.Lock()
	s.now = set
	s.mu.Unlock()
	return nil
}
