package evidence

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
)

// canary takes a step of a canary, or its end, into the deployments of the changes that
// its release is of.
func (f feed) canary(ctx context.Context) error {
	p, ok := decode[event.Canary](f.e)
	if !ok {
		return nil
	}
	ids, err := f.changesOf(ctx, f.e.Subject)
	if err != nil {
		return err
	}
	for _, id := range ids {
		run, b, ok, err := f.get(ctx, id, LockDeploy, f.e.Subject.ID())
		if err != nil {
			return err
		}
		if !ok || b.Name == "deployed" {
			continue // Nothing was said of the release here, or it is settled.
		}
		b.State, b.Weight, b.Why = Passing, p.Weight, p.Why
		b.Name = fmt.Sprintf("step %d of %d", p.Step, p.Steps)
		switch p.State {
		case "paused", "inconclusive":
			b.State = Held
		case "rejecting", "rejected":
			b.State, b.Weight, b.Name = Shut, 0, p.State
		case "promoted":
			b.Weight, b.Name = 0, p.State
		}
		if err := f.put(ctx, id, LockDeploy, f.e.Subject.ID(), run, b); err != nil {
			return err
		}
	}
	return nil
}

// item takes an item into the backlog of the changes that it blames, and of those that
// mention or mend it. Links are told once: later events find the changes that they bound.
func (f feed) item(ctx context.Context) error {
	p, ok := decode[event.Item](f.e)
	if !ok {
		return nil
	}
	blamed := map[int64]bool{}
	for _, l := range f.e.Links {
		ids, blames, err := f.linked(ctx, l)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := f.bind(ctx, f.e.Subject, id); err != nil {
				return err
			}
			blamed[id] = blamed[id] || blames
		}
	}
	ids, err := f.changesOf(ctx, f.e.Subject)
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, before, _, err := f.get(ctx, id, LockBacklog, f.e.Subject.ID())
		if err != nil {
			return err
		}
		b := body{State: Passing, Name: p.Title, Why: p.Why, Blamed: blamed[id] || before.Blamed}
		switch {
		case closedItem(p.Category):
			b.State = Open
		case b.Blamed && p.Severity == "critical":
			b.State = Shut
		case b.Blamed:
			b.State = Held
		}
		if err := f.put(ctx, id, LockBacklog, f.e.Subject.ID(), 0, b); err != nil {
			return err
		}
	}
	return nil
}

// maxItems is how many items of a change are told of.
const maxItems = 500

// Items returns the numbers of the items that a commit's cell in the backlog counts, the
// closed ones too, at most 500 and by number; none for a commit that is no change of the
// project.
func (s *Service) Items(ctx context.Context, a identity.Actor, project, commit string) ([]int64, error) {
	if err := s.authz.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT DISTINCT p.part FROM path_part p JOIN path_change c ON c.id = p.change_id
		WHERE c.commit_hash = ? AND c.project = ? AND p.lock = ? LIMIT ?`, commit, project, LockBacklog, maxItems)
	if err != nil {
		return nil, fmt.Errorf("reading the items of %s: %w", commit, err)
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("reading the items of %s: %w", commit, err)
		}
		n, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading the items of %s: %w", commit, err)
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, rows.Err()
}

// linked finds the changes at the end of an item's link; blames says that the item is
// about what they did, not about what they are for.
func (f feed) linked(ctx context.Context, l event.Link) (ids []int64, blames bool, err error) {
	blames = l.Rel == event.RelConcerns || l.Rel == event.RelSuspects
	switch {
	case !blames && l.Rel != event.RelFixedBy && l.Rel != event.RelMentioned:
		return nil, false, nil
	case l.To.Kind() == event.KindCommit:
		id, ok, err := f.changeOf(ctx, "", "", l.To.ID())
		if err != nil || !ok {
			return nil, blames, err
		}
		return []int64{id}, blames, nil
	case l.To.Kind() == event.KindAlert:
		edges, err := f.log.Out(ctx, l.To, event.RelConcerns, perStep)
		if err != nil {
			return nil, blames, err
		}
		for _, e := range edges {
			more, err := f.changesOf(ctx, e.To)
			if err != nil {
				return nil, blames, err
			}
			ids = append(ids, more...)
		}
		return ids, blames, nil
	}
	ids, err = f.changesOf(ctx, l.To)
	return ids, blames, err
}

// backlogCell counts the items of a change: those open against it hold it, a critical one
// shuts it; work that it belongs to is passing until it is done.
func backlogCell(c *Cell, items []part) {
	if len(items) == 0 {
		return
	}
	c.worst(items, func(p part) event.Subject { return event.Of(event.KindItem, p.key) })
	at := slices.DeleteFunc(slices.Clone(items), func(p part) bool { return p.body.State != c.State })
	if c.State == Held || c.State == Shut {
		// Both hold the change up; a person wants to know how many.
		at = slices.DeleteFunc(slices.Clone(items), func(p part) bool { return p.body.State != Held && p.body.State != Shut })
	}
	c.Fact = plural(len(at), "item")
	newest := slices.MaxFunc(at, func(a, b part) int {
		return cmp.Or(cmp.Compare(slices.Index(severity, a.body.State), slices.Index(severity, b.body.State)), cmp.Compare(a.seq, b.seq))
	})
	if c.State == Open {
		c.Detail = "closed"
		return
	}
	c.Detail = strings.TrimSpace("#" + newest.key + " " + newest.body.Name)
}
