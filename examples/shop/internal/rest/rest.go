// Package rest is the little JSON-over-HTTP that the services speak: read a bounded body, write an answer, call a neighbour.
//
// Every error travels as {"error": "…"} with a fitting status code. It imports no other package of the shop.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBody limits a request body and an answer, in bytes.
const maxBody = 256 << 10

// Error is an answer other than 2xx: of this service to its caller, or of a neighbour to this service.
type Error struct {
	// Status is the HTTP status code.
	Status int
	// Message says what was wrong, in words for the caller.
	Message string
}

// Error returns the message with its status.
func (e *Error) Error() string { return fmt.Sprintf("%s (HTTP %d)", e.Message, e.Status) }

// Errorf makes an Error with a formatted message.
func Errorf(status int, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// StatusOf returns the status that an error carries, or fallback when it carries none.
func StatusOf(err error, fallback int) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return fallback
}

// Write answers with a JSON document. A failing write means that the caller has gone, which nobody can be told.
func Write(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer could not be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// Witness is a ResponseWriter that wants to know why a request failed.
type Witness interface {
	http.ResponseWriter
	Failed(err error)
}

// Report tells a Witness of an error that is the service's own fault or its neighbours', not the caller's.
func Report(w http.ResponseWriter, err error) {
	if witness, ok := w.(Witness); ok && StatusOf(err, http.StatusInternalServerError) >= http.StatusInternalServerError {
		witness.Failed(err)
	}
}

// Fail answers with an error and reports it. Errors that are no *Error become status 500 and keep their text to the service's log.
func Fail(w http.ResponseWriter, err error) {
	Report(w, err)
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = Errorf(http.StatusInternalServerError, "internal error")
	}
	Write(w, e.Status, map[string]string{"error": e.Message})
}

// Read decodes the request body into value. Unknown fields, trailing text and bodies above 256 KiB are an *Error of status 400.
func Read(w http.ResponseWriter, r *http.Request, value any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(value); err != nil {
		return Errorf(http.StatusBadRequest, "reading the JSON body: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Errorf(http.StatusBadRequest, "reading the JSON body: text after the document")
	}
	return nil
}

// Call sends one request to a neighbour and decodes its answer into out. A nil in sends no body, a nil out drops the answer.
// An answer other than 2xx comes back as *Error with the neighbour's status and message.
func Call(ctx context.Context, client *http.Client, method, url string, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding the request to %s: %w", url, err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return fmt.Errorf("making the request to %s: %w", url, err)
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("calling: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return neighbourError(res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("decoding the answer of %s: %w", url, err)
	}
	return nil
}

// neighbourError keeps the neighbour's own words if it sent any.
func neighbourError(status int, answer []byte) *Error {
	var told struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(answer, &told) == nil && told.Error != "" {
		return &Error{Status: status, Message: told.Error}
	}
	return &Error{Status: status, Message: http.StatusText(status)}
}
