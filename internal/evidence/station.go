package evidence

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
)

// stations makes what a subject's events say into stations: one, for a run one more
// for each test result, for a release those of its telemetry. events are oldest first and not empty. A payload that cannot be
// decoded gives a station without facts rather than none: the event still stands.
func stations(subject event.Subject, events []event.Event) []Station {
	switch subject.Kind() {
	case event.KindRun:
		return runStations(subject, events)
	case event.KindPull:
		return pullStations(subject, events)
	case event.KindDecision:
		return one(subject, last(events, event.TypeDecisionMade), decisionFacts)
	case event.KindCommit:
		return one(subject, first(events, event.TypeCommitPushed), commitFacts)
	case event.KindImage:
		return one(subject, first(events, event.TypeImagePushed), imageFacts)
	case event.KindSBOM:
		return one(subject, last(events, event.TypeSBOMCreated), sbomFacts)
	case event.KindScan:
		return one(subject, last(events, event.TypeScanFinished), scanFacts)
	case event.KindSignature:
		return one(subject, last(events, event.TypeImageSigned), signatureFacts)
	case event.KindProvenance:
		return one(subject, last(events, event.TypeProvenanceCreated), provenanceFacts)
	case event.KindRelease:
		return releaseStations(subject, events)
	case event.KindAlert:
		return alertStations(subject, events)
	case event.KindPod:
		return one(subject, last(events, event.TypePodChanged), podFacts)
	case event.KindItem:
		return itemStations(subject, events)
	case event.KindSession:
		return sessionStations(subject, events)
	case event.KindJob:
		return one(subject, last(events, event.TypeJobStarted, event.TypeJobFinished), jobFacts)
	case event.KindRepo, event.KindProject, event.KindUser:
		return one(subject, last(events), saidFacts)
	}
	return nil
}

func first(events []event.Event, types ...string) event.Event {
	for _, e := range events {
		for _, t := range types {
			if e.Type == t {
				return e
			}
		}
	}
	return events[0]
}

func last(events []event.Event, types ...string) event.Event {
	for i := len(events) - 1; i >= 0; i-- {
		for _, t := range types {
			if events[i].Type == t {
				return events[i]
			}
		}
	}
	return events[len(events)-1]
}

func one(subject event.Subject, e event.Event, describe func(event.Event, *Station)) []Station {
	s := Station{Kind: subject.Kind(), Subject: subject, Title: subject.ID(), Time: e.Time, Actor: e.Actor, Seq: e.Seq, Hash: e.Hash}
	describe(e, &s)
	return []Station{s}
}

// fact adds a fact when it has a value.
func (s *Station) fact(name, value string) {
	if value != "" {
		s.Facts = append(s.Facts, Fact{name, value})
	}
}

func commitFacts(e event.Event, s *Station) {
	s.Digest = s.Subject.ID()
	if p, ok := decode[event.CommitPushed](e); ok {
		s.Title = p.Title
		s.fact("repository", p.Repo)
		s.fact("branch", strings.TrimPrefix(p.Ref, "refs/heads/"))
		s.fact("author", p.Author)
	}
}

func imageFacts(e event.Event, s *Station) {
	s.Digest = s.Subject.ID()
	if p, ok := decode[event.ImagePushed](e); ok {
		s.Title = p.Repository
		if p.Tag != "" {
			s.Title += ":" + p.Tag
		}
		s.fact("size", size(p.Bytes))
	}
}

func sbomFacts(e event.Event, s *Station) {
	if p, ok := decode[event.SBOMCreated](e); ok {
		s.Title, s.Digest = strings.ToUpper(p.Format)+" of "+p.Repository, p.Digest
		s.fact("packages", strconv.Itoa(p.Packages))
	}
}

func scanFacts(e event.Event, s *Station) {
	if p, ok := decode[event.ScanFinished](e); ok {
		s.Title, s.Digest = p.Status, p.Digest
		s.fact("image", p.Repository)
		s.fact("findings", fmt.Sprintf("%d critical, %d high, %d medium, %d low, %d unknown", p.Critical, p.High, p.Medium, p.Low, p.Unknown))
		s.fact("packages", strconv.Itoa(p.Packages))
		if !p.Advisories.IsZero() {
			s.fact("advisories of", p.Advisories.UTC().Format(time.DateOnly))
		}
		s.fact("without advisories", strings.Join(p.Missing, ", "))
	}
}

