package fault_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"shop/internal/fault"
)

// dice returns a roll that gives the numbers in turn.
func dice(rolls ...float64) func() float64 {
	return func() float64 {
		next := rolls[0]
		rolls = rolls[1:]
		return next
	}
}

func TestApplyFailsTheShareThatIsSet(t *testing.T) {
	s := fault.New(true, fault.Setting{ErrorRate: 0.25}, dice(0.24, 0.25, 0.99, 0))
	for i, want := range []error{fault.ErrInjected, nil, nil, fault.ErrInjected} {
		if got := s.Apply(t.Context()); !errors.Is(got, want) {
			t.Errorf("request %d: got %v, want %v", i, got, want)
		}
	}
}

func TestASwitchThatIsOffDoesNothing(t *testing.T) {
	s := fault.New(false, fault.Setting{ErrorRate: 1, Latency: fault.MaxLatency}, dice())
	if err := s.Apply(t.Context()); err != nil {
		t.Errorf("got %v from a switch that is off", err)
	}
	if code, _ := send(s, http.MethodPost, `{"error_rate":1,"latency":"1s"}`); code != http.StatusNotFound {
		t.Errorf("the endpoint of a switch that is off answers %d, want 404", code)
	}
	if got := s.Setting(); got != (fault.Setting{}) {
		t.Errorf("a switch that is off took the setting %+v", got)
	}
}

func TestLatencyEndsWithTheCaller(t *testing.T) {
	s := fault.New(true, fault.Setting{Latency: fault.MaxLatency}, dice())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Apply(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the caller's cancellation", err)
	}
}

func TestMiddlewareAnswers503(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s := fault.New(true, fault.Setting{ErrorRate: 0.5}, dice(0.1, 0.9))
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusNoContent} {
		if code, _ := send(s.Middleware(ok), http.MethodGet, ""); code != want {
			t.Errorf("got %d, want %d", code, want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	tests := []struct {
		name, body string
		code       int
		want       fault.Setting
	}{
		{"both", `{"error_rate":0.1,"latency":"200ms"}`, 200, fault.Setting{ErrorRate: 0.1, Latency: 200 * time.Millisecond}},
		{"nothing switches off", `{}`, 200, fault.Setting{}},
		{"rate above one", `{"error_rate":1.5}`, 400, fault.Setting{ErrorRate: 1}},
		{"rate below zero", `{"error_rate":-0.5}`, 400, fault.Setting{ErrorRate: 1}},
		{"latency without unit", `{"latency":"200"}`, 400, fault.Setting{ErrorRate: 1}},
		{"latency too long", `{"latency":"31s"}`, 400, fault.Setting{ErrorRate: 1}},
		{"unknown field", `{"errorRate":0.1}`, 400, fault.Setting{ErrorRate: 1}},
		{"two documents", `{} {}`, 400, fault.Setting{ErrorRate: 1}},
		{"no JSON", `rate=1`, 400, fault.Setting{ErrorRate: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fault.New(true, fault.Setting{ErrorRate: 1}, dice())
			code, body := send(s, http.MethodPost, tt.body)
			if code != tt.code || s.Setting() != tt.want {
				t.Errorf("got %d %s and the setting %+v, want %d and %+v", code, body, s.Setting(), tt.code, tt.want)
			}
		})
	}
	t.Run("get", func(t *testing.T) {
		s := fault.New(true, fault.Setting{ErrorRate: 0.5, Latency: time.Second}, dice())
		if _, body := send(s, http.MethodGet, ""); strings.TrimSpace(body) != `{"error_rate":0.5,"latency":"1s"}` {
			t.Errorf("got %s", body)
		}
	})
}

func TestParseSettingRefusesNaN(t *testing.T) {
	if set, err := fault.ParseSetting("NaN", ""); err == nil {
		t.Errorf("NaN was taken as %+v", set)
	}
}

func send(h http.Handler, method, body string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/-/faults", strings.NewReader(body)))
	text, _ := io.ReadAll(w.Body)
	return w.Code, string(text)
}
