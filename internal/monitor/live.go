package monitor

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// Line is one line of a container.
type Line struct {
	Time        time.Time `json:"time"`
	Namespace   string    `json:"namespace"`
	Pod         string    `json:"pod"`
	Container   string    `json:"container"`
	Source      string    `json:"source" enum:"stdout,stderr"`
	Level       string    `json:"level"`
	Environment string    `json:"environment,omitempty"`
	Release     string    `json:"release,omitempty"`
	Text        string    `json:"text" doc:"as it was written; JSON when the line is an object"`
}

// Lines selects lines of containers. Empty fields select everything.
type Lines struct {
	Environment string
	Namespace   string
	Pod         string   // the beginning of its name: "cart" follows every pod of a workload
	Container   string   // exact
	Levels      []string // ERROR, WARNING, …
	Contains    string   // in the text, without regard to case
}

// Live calls do with lines as they are acknowledged, until ctx ends or do fails. It calls
// do with no lines once it follows, and every quarter of a minute, after asking again
// whether the actor may read. dropped is how many lines the caller was too slow for since the last call.
func (s *Service) Live(ctx context.Context, a identity.Actor, in Scope, f Lines, do func(lines []Line, dropped int64) error) error {
	if err := s.require(ctx, a, in); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type part struct {
		lines   []Line
		dropped int64
	}
	// One goroutine reads, this one writes: a slow reader makes the stream drop, not wait.
	parts := make(chan part)
	go func() {
		cancel(s.Stream.Follow(ctx, table.ContainerLogV2, in.Project, in.All, func(b *table.Batch, dropped int64) error {
			select {
			case parts <- part{f.pick(b), dropped}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
	}()
	// The caller hears that it is followed before it asks what there was.
	if err := do(nil, 0); err != nil {
		return err
	}
	still := time.NewTicker(15 * time.Second)
	defer still.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case p := <-parts:
			if len(p.lines) > 0 || p.dropped > 0 {
				err = do(p.lines, p.dropped)
			}
		case <-still.C:
			if err = s.require(ctx, a, in); err == nil {
				err = do(nil, 0)
			}
		}
		if err != nil {
			return err
		}
	}
}

// pick returns the lines of a batch that are selected.
func (f Lines) pick(b *table.Batch) []Line {
	at := map[string][]string{}
	var times []int64
	if b == nil {
		return nil
	}
	for i, c := range b.Columns {
		if c.Name == table.TimeGenerated {
			times = b.Vectors[i].Int
		}
		at[c.Name] = b.Vectors[i].Text
	}
	word := func(column string, i int) string {
		if v := at[column]; i < len(v) {
			return v[i]
		}
		return ""
	}
	var out []Line
	for i := range b.Rows() {
		l := Line{
			Namespace: word("PodNamespace", i), Pod: word("PodName", i), Container: word("ContainerName", i), Source: word("LogSource", i),
			Level: word("LogLevel", i), Environment: word(table.Environment, i), Release: word(table.Release, i), Text: plain(word("LogMessage", i)),
		}
		if i < len(times) {
			l.Time = table.TimeOf(times[i])
		}
		if f.takes(l) {
			out = append(out, l)
		}
	}
	return out
}

// plain returns the line of a LogMessage: the text of a JSON string, else the JSON itself.
func plain(message string) string {
	var s string
	if strings.HasPrefix(message, `"`) && json.Unmarshal([]byte(message), &s) == nil {
		return s
	}
	return message
}

func (f Lines) takes(l Line) bool {
	level := len(f.Levels) == 0
	for _, want := range f.Levels {
		level = level || strings.EqualFold(want, l.Level)
	}
	return level &&
		(f.Environment == "" || f.Environment == l.Environment) &&
		(f.Namespace == "" || f.Namespace == l.Namespace) &&
		strings.HasPrefix(l.Pod, f.Pod) &&
		(f.Container == "" || f.Container == l.Container) &&
		(f.Contains == "" || strings.Contains(strings.ToLower(l.Text), strings.ToLower(f.Contains)))
}

// Recent returns the newest lines that are selected, oldest first, of the last time.
func (s *Service) Recent(ctx context.Context, a identity.Actor, in Scope, f Lines, since time.Duration, limit int) ([]Line, error) {
	var text strings.Builder
	text.WriteString(table.ContainerLogV2)
	where := func(condition string, values ...string) {
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = Quote(v)
		}
		text.WriteString("\n| where " + condition + strings.Join(quoted, ", "))
		if strings.HasSuffix(condition, "(") {
			text.WriteString(")")
		}
	}
	for _, c := range []struct{ condition, value string }{
		{"Environment == ", f.Environment}, {"PodNamespace == ", f.Namespace}, {"PodName startswith_cs ", f.Pod}, {"ContainerName == ", f.Container},
		{"tostring(LogMessage) contains ", f.Contains},
	} {
		if c.value != "" {
			where(c.condition, c.value)
		}
	}
	if len(f.Levels) > 0 {
		where("LogLevel in~ (", f.Levels...)
	}
	text.WriteString("\n| top " + strconv.Itoa(limit) + " by TimeGenerated desc")
	q := Question{Scope: in, Text: text.String(), MaxRows: limit}
	if since > 0 {
		q.From = s.Clock.Now().Add(-since)
	}
	r, err := s.run(ctx, a, q)
	if err != nil {
		return nil, err
	}
	lines := Lines{}.pick(r.Batch)
	slices.Reverse(lines)
	return lines, nil
}

// Quote writes a text as a string literal of KQL.
func Quote(s string) string { return syntax.Quote(s) }
