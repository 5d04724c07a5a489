package otlp

import (
	"context"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// whose finds the place of each resource of one request.
type whose struct {
	receiver *Receiver
	sender   Sender
	signal   string
	places   map[string]*answer // by the project that was claimed
	rejected rejected
	stored   int   // items of resources that have a place
	refusal  error // of the first resource that has none
}

type answer struct {
	place place.Place
	err   error
}

// maxProjects is for how many projects one request may speak.
const maxProjects = 16

// find returns the place of a resource. ok is false when the sender may not write there:
// its items are rejected for good. The error is one after which the request is to be sent again.
func (w *whose) find(ctx context.Context, res pcommon.Resource, items int) (p place.Place, ok bool, err error) {
	s := w.sender
	if v, has := res.Attributes().Get(ProjectAttribute); has && s.Project == "" && !s.Peer.IsValid() {
		s.Project = table.Clip(scalar(v), 64)
	}
	a, known := w.places[s.Project]
	if !known {
		if len(w.places) >= maxProjects {
			a = &answer{err: fault.New(fault.Invalid, "One request may hold telemetry of at most %d projects.", maxProjects)}
		} else {
			a = &answer{}
			a.place, a.err = w.receiver.Resolver.Resolve(ctx, s)
			w.places[s.Project] = a
		}
	}
	if a.err == nil {
		w.stored += items
		return a.place, true, nil
	}
	if _, again := fault.RetryAfter(a.err); again || fault.Is(a.err, fault.Internal) || ctx.Err() != nil {
		return place.Place{}, false, a.err
	}
	message, _ := fault.Public(a.err)
	w.rejected.add(items, message)
	w.receiver.Rows.Drop("", w.signal, "denied", items)
	if w.refusal == nil {
		w.refusal = a.err
	}
	return place.Place{}, false, nil
}

// result returns what was rejected, or the refusal when that was everything.
func (w *whose) result() (rejected, error) {
	if w.stored == 0 && w.refusal != nil {
		return rejected{}, w.refusal
	}
	return w.rejected, nil
}
