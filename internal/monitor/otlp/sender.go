package otlp

import (
	"net"
	"net/netip"
	"strings"
)

// senderOf reads a sender out of headers; get returns the first value of a name in lower case.
func senderOf(get func(name string) string, remote string) Sender {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		remote = host
	}
	s := Sender{Project: get(strings.ToLower(ProjectHeader)), Remote: remote}
	if scheme, token, ok := strings.Cut(get("authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		s.Token = strings.TrimSpace(token)
	}
	// What is no address speaks for nobody.
	if a, err := netip.ParseAddr(get(strings.ToLower(PeerHeader))); err == nil {
		s.Peer = a.WithZone("")
	}
	return s
}
