package service

import (
	"net/http"

	"shop/internal/rest"
)

// crash panics outside of every handler, so that nothing recovers and the runtime prints the stack.
func crash() {
	go func() { panic("the crash switch was used") }()
	select {} // what called must not go on
}

// crashNow ends the process on request. Like the other switches it is there only with FAULTS=enabled.
func (f *Frame) crashNow(w http.ResponseWriter, _ *http.Request) {
	if !f.Faults.Enabled() {
		rest.Fail(w, rest.Errorf(http.StatusNotFound, "fault switches are off; start the service with FAULTS=enabled"))
		return
	}
	f.Crash()
}
