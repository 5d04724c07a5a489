package router

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// statusGone is what the record says of a request whose client went away (as nginx does).
const statusGone = 499

// fail answers a request to which the backend gave no answer.
func (f *forward) fail(w *response, err error) {
	if f.in.Context().Err() != nil || errors.Is(err, context.Canceled) {
		w.status = statusGone
		return
	}
	if f.session != nil {
		f.reason = fmt.Sprintf("session %s is away (%s): start its program again, or end the session with towpath dev stop", f.session.ID, why(err))
		if !f.p.table.Production {
			w.Header().Set(HeaderSession, f.session.ID)
		}
	} else {
		f.reason = fmt.Sprintf("%s of service %s does not answer (%s): look at its pods", f.track.Name, f.p.service.Name, why(err))
	}
	refuse(w, f.in, http.StatusBadGateway, f.reason)
}

// why says in a few words what is wrong with a backend; the error itself may name
// addresses that are nobody's business.
func why(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "its name is not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses connections"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it took too long"
	}
	return "the connection broke"
}

// refuse answers a request here, in the way that its client reads: gRPC, HTML or text. The
// connection's protocol is kept in order.
func refuse(w *response, req *http.Request, status int, reason string) {
	h := w.Header()
	h.Set(HeaderReason, oneLine(reason))
	h.Set("Cache-Control", "no-store")
	w.record = status
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc") {
		// A response without a body whose trailers are its headers ("Trailers-Only").
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(grpcOf(status)))
		h.Set("Grpc-Message", url.PathEscape(oneLine(reason)))
		w.WriteHeader(http.StatusOK)
		return
	}
	text := fmt.Sprintf("%d %s\n\n%s\n", status, http.StatusText(status), reason)
	if strings.Contains(req.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/html; charset=utf-8")
		text = fmt.Sprintf("<!doctype html><title>%d %s</title><h1>%s</h1><p>%s</p>\n", status, http.StatusText(status), http.StatusText(status), html.EscapeString(reason))
	} else {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		_, _ = w.Write([]byte(text))
	}
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
}

// grpcOf returns the gRPC status for one of HTTP that this package answers with.
func grpcOf(status int) int {
	switch status {
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusBadGateway:
		return 14 // UNAVAILABLE
	}
	return 2 // UNKNOWN
}

// httpOf returns the status of HTTP that counts for a gRPC status, so that one rate of
// errors holds for both (google.rpc.Code names the same pairs).
func httpOf(status string) int {
	switch status {
	case "", "0":
		return http.StatusOK
	case "1":
		return statusGone
	case "3", "9", "11":
		return http.StatusBadRequest
	case "4":
		return http.StatusGatewayTimeout
	case "5":
		return http.StatusNotFound
	case "6", "10":
		return http.StatusConflict
	case "7":
		return http.StatusForbidden
	case "8":
		return http.StatusTooManyRequests
	case "12":
		return http.StatusNotImplemented
	case "14":
		return http.StatusServiceUnavailable
	case "16":
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// response notes what is answered.
type response struct {
	http.ResponseWriter
	status int       // 0 before the header is out
	record int       // the status that counts when it is not the one sent, 0 otherwise
	header time.Time // when the header went out
}

// WriteHeader notes the status and sends it.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status, w.header = status, time.Now()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status, w.header = http.StatusOK, time.Now()
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap returns the writer below, for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
