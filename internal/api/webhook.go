package api

import (
	"errors"
	"io"
	"net/http"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// webhook takes a call from outside. It is no operation of the document: what is in the body
// is the caller's, and the signature is over its bytes.
func (a *server) webhook(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, pipeline.MaxWebhook))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			err = fault.New(fault.TooLarge, "The payload of a webhook has at most %d bytes.", pipeline.MaxWebhook)
		} else {
			err = fault.Wrap(fault.Invalid, err, "The payload did not come to its end.")
		}
		a.problem(w, r, err)
		return
	}
	answer, err := a.Pipeline.Webhook(r.Context(), r.PathValue("project"), r.PathValue("connection"), r.Header, payload)
	if err != nil {
		a.problem(w, r, err)
		return
	}
	status := http.StatusAccepted
	if answer.Replayed {
		status = http.StatusOK
	}
	writeJSON(w, status, "application/json", answer)
}
