package router

import (
	"net/http"
	"strings"
)

// dropH2CUpgrade takes an offer to go on in HTTP/2 out of a request: whoever takes it must
// be the router, because later requests on the connection may have other targets. A server
// that answers in HTTP/1.1 declines the offer (RFC 7540, 3.2).
func dropH2CUpgrade(h http.Header) {
	if !strings.EqualFold(h.Get("Upgrade"), "h2c") {
		return
	}
	h.Del("Upgrade")
	h.Del("Http2-Settings")
}
