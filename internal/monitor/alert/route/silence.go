package route

import (
	"bytes"
	"time"

	"github.com/prometheus/alertmanager/silence/silencepb"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Silence keeps notifications of alerts that match back. That of a project concerns its
// alerts only.
type Silence struct {
	ID       string
	Project  string
	Matchers []Matcher
	Starts   time.Time
	Until    time.Time
	Changed  time.Time
	By, Why  string
}

// Silence adds silences, or shortens those whose ID it knows when Changed is younger.
func (r *Router) Silence(list ...Silence) error {
	var buf bytes.Buffer
	for _, s := range list {
		p := &silencepb.Silence{
			Id: s.ID, StartsAt: timestamppb.New(s.Starts), EndsAt: timestamppb.New(s.Until), UpdatedAt: timestamppb.New(s.Changed), CreatedBy: s.By, Comment: s.Why,
		}
		for _, m := range within(s.Project, s.Matchers) {
			p.Matchers = append(p.Matchers, &silencepb.Matcher{Type: operator(m.Operator), Name: m.Label, Pattern: m.Value})
		}
		p.MatcherSets = []*silencepb.MatcherSet{{Matchers: p.Matchers}}
		if _, err := protodelim.MarshalTo(&buf, &silencepb.MeshSilence{Silence: p, ExpiresAt: timestamppb.New(s.Until.Add(retention))}); err != nil {
			return err
		}
	}
	// Merging is how Alertmanager takes silences that were made elsewhere under an id.
	return r.silences.Merge(buf.Bytes())
}

func operator(s string) silencepb.Matcher_Type {
	switch s {
	case "!=":
		return silencepb.Matcher_NOT_EQUAL
	case "=~":
		return silencepb.Matcher_REGEXP
	case "!~":
		return silencepb.Matcher_NOT_REGEXP
	}
	return silencepb.Matcher_EQUAL
}
