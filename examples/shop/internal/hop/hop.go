// Package hop says who answered a request. Every answer of the shop carries a Hop, so that a reader of the page, a test or a
// script sees which build of which service was on the way and which baggage reached it.
//
// Noun: Hop. It imports no other package of the shop.
package hop

import (
	"context"

	"go.opentelemetry.io/otel/baggage"
)

// BuildHeader is the HTTP header (and, in lower case, the gRPC metadata key) that carries the build id of the answering service.
const BuildHeader = "X-Shop-Build"

// maxBaggage limits the echoed baggage, in bytes: a caller decides what baggage holds, so an answer must not grow with it.
const maxBaggage = 512

// Self names a running service and the build it was made from.
type Self struct {
	Service string
	Build   string
}

// Hop is one service's share in an answer.
type Hop struct {
	Service string `json:"service"`
	Build   string `json:"build"`
	// Baggage is the W3C baggage that reached the service, in its header form, cut after 512 bytes. Empty means none arrived.
	Baggage string `json:"baggage,omitempty"`
}

// Here returns the hop for a request that self is answering; the baggage is taken from ctx.
func (self Self) Here(ctx context.Context) Hop {
	text := baggage.FromContext(ctx).String()
	if len(text) > maxBaggage {
		text = text[:maxBaggage]
	}
	return Hop{Service: self.Service, Build: self.Build, Baggage: text}
}
