package router

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
)

// stickyCookie keeps a browser at its track; its value is stickySize random hex digits.
const (
	stickyCookie = "towpath-sticky"
	stickySize   = 16
)

func newSticky() string {
	raw := make([]byte, stickySize/2)
	_, _ = rand.Read(raw) // does not fail (crypto/rand)
	return hex.EncodeToString(raw)
}

// traceSize is the length of a trace id in traceparent (W3C Trace Context 3.2.2).
const traceSize = 32

// traceID returns the trace id of traceparent, "" when there is none.
func traceID(h http.Header) string {
	_, rest, _ := strings.Cut(h.Get("Traceparent"), "-")
	id, _, _ := strings.Cut(rest, "-")
	if !isHex(id, traceSize) || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}

// isHex reports whether s is n hex digits in lower case.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
