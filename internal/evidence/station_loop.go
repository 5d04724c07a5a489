package evidence

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
)

// itemStations are an item as it stands, told by its newest event. What a change does not
// repeat is taken from the events before it.
func itemStations(subject event.Subject, events []event.Event) []Station {
	item, begin := foldItem(events)
	return one(subject, last(events, event.TypeItemCreated, event.TypeItemChanged), func(e event.Event, s *Station) {
		s.Title = item.Title
		s.fact("type", item.Type)
		s.fact("state", item.State)
		s.fact("category", item.Category)
		s.fact("sprint", item.Sprint)
		s.fact("assignee", item.Assignee)
		s.fact("severity", item.Severity)
		s.fact("found by", item.Source)
		s.fact("signal", item.Signal)
		s.fact("opened", begin.Format(time.RFC3339))
		s.fact("why", item.Why)
	})
}

// foldItem is an item after all of its events, and when it was opened.
func foldItem(events []event.Event) (item event.Item, begin time.Time) {
	for _, e := range events {
		p, ok := decode[event.Item](e)
		if !ok || e.Type != event.TypeItemCreated && e.Type != event.TypeItemChanged {
			continue
		}
		if begin.IsZero() {
			begin = e.Time
		}
		source, signal := item.Source, item.Signal
		item = p
		if item.Source == "" {
			item.Source, item.Signal = source, signal
		}
	}
	return item, begin
}

// closedItem reports whether nobody has to do anything about an item any more.
func closedItem(category string) bool {
	return category == "resolved" || category == "completed" || category == "removed"
}

// sessionStations are a developer's session as it stands.
func sessionStations(subject event.Subject, events []event.Event) []Station {
	return one(subject, last(events, event.TypeSessionStarted, event.TypeSessionShared, event.TypeSessionEnded), func(e event.Event, s *Station) {
		p, ok := decode[event.Session](e)
		if !ok {
			return
		}
		s.Title = p.Service + " of " + p.User
		state := map[string]string{event.TypeSessionStarted: "started", event.TypeSessionShared: "shared", event.TypeSessionEnded: "ended"}[e.Type]
		s.fact("state", state)
		s.fact("environment", p.Environment)
		s.fact("mode", p.Mode)
		s.fact("secrets", strings.Join(p.Secrets, ", "))
		if e.Type == event.TypeSessionEnded {
			s.fact("why", p.Why)
		} else {
			s.fact("expires", p.Expires.UTC().Format(time.RFC3339))
		}
	})
}

// canaryStations are the steps of a canary: of each step how it was left, and its end.
func canaryStations(subject event.Subject, events []event.Event) []Station {
	var out []Station
	step := -1
	for _, e := range events {
		p, ok := decode[event.Canary](e)
		if !ok || e.Type != event.TypeCanaryStepped && e.Type != event.TypeCanaryFinished {
			continue
		}
		s := Station{Kind: kindCanary, Subject: subject, Time: e.Time, Actor: e.Actor, Seq: e.Seq, Hash: e.Hash}
		s.Title = fmt.Sprintf("step %d of %d, %d %%", p.Step, p.Steps, p.Weight)
		at := p.Step
		if e.Type == event.TypeCanaryFinished {
			s.Title, at = p.State, 0
		}
		s.fact("state", p.State)
		s.fact("beside", p.Stable)
		for _, m := range p.Metrics {
			if m.Verdict != "success" {
				s.fact(m.Name+" of "+m.Service, fmt.Sprintf("%.4g beside %.4g, %s", m.Canary, m.Baseline, m.Verdict))
			}
		}
		for i, o := range p.Operations {
			if i == 3 {
				break
			}
			s.fact("operation", strings.TrimSpace(o.Role+" "+o.Name+" "+strconv.FormatFloat(100*o.FailureShare, 'f', 1, 64)+" % fail"))
		}
		s.fact("why", p.Why)
		s.fact("by", p.By)
		if at != 0 && at == step {
			out[len(out)-1] = s
			continue
		}
		step = at
		out = append(out, s)
	}
	return out
}

func jobFacts(e event.Event, s *Station) {
	if p, ok := decode[event.Job](e); ok {
		s.Title = p.Stage + "." + p.Job + " of run " + strconv.FormatInt(p.Run, 10)
		if p.Attempt > 1 {
			s.fact("attempt", strconv.Itoa(p.Attempt))
		}
		s.fact("agent", p.Agent)
		s.fact("environment", p.Environment)
		s.fact("result", p.Result)
		s.fact("took", seconds(p.Seconds))
		s.fact("why", p.Why)
	}
}

// saidFacts tell what was said last of a thing that is no step on the way.
func saidFacts(e event.Event, s *Station) { s.fact("last said", e.Type) }