func signatureFacts(e event.Event, s *Station) {
	if p, ok := decode[event.ImageSigned](e); ok {
		s.Title, s.Digest = "signed by "+p.Identity, p.Digest
		s.fact("image", p.Repository)
	}
}

func provenanceFacts(e event.Event, s *Station) {
	if p, ok := decode[event.ProvenanceCreated](e); ok {
		s.Title, s.Digest = "built by "+p.Builder, p.Digest
		s.fact("image", p.Repository)
		s.fact("commit", p.Commit)
		if p.Run > 0 {
			s.fact("run", strconv.FormatInt(p.Run, 10))
		}
	}
}

func releaseFacts(e event.Event, s *Station) {
	if p, ok := decode[event.Release](e); ok {
		s.Title = p.Release
		result := p.Result
		if result == "" {
			result = "started"
		}
		s.fact("result", result)
		s.fact("chart", p.Chart)
		s.fact("namespace", p.Namespace)
		s.fact("images", strconv.Itoa(len(p.Images)))
		s.fact("serves", strings.Join(p.Hosts, " "))
		s.fact("why", p.Why)
	}
}

func podFacts(e event.Event, s *Station) {
	if p, ok := decode[event.PodChanged](e); ok {
		s.Title = p.Name
		state := "not ready"
		switch {
		case p.Gone:
			state = "gone"
		case p.Ready:
			state = "ready"
		}
		s.fact("state", state)
		s.fact("namespace", p.Namespace)
		if p.Restarts > 0 {
			s.fact("restarts", strconv.Itoa(p.Restarts))
		}
		s.fact("why", p.Why)
	}
}

func runStations(subject event.Subject, events []event.Event) []Station {
	e := last(events, event.TypeRunQueued, event.TypeRunStarted, event.TypeRunFinished)
	out := one(subject, e, func(e event.Event, s *Station) {
		s.Title = "run " + subject.ID()
		begin := first(events, event.TypeRunQueued, event.TypeRunStarted)
		if p, ok := decode[event.Run](begin); ok {
			s.Actor = begin.Actor
			if p.Pipeline != "" {
				s.Title += " of " + p.Pipeline
			}
			s.fact("reason", p.Reason)
		}
		result := map[string]string{event.TypeRunQueued: "queued", event.TypeRunStarted: "running"}[e.Type]
		if p, ok := decode[event.RunFinished](e); ok && e.Type == event.TypeRunFinished {
			result = p.Result
			s.fact("took", seconds(p.Seconds))
			s.fact("why", p.Why)
		}
		s.fact("result", result)
	})
	for _, e := range events {
		p, ok := decode[event.TestsPublished](e)
		if e.Type != event.TypeTestsPublished || !ok {
			continue
		}
		s := Station{
			Kind: kindTests, Subject: subject, Title: p.Title, Digest: p.Digest, Time: e.Time, Actor: e.Actor, Seq: e.Seq, Hash: e.Hash,
		}
		s.fact("passed", fmt.Sprintf("%d of %d", p.Passed, p.Total))
		if p.Failed > 0 {
			s.fact("failed", strconv.Itoa(p.Failed))
		}
		if p.Skipped > 0 {
			s.fact("skipped", strconv.Itoa(p.Skipped))
		}
		s.fact("took", seconds(p.Seconds))
		out = append(out, s)
	}
	return out
}

// decode reads the payload of an event; ok is false when it is another one.
func decode[P any](e event.Event) (p P, ok bool) {
	err := e.Into(&p)
	return p, err == nil
}

// seconds writes a duration as people do: "4.1 s", "1 min 12 s", "2 h 5 min".
func seconds(f float64) string {
	d := time.Duration(f * float64(time.Second))
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

func size(n int64) string {
	switch {
	case n <= 0:
		return ""
	case n < 1<<20:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
