package evidence

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
)

// Beginnings of the keys of parts of the lock health that are no pods.
const (
	keyAlert    = "alert/"
	keyCompared = "compared/"
)

// alert takes an alert into the cells of the changes whose release it concerns.
func (f feed) alert(ctx context.Context) error {
	p, ok := decode[event.Alert](f.e)
	if !ok || p.Release == "" {
		return nil
	}
	ids, err := f.changesOf(ctx, event.Of(event.KindRelease, p.Release))
	if err != nil {
		return err
	}
	b := body{State: Held, Name: p.Rule, Why: p.Summary, Environment: p.Environment}
	switch {
	case f.e.Type == event.TypeAlertResolved:
		b.State = Open
	case p.Severity == "critical":
		b.State = Shut
	}
	for _, id := range ids {
		if err := f.put(ctx, id, LockHealth, keyAlert+f.e.Subject.ID(), 0, b); err != nil {
			return err
		}
	}
	return nil
}

// compared takes the comparison of a release with the one before it.
func (f feed) compared(ctx context.Context) error {
	p, ok := decode[event.ReleaseCompared](f.e)
	if !ok {
		return nil
	}
	ids, err := f.changesOf(ctx, f.e.Subject)
	if err != nil {
		return err
	}
	b := body{State: Open, Name: p.Verdict, Why: p.Why, Environment: p.Environment}
	if p.Verdict == "worse" {
		b.State = Held
	}
	for _, id := range ids {
		if err := f.put(ctx, id, LockHealth, keyCompared+p.Environment, 0, b); err != nil {
			return err
		}
	}
	return nil
}

// healthCell says whether the pods of a change are ready, whether alerts fire for it, and
// how it does beside the release before.
func healthCell(c *Cell, parts []part) {
	var pods, alerts, compared []part
	for _, p := range parts {
		switch {
		case strings.HasPrefix(p.key, keyAlert):
			if p.body.State != Open {
				alerts = append(alerts, p)
			}
		case strings.HasPrefix(p.key, keyCompared):
			compared = append(compared, p)
		default:
			pods = append(pods, p)
		}
	}
	// Without pods the change does not run any more: what was compared is history.
	if len(pods) == 0 && len(alerts) == 0 {
		return
	}
	worse := slices.DeleteFunc(slices.Clone(compared), func(p part) bool { return p.body.State == Open })
	c.worst(slices.Concat(pods, alerts, worse), func(p part) event.Subject {
		if id, ok := strings.CutPrefix(p.key, keyAlert); ok {
			return event.Of(event.KindAlert, id)
		}
		if strings.HasPrefix(p.key, keyCompared) {
			return ""
		}
		return event.Of(event.KindPod, p.key)
	})
	failing := slices.DeleteFunc(slices.Clone(pods), func(p part) bool { return p.body.State == Open })
	c.Fact = fmt.Sprintf("%d of %d", len(pods)-len(failing), len(pods))
	switch {
	case len(alerts) > 0 && c.State == alerts[0].body.State || len(failing) == 0 && len(alerts) > 0:
		c.Fact, c.Detail = plural(len(alerts), "alert"), alerts[0].body.Name
	case len(failing) > 0:
		c.Detail = first1(failing, func(b body) string { return b.Why })
	case len(worse) > 0:
		c.Fact, c.Detail = "worse", first1(worse, func(b body) string { return b.Why })
	case len(compared) > 0 && compared[len(compared)-1].body.Name != "unclear":
		c.Detail = "ready, " + compared[len(compared)-1].body.Name + " than before"
		if compared[len(compared)-1].body.Name == "same" {
			c.Detail = "ready, as before"
		}
	}
	if c.Detail == "" {
		c.Detail = "pods ready"
	}
}

// Kinds of stations that stand beside a release without a subject of their own.
const (
	kindTelemetry  = "telemetry"
	kindComparison = "comparison"
	kindCanary     = "canary"
	kindDrift      = "drift"
	kindError      = "error"
)

// releaseStations are the release itself, the first telemetry of it, and how it compared.
func releaseStations(subject event.Subject, events []event.Event) []Station {
	out := one(subject, last(events, event.TypeReleaseStarted, event.TypeReleaseFinished), releaseFacts)
	for _, e := range events {
		s := Station{Subject: subject, Time: e.Time, Actor: e.Actor, Seq: e.Seq, Hash: e.Hash}
		switch e.Type {
		case event.TypeReleaseObserved:
			p, _ := decode[event.ReleaseObserved](e)
			s.Kind, s.Title = kindTelemetry, p.Signal+" of "+p.Release
			s.fact("first after", seconds(p.Seconds))
			s.fact("from", strings.Join(p.Roles, ", "))
		case event.TypeReleaseCompared:
			p, _ := decode[event.ReleaseCompared](e)
			s.Kind, s.Title = kindComparison, p.Verdict+" than "+p.Baseline
			switch p.Verdict {
			case "same":
				s.Title = "the same as " + p.Baseline
			case "unclear":
				s.Title = "not comparable with " + p.Baseline
			}
			s.fact("why", p.Why)
			if len(p.Operations) > 0 {
				s.fact("operations that changed", strconv.Itoa(len(p.Operations)))
			}
		case event.TypeDriftFound:
			p, _ := decode[event.DriftFound](e)
			s.Kind, s.Title = kindDrift, p.Object+" is not as it was deployed"
			if p.Mended {
				s.Title = p.Object + " was put back"
			}
			s.fact("fields", strings.Join(p.Fields, ", "))
			s.fact("by", p.Manager)
		case event.TypeDriftUndone:
			p, _ := decode[event.DriftUndone](e)
			s.Kind, s.Title = kindDrift, p.Object+" is as it was deployed again"
		case event.TypeErrorFound:
			p, _ := decode[event.ErrorFound](e)
			s.Kind, s.Title = kindError, p.Type+" in "+p.Role
			s.fact("message", p.Message)
			s.fact("group", p.Group)
		default:
			continue
		}
		out = append(out, s)
	}
	return append(out, canaryStations(subject, events)...)
}

// alertStations say that an alert fired, and when it resolved.
func alertStations(subject event.Subject, events []event.Event) []Station {
	return one(subject, last(events, event.TypeAlertFired, event.TypeAlertResolved), func(e event.Event, s *Station) {
		p, ok := decode[event.Alert](e)
		if !ok {
			return
		}
		s.Title = p.Rule
		state := "firing"
		if e.Type == event.TypeAlertResolved {
			state = "resolved"
		}
		s.fact("state", state)
		s.fact("severity", p.Severity)
		s.fact("what", p.Summary)
		s.fact("fired", p.Fired.UTC().Format(time.RFC3339))
		if !p.Resolved.IsZero() {
			s.fact("resolved", p.Resolved.UTC().Format(time.RFC3339))
			s.fact("why", p.Why)
		}
	})
}
