package node

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// reason is why the relay itself answers an export.
type reason int

const (
	unknown reason = iota // no such path
	method                // not a POST
	tooBig
	busy // come again
	away // the server does not answer: come again
)

// form is how an answer of the relay looks.
type form interface {
	refuse(w http.ResponseWriter, r *http.Request, why reason, message string)
}

// httpForm answers as OTLP/HTTP wants it: a google.rpc.Status in the encoding of the
// request (opentelemetry-proto, docs/specification.md, "OTLP/HTTP Response").
type httpForm struct{}

func (httpForm) refuse(w http.ResponseWriter, r *http.Request, why reason, message string) {
	status := [...]int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusServiceUnavailable}[why]
	if why == busy || why == away {
		w.Header().Set("Retry-After", retryAfter)
	}
	var body []byte
	switch kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) {
	case "application/json":
		w.Header().Set("Content-Type", "application/json")
		body, _ = json.Marshal(map[string]string{"message": message}) // text always has a form
	case "application/x-protobuf":
		w.Header().Set("Content-Type", "application/x-protobuf")
		// Status.message is field 2; a length above 127 takes two bytes.
		body = []byte{2<<3 | 2}
		for n := len(message); ; n >>= 7 {
			if n < 0x80 {
				body = append(body, byte(n))
				break
			}
			body = append(body, byte(n)|0x80)
		}
		body = append(body, message...)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		body = []byte(message + "\n")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a failing write means that the pod has gone
}

// grpcForm answers as gRPC over HTTP/2 wants it: status 200 and the code beside the
// headers, without a body ("Trailers-Only", grpc/grpc, doc/PROTOCOL-HTTP2.md).
type grpcForm struct{}

func (grpcForm) refuse(w http.ResponseWriter, r *http.Request, why reason, message string) {
	if r.ProtoMajor < 2 {
		http.Error(w, "this port speaks gRPC; OTLP over HTTP is on the other one (4318)", http.StatusHTTPVersionNotSupported)
		return
	}
	const unimplemented, exhausted, unavailable = 12, 8, 14
	code := [...]int{unimplemented, unimplemented, exhausted, unavailable, unavailable}[why]
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(code))
	h.Set("Grpc-Message", strings.ReplaceAll(url.QueryEscape(message), "+", " "))
	w.WriteHeader(http.StatusOK)
}
