package evidence

import (
	"context"
	"slices"

	"towpath.dev/towpath/internal/event"
)

// decided takes the decisions about a subject into the chain.
func (w *walk) decided(ctx context.Context, s event.Subject) error {
	list, err := w.in(ctx, s, event.RelJudges, event.KindDecision)
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := w.decision(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// decision takes one decision with its counterparts.
func (w *walk) decision(ctx context.Context, d event.Subject) error {
	fresh, err := w.add(ctx, d)
	if err != nil || !fresh {
		return err
	}
	return w.counterparts(ctx, d)
}

// counterparts takes the newest refusals of the objects that a decision of the chain
// refuses, in the same environment: of a pull request's what the API server said to
// somebody by hand, and the other way round.
func (w *walk) counterparts(ctx context.Context, d event.Subject) error {
	e := last(w.events[d], event.TypeDecisionMade)
	p, ok := decode[event.DecisionMade](e)
	if !ok {
		return nil
	}
	kind, points := nameLoose, []string{pointAdmission, pointAudit}
	if loose(e, p) {
		kind, points = namePull, []string{pointPull}
	}
	for i, object := range refusedObjects(p) {
		if i == perDecision {
			break
		}
		for _, point := range points {
			same, err := w.service.named(ctx, kind, objectName(point, p.Environment, object))
			if err != nil {
				return err
			}
			for _, other := range same {
				if _, err := w.add(ctx, other); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// pullsOf takes the pull requests that propose a commit, or that have brought it.
func (w *walk) pullsOf(ctx context.Context, commit event.Subject) error {
	for _, rel := range []string{event.RelBrought, event.RelProposes} {
		list, err := w.in(ctx, commit, rel, event.KindPull)
		if err != nil {
			return err
		}
		for _, pull := range list {
			fresh, err := w.add(ctx, pull)
			if err != nil {
				return err
			}
			if !fresh || rel != event.RelBrought {
				continue
			}
			// What was merged was judged as the head of its pull request.
			if p, ok := fold(w.events[pull]); ok {
				if err := w.judgedAs(ctx, pull, p.Head); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// judgedAs takes the decisions about a pull request when it proposed a certain commit.
func (w *walk) judgedAs(ctx context.Context, pull event.Subject, head string) error {
	list, err := w.in(ctx, pull, event.RelJudges, event.KindDecision)
	if err != nil {
		return err
	}
	for _, d := range list {
		events, err := w.service.about(ctx, d)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			continue
		}
		if p, ok := decode[event.DecisionMade](last(events, event.TypeDecisionMade)); ok && p.Commit == head {
			if err := w.decision(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// fromPull takes what a pull request proposes now and has brought, with the decisions
// about every head that it had, and what came of what it brought.
func (w *walk) fromPull(ctx context.Context, s event.Subject) error {
	if err := w.decided(ctx, s); err != nil {
		return err
	}
	p, ok := fold(w.events[s])
	if !ok {
		return nil
	}
	commits := []string{p.Head}
	if p.Merged != "" && !slices.Contains(commits, p.Merged) {
		commits = append(commits, p.Merged)
	}
	for _, c := range commits {
		if c == "" {
			continue
		}
		commit := event.Of(event.KindCommit, c)
		if err := w.up(ctx, commit, ""); err != nil {
			return err
		}
		if _, ok := w.events[commit]; !ok {
			continue
		}
		if err := w.down(ctx, commit); err != nil {
			return err
		}
	}
	return nil
}

// upDecision takes what a decision was about, with where that came from, and its
// counterparts at other points.
func (w *walk) upDecision(ctx context.Context, s event.Subject) error {
	if err := w.counterparts(ctx, s); err != nil {
		return err
	}
	list, err := w.out(ctx, s, event.RelJudges)
	if err != nil {
		return err
	}
	for _, to := range list {
		if to.Kind() == event.KindPull {
			_, err = w.add(ctx, to)
		} else {
			err = w.up(ctx, to, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
