package pull

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/identity"
)

// Timeline returns everything that happened, the oldest first: what became of the pull
// request, reviews, and comments with their threads.
func (s *Service) Timeline(ctx context.Context, a identity.Actor, repo string, n int64) ([]Entry, error) {
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return nil, err
	}
	list, err := s.entries(ctx, p.Pull)
	if err != nil {
		return nil, err
	}
	reviews, err := s.reviews(ctx, p)
	if err != nil {
		return nil, err
	}
	for i := range reviews {
		r := &reviews[i]
		list = append(list, dated{r.ID, Entry{Kind: EntryReview, Time: r.Time, Actor: identity.KindUser + ":" + r.Reviewer, Review: r}})
	}
	threads, err := s.threads(ctx, at, p)
	if err != nil {
		return nil, err
	}
	for i := range threads {
		t := &threads[i]
		e := Entry{Kind: EntryComment, Time: t.Created, Thread: t}
		if len(t.Comments) > 0 {
			e.Actor = t.Comments[0].Author
		}
		list = append(list, dated{t.ID, e})
	}
	// Identifiers sort in the order in which they were made, within one millisecond too.
	slices.SortFunc(list, func(a, b dated) int { return strings.Compare(a.id, b.id) })
	out := make([]Entry, 0, len(list))
	for _, d := range list {
		out = append(out, d.Entry)
	}
	return out, nil
}

// dated is an entry with the identifier by which it is sorted.
type dated struct {
	id string
	Entry
}

func (s *Service) entries(ctx context.Context, p Pull) ([]dated, error) {
	found, err := s.db.Query(ctx, `SELECT id, kind, made, actor, was, became, note, count FROM source_pull_entry WHERE repo = ? AND number = ? ORDER BY id`, p.Repo, p.Number)
	if err != nil {
		return nil, fmt.Errorf("reading the timeline of %s: %w", p.key(), err)
	}
	defer found.Close()
	var list []dated
	for found.Next() {
		var d dated
		var made int64
		if err := found.Scan(&d.id, &d.Kind, &made, &d.Actor, &d.From, &d.To, &d.Text, &d.Count); err != nil {
			return nil, fmt.Errorf("reading the timeline of %s: %w", p.key(), err)
		}
		d.Time = fromMillis(made)
		list = append(list, d)
	}
	return list, found.Err()
}
