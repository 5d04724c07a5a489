package insight

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/work"
)

// gatherFor is how long an item waits for what other parts know of its cause.
const gatherFor = 10 * time.Second

// cause gathers what is known of a signal's cause. What cannot be known is left out: an
// item without suspects is better than none.
func (s *Service) cause(ctx context.Context, r row) Cause {
	ctx, cancel := context.WithTimeout(ctx, gatherFor)
	defer cancel()
	c := Cause{Project: r.Project, Source: r.Source, Release: r.Release, Stable: r.Stable, Evidence: slices.Clone(r.Evidence), Suspects: []Commit{}}
	steps := []struct {
		what string
		do   func(context.Context, row, *Cause) error
	}{{"commits", s.suspects}, {"owner", s.owner}, {"impact", s.impact}}
	for _, step := range steps {
		if err := step.do(ctx, r, &c); err != nil && !fault.Is(err, fault.NotFound) {
			s.Logger.Warn("gathering what is known of a signal", "signal", r.Key, "about", step.what, "error", err)
		}
	}
	return c
}

// suspects finds the commits that the release has and the stable one has not.
func (s *Service) suspects(ctx context.Context, r row, c *Cause) error {
	c.From, c.To = r.Before, r.Commit
	if r.Release != "" {
		tried, err := s.release(ctx, r.Release)
		if err != nil {
			return err
		}
		if c.Stable == "" {
			if c.Stable, err = s.served(ctx, r.Project, r.Environment, r.Release); err != nil {
				return err
			}
		}
		before, err := s.release(ctx, c.Stable)
		if err != nil {
			return err
		}
		c.From, c.To = before.Commit, tried.Commit
	}
	if c.To == "" || s.Commits == nil || r.Source == SourceVulnerability || r.Source == SourceDependency {
		return nil // Advisories come without a commit.
	}
	var err error
	var found []Commit
	c.Repo, found, err = s.Commits.Range(ctx, r.Project, c.From, c.To)
	c.Suspects = append(c.Suspects, found...)
	return err
}

// served returns the release that served an environment before another one, "" for none.
func (s *Service) served(ctx context.Context, project, environment, release string) (string, error) {
	n := numberOf(release)
	for i := n - 1; i > 0 && i >= n-20; i-- {
		id := fmt.Sprintf("%s/%s/%d", project, environment, i)
		r, err := s.release(ctx, id)
		if err != nil {
			return "", err
		}
		if r.Result == "deployed" {
			return id, nil
		}
	}
	return "", nil
}

// owner finds who is asked first: the owner of what the suspects changed, else who changed
// it last.
func (s *Service) owner(ctx context.Context, r row, c *Cause) error {
	var paths []string
	for _, k := range c.Suspects {
		paths = append(paths, k.Files...)
	}
	paths = append(paths, named(r.Path)...)
	repo, commit := cmp.Or(c.Repo, r.Repo), cmp.Or(c.To, r.Commit)
	var err error
	if len(paths) > 0 && s.Commits != nil && repo != "" && commit != "" {
		var users []string
		if users, err = s.Commits.Owners(ctx, repo, commit, paths); len(users) > 0 {
			c.Owner, c.OwnerBy = users[0], "CODEOWNERS"
			return nil
		}
	}
	for _, k := range c.Suspects {
		if k.User != "" {
			c.Owner, c.OwnerBy = k.User, "last change"
			break
		}
	}
	return err
}

// impact says what the cause costs: what the event said, else what telemetry knows.
func (s *Service) impact(ctx context.Context, r row, c *Cause) error {
	c.Impact.Since = r.First
	if len(r.Operations) > 0 {
		o := r.Operations[0]
		c.Impact = Impact{Requests: o.Requests, FailureShare: o.FailureShare, P95: o.P95, Since: r.First}
		return nil
	}
	if s.Telemetry == nil || r.Environment == "" || len(r.Workloads) == 0 {
		return nil
	}
	now, err := s.Telemetry.Impact(ctx, r.Project, r.Environment, r.Workloads[0], r.First.Add(-time.Hour))
	if err == nil && now.Requests > 0 {
		now.Since, c.Impact = r.First, now
	}
	return err
}

// signal is what the item is told. onto is the item of another signal that it
// joins, 0 for none.
func (s *Service) signal(r row, c Cause, onto int64) work.Signal {
	g := work.Signal{
		Project: r.Project, Source: r.Source, Rule: r.Rule, Resource: r.Resource, Group: r.Group, Type: r.Type, Title: r.Title, Body: body(r, c),
		Severity: r.Severity, Exposure: r.Exposure, Assignee: c.Owner, Sprint: sprintFor(r), Labels: []string{"insight"}, Seen: r.Last, Times: max(r.repeats, 1),
		Links: links(r, c), Onto: onto,
	}
	g.Note = fmt.Sprintf("**%s** %s\n\n%s", r.Source, markdown(r.Title), body(r, c))
	if onto != 0 {
		g.Note = "The same cause shows as " + g.Note
	}
	return g
}

// sprintFor suggests a sprint by severity. A canary that was rejected is always of now: the
// change that it holds up waits for the mend.
func sprintFor(r row) string {
	switch {
	case r.Source == SourceCanary, r.Severity == "critical":
		return "@current"
	case r.Severity == "high":
		return "@next"
	}
	return ""
}

