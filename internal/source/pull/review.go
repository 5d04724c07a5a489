package pull

import (
	"context"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/store"
)

// review is a review as it is stored.
type review struct {
	Review
	admin bool // the reviewer was an administrator of the installation
	stale bool // dropped when something else came to be proposed
}

// maxReviews is how many reviews a pull request may have.
const maxReviews = 1000

func reviewsOf(ctx context.Context, h store.Handle, p Pull) ([]review, error) {
	found, err := h.Query(ctx, `SELECT id, reviewer, admin, verdict, body, commit_id, base_id, target, given, stale, dismissed, dismissed_by, reason
		FROM source_pull_review WHERE repo = ? AND number = ? ORDER BY id`, p.Repo, p.Number)
	if err != nil {
		return nil, fmt.Errorf("listing the reviews of %s: %w", p.key(), err)
	}
	defer found.Close()
	var list []review
	for found.Next() {
		var r review
		var admin, given, stale, dismissed int64
		if err := found.Scan(&r.ID, &r.Reviewer, &admin, &r.Verdict, &r.Body, &r.Commit, &r.Base, &r.Target, &given, &stale, &dismissed, &r.DismissedBy, &r.Reason); err != nil {
			return nil, fmt.Errorf("listing the reviews of %s: %w", p.key(), err)
		}
		r.admin, r.stale, r.Time, r.Dismissed = admin != 0, stale != 0, fromMillis(given), fromMillis(dismissed)
		list = append(list, r)
	}
	return list, found.Err()
}

// weigh says of each review whether it counts now, and why not.
func (s *Service) weigh(ctx context.Context, p row, req ruleset.Requirements) ([]review, error) {
	list, err := reviewsOf(ctx, s.db, p.Pull)
	if err != nil {
		return nil, err
	}
	last := map[string]int{} // reviewer → index of his last word
	for i, r := range list {
		if r.Verdict != Commented && r.Dismissed.IsZero() {
			last[r.Reviewer] = i
		}
	}
	writers := map[string]bool{}
	for who, i := range last {
		a := identity.Actor{Kind: identity.KindUser, Name: who, Admin: list[i].admin, Cap: identity.Admin}
		if writers[who], err = s.holds(ctx, a, p.project, identity.Write); err != nil {
			return nil, err
		}
	}
	for i := range list {
		r := &list[i]
		newest, given := last[r.Reviewer]
		switch {
		case r.Verdict == Commented:
			r.Why = "a comment decides nothing"
		case !r.Dismissed.IsZero():
			r.Why = "dismissed by " + r.DismissedBy
		case given && newest != i:
			r.Why = "replaced by a later review"
		case !writers[r.Reviewer]:
			r.Why = r.Reviewer + " does not hold the role write"
		case r.Verdict == Approved:
			r.Why = weighApproval(p, req, *r)
		}
		r.Counts = r.Why == ""
	}
	return list, nil
}

// weighApproval returns why an approval by a writer does not count, "" when it does.
func weighApproval(p row, req ruleset.Requirements, r review) string {
	switch {
	case r.Reviewer == p.Author:
		return "nobody approves his own pull request"
	case r.Target != p.Target:
		return "stale: it was given for a merge into " + r.Target
	case (r.stale || req.DropStale) && r.Commit == p.Head && r.Base != p.Base:
		return "stale: the target was rewritten since"
	case r.stale || req.DropStale && r.Commit != p.Head:
		return "stale: commits were pushed since"
	case (req.Approvals > 0 || req.CodeOwners) && p.Pusher == identity.KindUser+":"+r.Reviewer:
		return "whoever pushed the last commits does not approve them"
	}
	return ""
}

// Reviews returns the reviews, the oldest first, each with whether it counts.
func (s *Service) Reviews(ctx context.Context, a identity.Actor, repo string, n int64) ([]Review, error) {
	_, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return nil, err
	}
	return s.reviews(ctx, p)
}

func (s *Service) reviews(ctx context.Context, p row) ([]Review, error) {
	req, err := s.rules.Requirements(ctx, self(), p.Repo, p.Target)
	if err != nil {
		return nil, err
	}
	list, err := s.weigh(ctx, p, req)
	if err != nil {
		return nil, err
	}
	out := make([]Review, 0, len(list))
	for _, r := range list {
		out = append(out, r.Review)
	}
	return out, nil
}

// Review records what a person says about the head. To approve or to request changes needs
// the role write; the author does neither to his own pull request.
func (s *Service) Review(ctx context.Context, a identity.Actor, repo string, n int64, j Judgement) (Review, error) {
	if err := person(a, "review"); err != nil {
		return Review{}, err
	}
	var id string
	p, err := s.change(ctx, a, repo, n, func(at place, p row) (row, error) {
		if err := s.mayReview(ctx, a, p, j); err != nil {
			return p, err
		}
		v, err := s.sync(ctx, at, p)
		if err != nil {
			return p, err
		}
		p = v.row
		if v.unsettled || j.Verdict != Commented && j.Commit != "" && j.Commit != p.Head {
			return p, fault.New(fault.Conflict, "The branch %s has moved since you looked at it.", p.Source).WithNext("look at the new commits, then review them")
		}
		if j.Commit == "" {
			j.Commit = p.Head
		}
		id, err = s.review(ctx, a, p, j)
		return p, err
	})
	if err != nil {
		return Review{}, err
	}
	list, err := s.Reviews(ctx, a, p.Repo, p.Number)
	if err != nil {
		return Review{}, err
	}
	for _, r := range list {
		if r.ID == id {
			return r, nil
		}
	}
	return Review{}, fmt.Errorf("reviewing pull request %s: the review %s is gone", p.key(), id)
}

