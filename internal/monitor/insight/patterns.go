package insight

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/insight/drain"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// maxLines is how many rows patterns are looked for in.
const maxLines = 20_000

// Patterns returns what the texts of a column have in common, the most frequent first. Of
// a dynamic that is an object the message is taken, as loggers name it.
func Patterns(b *table.Batch, column string) []drain.Pattern {
	at := b.Index(column)
	if at < 0 || b.Vectors[at].Text == nil {
		return nil
	}
	m := drain.New(drain.Options{})
	for _, text := range b.Vectors[at].Text {
		m.Add(message(b.Columns[at].Kind, text), 1)
	}
	return m.Patterns()
}

// message returns the text that a person would read in a value.
func message(kind table.Kind, text string) string {
	if kind != table.Dynamic || text == "" {
		return text
	}
	var s string
	if text[0] == '"' && json.Unmarshal([]byte(text), &s) == nil {
		return s
	}
	var fields map[string]json.RawMessage
	if text[0] != '{' || json.Unmarshal([]byte(text), &fields) != nil {
		return text
	}
	for _, name := range []string{"msg", "message", "Message", "event", "error"} {
		if raw, ok := fields[name]; ok && json.Unmarshal(raw, &s) == nil {
			return s
		}
	}
	return text
}

// PatternQuestion asks for the patterns of the lines of a project.
type PatternQuestion struct {
	Scope
	// Text is KQL that gives rows with a column LogMessage or Message; "" is all lines of containers.
	Text string
}

// PatternAnswer is the patterns of lines.
type PatternAnswer struct {
	Patterns  []drain.Pattern `json:"patterns"`
	Rows      int             `json:"rows" doc:"that were looked at"`
	Truncated bool            `json:"truncated,omitempty" doc:"there were more"`
	Query     string          `json:"query"`
}

// Patterns answers what the rows of a question have in common.
func (s *Service) Patterns(ctx context.Context, a identity.Actor, q PatternQuestion) (*PatternAnswer, error) {
	if err := s.check(ctx, a, &q.Scope); err != nil {
		return nil, err
	}
	if strings.TrimSpace(q.Text) == "" {
		q.Text = "ContainerLogV2" + q.where() + "\n| project LogMessage"
	}
	r, err := s.ask(ctx, q.Scope, q.Text, maxLines)
	if err != nil {
		return nil, err
	}
	out := &PatternAnswer{Patterns: []drain.Pattern{}, Rows: r.Rows(), Truncated: r.truncated, Query: q.Text}
	for _, column := range []string{"LogMessage", "Message"} {
		if p := Patterns(r.Batch, column); p != nil {
			out.Patterns = p
			break
		}
	}
	return out, nil
}

// novel returns the patterns of the lines of a release that its baseline did not write.
func (s *Service) novel(ctx context.Context, now, before Scope, release, baseline string) ([]drain.Pattern, error) {
	text := func(in Scope, release string) string {
		return fmt.Sprintf("ContainerLogV2%s\n| where Release == %s\n| project LogMessage", in.where(), syntax.Quote(release))
	}
	old, err := s.ask(ctx, before, text(before, baseline), maxLines)
	if err != nil {
		return nil, err
	}
	fresh, err := s.ask(ctx, now, text(now, release), maxLines)
	if err != nil {
		return nil, err
	}
	// Without lines to compare with every pattern would be new.
	if old.Rows() == 0 {
		return nil, nil
	}
	// One miner for both, the old lines first: a pattern is the same for both.
	m := drain.New(drain.Options{})
	known := map[*drain.Cluster]bool{}
	lines := func(r *answer, each func(*drain.Cluster)) {
		at := r.Index("LogMessage")
		for _, v := range r.Vectors[at].Text {
			each(m.Add(message(table.Dynamic, v), 1))
		}
	}
	lines(old, func(c *drain.Cluster) { known[c] = true })
	counts := map[*drain.Cluster]int64{}
	var order []*drain.Cluster
	lines(fresh, func(c *drain.Cluster) {
		if known[c] {
			return
		}
		if counts[c] == 0 {
			order = append(order, c)
		}
		counts[c]++
	})
	out := []drain.Pattern{}
	for _, c := range order {
		if len(out) == maxListed {
			break
		}
		out = append(out, drain.Pattern{Text: c.Text(), Count: counts[c], Sample: c.Sample()})
	}
	return out, nil
}