// links are the item's edges: what it concerns, and what it suspects.
func links(r row, c Cause) []work.Link {
	var out []work.Link
	add := func(rel string, to event.Subject, title string) {
		if to == "" || slices.ContainsFunc(out, func(k work.Link) bool { return k.Subject == string(to) && k.Rel == rel }) {
			return
		}
		out = append(out, work.Link{Rel: rel, Kind: to.Kind(), Subject: string(to), Title: clip(title)})
	}
	if r.Release != "" {
		add(event.RelConcerns, event.Of(event.KindRelease, r.Release), r.Release)
	}
	for _, e := range r.Evidence {
		switch e.Subject.Kind() {
		case event.KindRelease, event.KindAlert, event.KindImage, event.KindRun, event.KindPull, event.KindSession, event.KindDecision, event.KindPod:
			add(event.RelConcerns, e.Subject, e.Text)
		}
	}
	for _, k := range c.Suspects {
		add(event.RelSuspects, event.Of(event.KindCommit, k.Hash), clip(k.Title))
	}
	return out
}

// body writes what is known in Markdown.
func body(r row, c Cause) string {
	var b strings.Builder
	if r.Release != "" {
		fmt.Fprintf(&b, "Release **%s**", r.Release)
		if c.Stable != "" {
			fmt.Fprintf(&b, ", beside or after %s", c.Stable)
		}
		b.WriteString(".\n\n")
	}
	if c.Impact.Requests > 0 {
		fmt.Fprintf(&b, "Impact: %d requests, %s of them fail, p95 %.0f ms, since %s.\n\n", c.Impact.Requests, percent(c.Impact.FailureShare), c.Impact.P95, moment(c.Impact.Since))
	}
	for _, o := range r.Operations {
		fmt.Fprintf(&b, "- `%s %s`: %s of %d requests fail (before: %s of %d), p95 %.0f ms (before: %.0f ms)\n", plain(o.Role), plain(o.Name), percent(o.FailureShare),
			o.Requests, percent(o.FailureBefore), o.RequestsBefore, o.P95, o.P95Before)
	}
	if len(r.Evidence) > 0 {
		b.WriteString("\n### Evidence\n")
		for _, e := range r.Evidence {
			b.WriteString("\n" + evidenceLine(e))
		}
		b.WriteString("\n")
	}
	if len(c.Suspects) > 0 {
		fmt.Fprintf(&b, "\n### Suspects\n\n%d commit(s) of %s from `%.12s` to `%.12s`:\n\n", len(c.Suspects), c.Repo, cmp.Or(c.From, "the beginning"), c.To)
		for _, k := range c.Suspects {
			b.WriteString("- " + commitLine(k) + "\n")
		}
	}
	if c.Owner != "" {
		fmt.Fprintf(&b, "\nOwner: @%s (%s)\n", c.Owner, c.OwnerBy)
	}
	return b.String()
}

// evidenceLine writes one piece of evidence as an entry of a list, with its query below.
func evidenceLine(e Evidence) string {
	text := "- " + markdown(e.Text)
	if e.Subject != "" {
		text += " (`" + plain(string(e.Subject)) + "`)"
	}
	if e.Trace != "" {
		text += " trace `" + plain(e.Trace) + "`"
	}
	if e.Query != "" {
		text += "\n\n  ```kusto\n  " + strings.ReplaceAll(strings.ReplaceAll(e.Query, "```", "'''"), "\n", "\n  ") + "\n  ```\n"
	}
	return text
}

// markdown writes a text from outside so that it stays text.
func markdown(s string) string {
	var b strings.Builder
	for _, c := range s {
		if strings.ContainsRune("\\`*_[]<>#|~!@", c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// plain writes a text that stands between backquotes.
func plain(s string) string { return strings.NewReplacer("`", "'", "\n", " ").Replace(s) }

// keepCause stores what is known behind an item. While the item stays open that of a more
// telling signal stays, and that of the first of a release; evidence of the others is theirs.
func (s *Service) keepCause(ctx context.Context, c Cause, stays bool) error {
	document, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding the cause of item %d: %w", c.Item, err)
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		old, ok, err := causeOf(ctx, tx, c.Item)
		if err != nil {
			return err
		}
		known := len(old.Suspects) > 0 || len(c.Suspects) == 0
		if ok && known && (old.Release == c.Release || stays && old.Source != "" && rank(old.Source) < rank(c.Source)) {
			return nil
		}
		_, err = tx.Exec(ctx, `INSERT INTO insight_cause (item, project, document) VALUES (?,?,?)
			ON CONFLICT (item) DO UPDATE SET document = excluded.document`, c.Item, c.Project, string(document))
		if err != nil {
			return fmt.Errorf("storing the cause of item %d: %w", c.Item, err)
		}
		return nil
	})
}

func causeOf(ctx context.Context, h store.Handle, item int64) (c Cause, ok bool, err error) {
	var document string
	err = h.QueryRow(ctx, `SELECT document FROM insight_cause WHERE item = ?`, item).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(document), &c)
	}
	if err != nil {
		return c, false, fmt.Errorf("reading the cause of item %d: %w", item, err)
	}
	return c, true, nil
}

// write stores a signal that nothing else writes at the same time.
func (s *Service) write(ctx context.Context, r row) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error { return put(ctx, tx, r) })
}
