package route

import (
	"net"
	"net/http"
	"strings"
)

// forwardedHeaders are what a proxy at the edge of a cluster adds to requests. Who asks from
// outside cannot take them off.
var forwardedHeaders = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}

// FromOutside reports whether a request to the host, with these headers, may come from
// outside of the cluster. At a service that is no edge none does. At an edge that is only
// reached by hosts of its own, a request to another host which no proxy forwarded is from
// inside; at any other edge whoever asks may have written the host himself, and every
// request counts.
func (s Service) FromOutside(host string, h http.Header) bool {
	if !s.Edge {
		return false
	}
	if len(s.EdgeHosts) == 0 {
		return true
	}
	for _, name := range forwardedHeaders {
		if len(h[name]) > 0 {
			return true
		}
	}
	if only, _, err := net.SplitHostPort(host); err == nil {
		host = only
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, edge := range s.EdgeHosts {
		edge = strings.ToLower(edge)
		suffix, wild := strings.CutPrefix(edge, "*")
		if host == edge || wild && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}