func (s *Service) mayReview(ctx context.Context, a identity.Actor, p row, j Judgement) error {
	if err := checkBody(j.Body, j.Verdict != Approved); err != nil {
		return err
	}
	switch j.Verdict {
	case Commented:
		return nil
	case Approved, Changes:
	default:
		return fault.New(fault.Invalid, "%q is no verdict.", clip(j.Verdict)).WithNext("use approved, changes-requested or comment")
	}
	if err := ended(p); err != nil {
		return err
	}
	if a.Name == p.Author {
		return fault.New(fault.Denied, "You opened this pull request: nobody judges his own.").WithNext("ask somebody else for a review")
	}
	return s.auth.Require(ctx, a, p.project, identity.Write)
}

// review stores a judgement.
func (s *Service) review(ctx context.Context, a identity.Actor, p row, j Judgement) (string, error) {
	id := s.clock.NewID()
	now := s.now()
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		var count int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM source_pull_review WHERE repo = ? AND number = ?`, p.Repo, p.Number).Scan(&count); err != nil {
			return err
		}
		if count >= maxReviews {
			return fault.New(fault.TooLarge, "This pull request has %d reviews, which is the most.", count)
		}
		_, err := tx.Exec(ctx, `INSERT INTO source_pull_review (id, repo, number, reviewer, admin, verdict, body, commit_id, base_id, target, given, stale, dismissed, dismissed_by, reason)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,0,0,'','')`,
			id, p.Repo, p.Number, a.Name, bit(a.Admin), j.Verdict, j.Body, j.Commit, p.Base, p.Target, millis(now))
		if err != nil {
			return err
		}
		p.Updated = now
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		if j.Verdict == Commented {
			return s.log.Append(ctx, tx, event.Fact{
				Type: event.TypePullCommented, Subject: p.subject(), Project: p.project, Actor: a.String(),
				Payload: event.PullCommented{V: 1, Repo: p.Repo, Number: p.Number, Thread: id},
			})
		}
		return s.sayReviewed(ctx, tx, p, a, a.Name, j.Verdict, j.Commit)
	})
	return id, err
}

func (s *Service) sayReviewed(ctx context.Context, tx *store.Tx, p row, a identity.Actor, reviewer, verdict, commit string) error {
	return s.log.Append(ctx, tx, event.Fact{
		Type: event.TypePullReviewed, Subject: p.subject(), Project: p.project, Actor: a.String(),
		Links:   []event.Link{{Rel: event.RelReviews, To: event.Of(event.KindCommit, commit)}},
		Payload: event.PullReviewed{V: 1, Repo: p.Repo, Number: p.Number, Reviewer: reviewer, Verdict: verdict, Commit: commit},
	})
}

// maxReason is the longest reason of a dismissal, in bytes.
const maxReason = 500

// Dismiss takes a review out of the count; the actor holds maintain and says why. The
// author dismisses nothing in his own pull request.
func (s *Service) Dismiss(ctx context.Context, a identity.Actor, repo string, n int64, id, why string) (Review, error) {
	if err := person(a, "dismiss a review"); err != nil {
		return Review{}, err
	}
	if strings.TrimSpace(why) == "" || len(why) > maxReason {
		return Review{}, fault.New(fault.Invalid, "Say why the review is dismissed, in at most %d bytes.", maxReason)
	}
	if err := checkBody(why, true); err != nil {
		return Review{}, err
	}
	var out Review
	_, err := s.change(ctx, a, repo, n, func(_ place, p row) (row, error) {
		if err := s.auth.Require(ctx, a, p.project, identity.Maintain); err != nil {
			return p, err
		}
		if err := ended(p); err != nil {
			return p, err
		}
		r, err := s.dismiss(ctx, a, p, id, why)
		out = r.Review
		return p, err
	})
	return out, err
}

func (s *Service) dismiss(ctx context.Context, a identity.Actor, p row, id, why string) (review, error) {
	list, err := reviewsOf(ctx, s.db, p.Pull)
	if err != nil {
		return review{}, err
	}
	for _, r := range list {
		switch {
		case r.ID != id:
			continue
		case r.Verdict == Commented || !r.Dismissed.IsZero():
			return r, fault.New(fault.Conflict, "This review decides nothing; it cannot be dismissed.")
		case r.Verdict == Changes && a.Name == p.Author:
			return r, fault.New(fault.Denied, "You opened this pull request and cannot set aside what was asked of you.").WithNext("ask another maintainer, or %s", r.Reviewer)
		}
		r.Dismissed, r.DismissedBy, r.Reason, r.Why = s.now(), a.String(), why, "dismissed by "+a.String()
		err := s.db.Tx(ctx, func(tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE source_pull_review SET dismissed = ?, dismissed_by = ?, reason = ? WHERE id = ?`,
				millis(r.Dismissed), r.DismissedBy, why, id); err != nil {
				return err
			}
			if err := s.note(ctx, tx, p.Pull, note{kind: EntryDismissed, actor: a.String(), to: r.Reviewer, text: why}); err != nil {
				return err
			}
			return s.sayReviewed(ctx, tx, p, a, r.Reviewer, "dismissed", r.Commit)
		})
		return r, err
	}
	return review{}, fault.New(fault.NotFound, "There is no review %q in pull request %d.", clip(id), p.Number)
}
