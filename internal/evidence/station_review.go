package evidence

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// Kinds of stations that a pull request has beside its own.
const (
	kindReview = "review" // one reviewer's newest verdict
	kindMerge  = "merge"
)

// pullStations are the pull request, the verdicts that count, and its merge.
func pullStations(subject event.Subject, events []event.Event) []Station {
	p, ok := fold(events)
	if !ok {
		return nil
	}
	out := one(subject, p.begin, func(_ event.Event, s *Station) {
		s.Title = "#" + strconv.FormatInt(p.Number, 10) + " " + p.Title
		s.Actor = "user:" + p.Author
		state := p.state
		if state == "open" && p.Draft {
			state = "draft"
		}
		s.fact("state", state)
		s.fact("repository", p.Repo)
		s.fact("branches", strings.TrimPrefix(p.Source, "refs/heads/")+" → "+strings.TrimPrefix(p.Target, "refs/heads/"))
		s.fact("head", p.Head)
	})
	for _, e := range p.reviews {
		r, ok := decode[event.PullReviewed](e)
		if !ok {
			continue
		}
		s := Station{Kind: kindReview, Subject: subject, Title: strings.ReplaceAll(r.Verdict, "-", " ") + " by " + r.Reviewer, Digest: r.Commit, Time: e.Time, Actor: e.Actor, Seq: e.Seq, Hash: e.Hash}
		s.fact("verdict", r.Verdict)
		out = append(out, s)
	}
	if p.state == "merged" {
		s := Station{Kind: kindMerge, Subject: subject, Title: "merged by " + plainActor(p.by), Digest: p.Merged, Time: p.end.Time, Actor: p.by, Seq: p.end.Seq, Hash: p.end.Hash}
		s.fact("method", p.Method)
		s.fact("into", strings.TrimPrefix(p.Target, "refs/heads/"))
		out = append(out, s)
	}
	return out
}

// decisionFacts say what was decided, where, and of a refusal by which rule of which
// assignment: what one compares between two points.
func decisionFacts(e event.Event, s *Station) {
	p, ok := decode[event.DecisionMade](e)
	if !ok {
		return
	}
	s.Digest = p.Input
	result := "allowed"
	if !p.Allowed {
		result = "refused"
	}
	s.Title = result + " at " + p.Point
	s.fact("point", p.Point)
	s.fact("environment", p.Environment)
	s.fact("object", p.Object)
	s.fact("verdict", result)
	told, audited := false, 0
	for _, v := range p.Verdicts {
		if v.Outcome == outcomeAudited {
			audited++
		}
		if told || v.Outcome != outcomeDenied && v.Outcome != outcomeError {
			continue
		}
		told = true
		s.fact("assignment", v.Assignment)
		s.fact("rule", v.Rule)
		s.fact("policy", v.Policy)
		s.fact("on", strings.TrimSuffix(v.Object+" "+v.Path, " "))
		s.fact("message", v.Message)
		if v.File != "" {
			s.fact("at", v.File+":"+strconv.Itoa(v.Line))
		}
	}
	if audited > 0 {
		s.fact("audited", strconv.Itoa(audited))
	}
	s.fact("set", p.Set)
	s.fact("input", p.Input)
}
