package oci

import (
	"encoding/json"
	"net/http"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry"
)

// document is the error document of the specification.
type document struct {
	Errors []entry `json:"errors"`
}

type entry struct {
	Code    registry.Code `json:"code"`
	Message string        `json:"message"`
	Detail  any           `json:"detail,omitempty"`
}

// write answers with an error document.
func (q *request) write(status int, code registry.Code, message string) {
	q.json(status, "application/json", document{Errors: []entry{{Code: code, Message: message}}})
}

// json answers with a document. An error of the connection has nobody left to tell.
func (q *request) json(status int, mediaType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		q.log.Error("encoding an answer of the registry", "error", err)
		http.Error(q.w, "", http.StatusInternalServerError)
		return
	}
	h := q.w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", decimal(int64(len(b))))
	q.w.WriteHeader(status)
	_, _ = q.w.Write(b)
}

// fail answers with what err means to the client and logs what only the operator may
// know.
func (q *request) fail(err error) {
	kind, code := fault.KindOf(err), registry.CodeOf(err)
	if kind == fault.Unauthentic {
		q.challenge("", false)
		return
	}
	status := kind.Status()
	switch code {
	case registry.CodeRangeInvalid:
		status = http.StatusRequestedRangeNotSatisfiable
	case registry.CodeInUse:
		// The specification has no answer for "in use"; clients know this one as "you cannot
		// delete here".
		status, code = http.StatusMethodNotAllowed, registry.CodeUnsupported
	}
	if gone := q.r.Context().Err(); gone != nil {
		// The client hung up; nobody reads the answer.
		q.log.Debug("registry request was cut off", "path", q.r.URL.Path, "error", err)
	} else if status >= http.StatusInternalServerError {
		q.log.Error("registry request failed", "method", q.r.Method, "path", q.r.URL.Path, "actor", q.actor.String(), "error", err)
	}
	message, next := fault.Public(err)
	if next != "" {
		message += " Next: " + next + "."
	}
	q.write(status, code, message)
}

func wrong(code registry.Code, format string, args ...any) error {
	return &registry.Error{Code: code, Fault: fault.New(fault.Invalid, format, args...)}
}
