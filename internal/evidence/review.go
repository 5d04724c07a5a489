package evidence

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// Verdicts of a review (event.PullReviewed).
const (
	approved         = "approved"
	changesRequested = "changes-requested"
	dismissed        = "dismissed"
)

// proposal is a pull request as its events add up to it.
type proposal struct {
	event.Pull               // as the newest event that carries all of it says
	state      string        // open, merged, closed
	by         string        // actor of the merge or closing
	heads      []string      // commits that it has proposed, oldest first
	reviews    []event.Event // the one that counts of each reviewer, oldest first
	end        event.Event   // the merge or closing; zero while it is open
	begin      event.Event
}

// pullRead bounds how many events of one pull request count: the newest ones.
const pullRead = 2000

// fold adds up the events of a pull request, oldest first; ok is false when none of them
// says what it is.
func fold(events []event.Event) (p proposal, ok bool) {
	reviews := map[string]event.Event{}
	for _, e := range events {
		switch e.Type {
		case event.TypePullOpened, event.TypePullUpdated, event.TypePullMerged, event.TypePullClosed:
			body, decoded := decode[event.Pull](e)
			if !decoded {
				continue
			}
			if !ok {
				p.begin = e
			}
			p.Pull, ok = body, true
			p.turn(e, reviews)
		case event.TypePullReviewed:
			if r, decoded := decode[event.PullReviewed](e); decoded {
				reviews[r.Reviewer] = e
				if r.Verdict == dismissed {
					delete(reviews, r.Reviewer)
				}
			}
		}
	}
	for _, e := range reviews {
		p.reviews = append(p.reviews, e)
	}
	slices.SortFunc(p.reviews, func(a, b event.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return p, ok
}

// turn takes what one event changes beside the description itself.
func (p *proposal) turn(e event.Event, reviews map[string]event.Event) {
	p.state, p.by, p.end = "open", "", event.Event{}
	if p.Head != "" && !slices.Contains(p.heads, p.Head) {
		p.heads = append(p.heads, p.Head)
	}
	if p.Dropped > 0 {
		for who, r := range reviews {
			if v, ok := decode[event.PullReviewed](r); ok && v.Verdict == approved {
				delete(reviews, who)
			}
		}
	}
	switch e.Type {
	case event.TypePullMerged:
		p.state, p.by, p.end = "merged", e.Actor, e
	case event.TypePullClosed:
		p.state, p.by, p.end = "closed", e.Actor, e
	}
}

// who lists the reviewers whose verdict that counts is v, in the order of their reviews.
func (p proposal) who(v string) []string {
	var out []string
	for _, e := range p.reviews {
		if r, ok := decode[event.PullReviewed](e); ok && r.Verdict == v {
			out = append(out, r.Reviewer)
		}
	}
	return out
}

// body is what the review cell of the change with a commit shows of the pull request.
func (p proposal) body(commit string) body {
	n := "#" + strconv.FormatInt(p.Number, 10)
	b := body{Number: p.Number}
	yes, no := p.who(approved), p.who(changesRequested)
	switch {
	case p.state == "merged":
		b.State, b.Name = Open, "merged "+n
		if len(yes) > 0 {
			b.Why = "approved by " + strings.Join(yes, ", ")
		} else {
			b.Why = "by " + plainActor(p.by)
		}
	case commit != p.Head:
		b.State, b.Name, b.Why = None, "superseded", "newer commits in "+n
	case p.state == "closed":
		b.State, b.Name, b.Why = Shut, "closed "+n, "by "+plainActor(p.by)
	case len(no) > 0:
		b.State, b.Name, b.Why = Shut, "changes asked", "by "+strings.Join(no, ", ")+", "+n
	case p.Draft:
		b.State, b.Name, b.Why = Held, "draft "+n, "by "+p.Author
	case len(yes) > 0:
		b.State, b.Name, b.Why = Open, "approved", "by "+strings.Join(yes, ", ")+", "+n
	default:
		b.State, b.Name, b.Why = Held, "in review", n+" waits for a reviewer"
	}
	return b
}

// plainActor is an actor without its kind.
func plainActor(a string) string {
	if _, name, ok := strings.Cut(a, ":"); ok {
		return name
	}
	return a
}

// pull takes an event of a pull request: it writes the review of each change that the
// pull request proposes or has brought.
func (f feed) pull(ctx context.Context) error {
	return f.review(ctx, f.e.Subject, "")
}

// review writes what a pull request says about its changes; only of one commit unless it
// is "".
func (f feed) review(ctx context.Context, pull event.Subject, only string) error {
	events, err := f.log.Read(ctx, event.Query{Subject: pull, Limit: pullRead, Newest: true})
	if err != nil {
		return err
	}
	slices.Reverse(events)
	// Handled again later, the event must say the same as at first.
	events = slices.DeleteFunc(events, func(e event.Event) bool { return e.Seq > f.e.Seq })
	p, ok := fold(events)
	if !ok {
		return nil
	}
	for _, commit := range p.heads {
		if err := f.reviewed(ctx, pull, p, p.Source, commit, only); err != nil {
			return err
		}
	}
	if p.Merged == "" {
		return nil
	}
	return f.reviewed(ctx, pull, p, p.Target, p.Merged, only)
}

func (f feed) reviewed(ctx context.Context, pull event.Subject, p proposal, ref, commit, only string) error {
	if only != "" && commit != only {
		return nil
	}
	id, ok, err := f.changeAt(ctx, p.Repo, ref, commit)
	if err != nil || !ok {
		return err
	}
	return f.put(ctx, id, LockReview, pull.ID(), 0, p.body(commit))
}

// proposed writes the reviews of a commit that was pushed just now: its pull request may
// have said so before.
func (f feed) proposed(ctx context.Context, commit string) error {
	for _, rel := range []string{event.RelProposes, event.RelBrought} {
		edges, err := f.log.In(ctx, event.Of(event.KindCommit, commit), rel, perStep)
		if err != nil {
			return err
		}
		for _, e := range edges {
			if err := f.review(ctx, e.From, commit); err != nil {
				return err
			}
		}
	}
	return nil
}

// reviewCell shows the pull request of a change. A merged one counts before others of the
// same commit, and one that is closed only when there is no other.
func reviewCell(c *Cell, pulls []part, direct bool) {
	if len(pulls) == 0 {
		if direct {
			c.Fact, c.Detail = "direct", "pushed without review"
		}
		return
	}
	rank := func(p part) int {
		switch {
		case strings.HasPrefix(p.body.Name, "merged "):
			return 3
		case p.body.State == None:
			return 0
		case strings.HasPrefix(p.body.Name, "closed "):
			return 1
		}
		return 2
	}
	best := slices.MaxFunc(pulls, func(a, b part) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.seq, b.seq)) })
	c.State, c.Fact, c.Detail = best.body.State, best.body.Name, best.body.Why
	if word, number, ok := strings.Cut(c.Fact, " #"); ok {
		// A cell is narrow: the word first, the number on the second line.
		c.Fact, c.Detail = word, strings.TrimSuffix("#"+number+", "+c.Detail, ", ")
	}
	c.Since, c.Who, c.Link = best.time, best.actor, event.Of(event.KindPull, best.key)
}
