// Package fault owns the small set of error kinds that every part of Towpath uses.
//
// A fault carries two audiences' words: Message (and Next) are safe to show to
// the person who asked; the wrapped cause is for the operator's log only. Kinds
// map once to HTTP status codes (Status) and once to exit codes (ExitCode), so an
// edge never invents its own mapping.
//
// It imports the standard library only.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Kind says what sort of failure happened, for the caller to branch on.
type Kind string

// The kinds. Anything that is not a fault counts as Internal.
const (
	NotFound    Kind = "not_found"   // The thing does not exist, or the actor may not know that it does.
	Invalid     Kind = "invalid"     // The input is wrong; the same call will fail again.
	Conflict    Kind = "conflict"    // The state forbids it now: exists already, changed meanwhile, in use.
	Denied      Kind = "denied"      // The actor is known but may not do this.
	Unauthentic Kind = "unauthentic" // No, wrong or expired credentials.
	TooLarge    Kind = "too_large"   // A limit on an input was exceeded.
	Throttled   Kind = "throttled"   // Asked too often; the same call may succeed after a pause.
	Unavailable Kind = "unavailable" // Something needed is down; the same call may succeed later.
	Internal    Kind = "internal"    // Our own mistake.
)

// Error is a failure with words for people.
type Error struct {
	Kind    Kind
	Message string // What happened and why, one sentence, no secret, safe to show.
	Next    string // The next step: an exact command or button; may be empty.
	Cause   error  // For the log only; may be nil.
	// After is how long to wait before the same call may succeed, for a Throttled or
	// Unavailable that knows it; else 0.
	After time.Duration
}

// Error returns message and next step, followed by the cause.
func (e *Error) Error() string {
	s := e.Message
	if e.Next != "" {
		s += " (" + e.Next + ")"
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes a fault of a kind with a message in fmt syntax.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a fault that keeps its cause for the log.
func Wrap(k Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// WithNext returns the fault with its next step set.
func (e *Error) WithNext(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// WithAfter returns the fault with the pause set after which the same call may succeed.
func (e *Error) WithAfter(d time.Duration) *Error {
	e.After = d
	return e
}

// KindOf returns the kind of the outermost fault in err's chain, Internal when
// there is none, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var f *Error
	if errors.As(err, &f) {
		return f.Kind
	}
	return Internal
}

// Is reports whether err is a fault of kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// Public returns the words a person may see: message and next step of the
// outermost fault. For an error that is no fault it returns a neutral sentence,
// because its text may hold anything.
func Public(err error) (message, next string) {
	var f *Error
	if errors.As(err, &f) && f.Kind != Internal {
		return f.Message, f.Next
	}
	return "Something went wrong on our side.", "look up the error id in the server's log"
}

// RetryAfter returns how long to wait before the call that was refused with err is made
// again: the pause of the outermost fault in err's chain that names one, a second when none
// does. ok is false for an error that a pause does not mend.
func RetryAfter(err error) (after time.Duration, ok bool) {
	if k := KindOf(err); k != Throttled && k != Unavailable {
		return 0, false
	}
	for f := (*Error)(nil); errors.As(err, &f); err = f.Cause {
		if f.After > 0 {
			return f.After, true
		}
	}
	return time.Second, true
}

// Seconds writes a pause as the header Retry-After has it: whole seconds, rounded up, at
// least one (RFC 9110, section 10.2.3).
func Seconds(after time.Duration) string {
	return strconv.FormatInt(max(1, int64((after+time.Second-1)/time.Second)), 10)
}

// Status maps a kind to its HTTP status code.
func (k Kind) Status() int {
	switch k {
	case "":
		return http.StatusOK
	case NotFound:
		return http.StatusNotFound
	case Invalid:
		return http.StatusBadRequest
	case Conflict:
		return http.StatusConflict
	case Denied:
		return http.StatusForbidden
	case Unauthentic:
		return http.StatusUnauthorized
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Throttled:
		return http.StatusTooManyRequests
	case Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// OfStatus is the inverse of Status for clients: the kind that a response status stands for.
func OfStatus(status int) Kind {
	for _, k := range []Kind{NotFound, Invalid, Conflict, Denied, Unauthentic, TooLarge, Throttled, Unavailable} {
		if k.Status() == status {
			return k
		}
	}
	switch {
	case status < 400:
		return ""
	case status == http.StatusUnprocessableEntity:
		return Invalid
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		return Unavailable
	case status < 500:
		return Invalid
	}
	return Internal
}

// ExitCode maps a kind to the command line's exit codes: 0 done, 1 failed, 2
// wrong usage, 3 not found, 4 not allowed, 5 unreachable.
func (k Kind) ExitCode() int {
	switch k {
	case "":
		return 0
	case Invalid:
		return 2
	case NotFound:
		return 3
	case Denied, Unauthentic:
		return 4
	case Unavailable:
		return 5
	default:
		return 1
	}
}
