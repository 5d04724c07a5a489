package fault_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
)

func TestKindsMapToStatusAndExitCode(t *testing.T) {
	tests := []struct {
		kind         fault.Kind
		status, exit int
	}{
		{"", http.StatusOK, 0},
		{fault.NotFound, http.StatusNotFound, 3},
		{fault.Invalid, http.StatusBadRequest, 2},
		{fault.Conflict, http.StatusConflict, 1},
		{fault.Denied, http.StatusForbidden, 4},
		{fault.Unauthentic, http.StatusUnauthorized, 4},
		{fault.TooLarge, http.StatusRequestEntityTooLarge, 1},
		{fault.Throttled, http.StatusTooManyRequests, 1},
		{fault.Unavailable, http.StatusServiceUnavailable, 5},
		{fault.Internal, http.StatusInternalServerError, 1},
		{"a word nobody knows", http.StatusInternalServerError, 1},
	}
	for _, tt := range tests {
		if got := tt.kind.Status(); got != tt.status {
			t.Errorf("%q.Status() = %d, want %d", tt.kind, got, tt.status)
		}
		if got := tt.kind.ExitCode(); got != tt.exit {
			t.Errorf("%q.ExitCode() = %d, want %d", tt.kind, got, tt.exit)
		}
	}
}

func TestOfStatusInvertsStatus(t *testing.T) {
	for _, k := range []fault.Kind{
		"", fault.NotFound, fault.Invalid, fault.Conflict, fault.Denied, fault.Unauthentic, fault.TooLarge, fault.Throttled, fault.Unavailable, fault.Internal,
	} {
		if got := fault.OfStatus(k.Status()); got != k {
			t.Errorf("OfStatus(%d) = %q, want %q", k.Status(), got, k)
		}
	}
	for status, want := range map[int]fault.Kind{204: "", 302: "", 422: fault.Invalid, 418: fault.Invalid, 502: fault.Unavailable, 504: fault.Unavailable, 501: fault.Internal} {
		if got := fault.OfStatus(status); got != want {
			t.Errorf("OfStatus(%d) = %q, want %q", status, got, want)
		}
	}
}

func TestKindOfFindsTheOutermostFault(t *testing.T) {
	inner := fault.New(fault.NotFound, "no such thing")
	outer := fault.Wrap(fault.Denied, fmt.Errorf("looking: %w", inner), "not yours")
	tests := []struct {
		err  error
		want fault.Kind
	}{
		{nil, ""},
		{io.EOF, fault.Internal},
		{inner, fault.NotFound},
		{fmt.Errorf("asking: %w", inner), fault.NotFound},
		{outer, fault.Denied},
	}
	for _, tt := range tests {
		if got := fault.KindOf(tt.err); got != tt.want {
			t.Errorf("KindOf(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
	if fault.Is(nil, "") {
		t.Error("Is(nil, \"\") is true; no error is no fault")
	}
	if !errors.Is(outer, inner) {
		t.Error("the cause is lost")
	}
}

func TestPublicShowsNoCauseAndNothingInternal(t *testing.T) {
	secret := errors.New("password hunter2")
	tests := []struct {
		err           error
		message, next string
	}{
		{fault.Wrap(fault.Invalid, secret, "The name is wrong.").WithNext("use %s", "shop"), "The name is wrong.", "use shop"},
		{fault.Wrap(fault.Internal, secret, "state: %v", secret), "Something went wrong on our side.", "look up the error id in the server's log"},
		{secret, "Something went wrong on our side.", "look up the error id in the server's log"},
	}
	for _, tt := range tests {
		message, next := fault.Public(tt.err)
		if message != tt.message || next != tt.next {
			t.Errorf("Public(%v) = %q, %q, want %q, %q", tt.err, message, next, tt.message, tt.next)
		}
	}
}

func TestRetryAfterIsThePauseOfTheOutermostFaultThatNamesOne(t *testing.T) {
	inner := fault.New(fault.Unavailable, "The disk is full.").WithAfter(7 * time.Second)
	tests := map[string]struct {
		err   error
		after time.Duration
		again bool
	}{
		"nil":              {nil, 0, false},
		"stays":            {fault.New(fault.Invalid, "Wrong."), 0, false},
		"no fault":         {io.EOF, 0, false},
		"names none":       {fault.New(fault.Throttled, "Too much."), time.Second, true},
		"names one":        {inner, 7 * time.Second, true},
		"below":            {fmt.Errorf("storing: %w", fault.Wrap(fault.Unavailable, errors.Join(io.EOF, inner), "Away.")), 7 * time.Second, true},
		"outer goes first": {fault.Wrap(fault.Unavailable, inner, "Away.").WithAfter(time.Minute), time.Minute, true},
		"outer stays":      {fault.Wrap(fault.Invalid, inner, "Wrong."), 0, false},
	}
	for name, tt := range tests {
		if after, again := fault.RetryAfter(tt.err); after != tt.after || again != tt.again {
			t.Errorf("%s: RetryAfter() = %s, %t, want %s, %t", name, after, again, tt.after, tt.again)
		}
	}
	for after, want := range map[time.Duration]string{0: "1", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2"} {
		if got := fault.Seconds(after); got != want {
			t.Errorf("Seconds(%s) = %q, want %q", after, got, want)
		}
	}
}
