package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
)

// late is telemetry that arrives after some questions.
type late struct {
	after, asked int
	err          error
}

func (l *late) Beside(_ context.Context, project, environment, release, stable string, _ time.Time) ([]event.Operation, error) {
	if project != "shop" || environment != "production" || release != "shop/production/48" || stable != "shop/production/47" {
		return nil, errors.New("it asked for something else")
	}
	if l.asked++; l.err != nil || l.asked <= l.after {
		return nil, l.err
	}
	return []event.Operation{{Role: "cart", Name: "GET /v1/carts/{id}"}}, nil
}

func TestFailingOperations(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  late
		found int
		kind  fault.Kind
		asked int
	}{
		{"There", late{}, 1, "", 1},
		{"ArriveLater", late{after: 2}, 1, "", 3},
		{"NeverArrive", late{after: 100}, 0, "", 5},
		{"ErrAsked", late{err: fault.New(fault.Unavailable, "away")}, 0, fault.Unavailable, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), 5*operationsPause-time.Millisecond)
				defer stop()
				list, err := operations{&c.from}.Failing(ctx, "shop/production/48", "shop/production/47", time.Time{})
				if len(list) != c.found || fault.KindOf(err) != c.kind || c.from.asked != c.asked {
					t.Errorf("%d operations, %v, after %d questions; want %d, kind %q, after %d", len(list), err, c.from.asked, c.found, c.kind, c.asked)
				}
			})
		})
	}
	if _, err := (operations{&late{}}).Failing(t.Context(), "shop", "", time.Time{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("what is no release: %v", err)
	}
}
