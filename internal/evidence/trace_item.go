package evidence

import (
	"context"
	"slices"

	"towpath.dev/towpath/internal/event"
)

// said are the links of an item, in the order of the chain, with what the other end then
// is to the item.
var said = []struct{ rel, part string }{
	{event.RelConcerns, "concerned by"}, {event.RelSuspects, "suspect of"}, {event.RelFixedBy, "fix of"}, {event.RelMentioned, "mentions"},
}

// upItem takes what an item is about: what it concerns with where that came from, and the
// commits and pull requests that it suspects, that fixed it, and that mention it.
func (w *walk) upItem(ctx context.Context, s event.Subject) error {
	for _, link := range said {
		list, err := w.out(ctx, s, link.rel)
		if err != nil {
			return err
		}
		for _, to := range list {
			if to.Kind() == event.KindItem {
				continue // Related items have chains of their own.
			}
			// One thing may be two to an item: what it is found to be first counts.
			if link.rel != event.RelConcerns && w.parts[to] == "" {
				w.parts[to] = link.part + " item " + s.ID()
			}
			if err := w.up(ctx, to, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// fromItem goes on from the fixes of an item to what came of them: the runs, images and
// releases that brought them out.
func (w *walk) fromItem(ctx context.Context, s event.Subject) error {
	fixes, err := w.out(ctx, s, event.RelFixedBy)
	if err != nil {
		return err
	}
	for _, fix := range fixes {
		if _, ok := w.events[fix]; !ok {
			continue
		}
		if fix.Kind() == event.KindPull {
			err = w.fromPull(ctx, fix)
		} else {
			err = w.down(ctx, fix)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// itemsOf takes the items that came of a thing, each with its fix. What a commit merely
// mentions came before it and is taken too: it is why the commit is there.
func (w *walk) itemsOf(ctx context.Context, s event.Subject) error {
	rels := []string{event.RelConcerns}
	switch s.Kind() {
	case event.KindCommit:
		rels = []string{event.RelSuspects, event.RelFixedBy, event.RelMentioned}
	case event.KindPull:
		rels = []string{event.RelConcerns, event.RelFixedBy, event.RelMentioned}
	case event.KindRelease, event.KindAlert, event.KindImage, event.KindRun, event.KindSession, event.KindPod:
	default:
		return nil
	}
	for _, rel := range rels {
		list, err := w.in(ctx, s, rel, event.KindItem)
		if err != nil {
			return err
		}
		for _, item := range list {
			if err := w.item(ctx, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// item takes an item with what fixed it, not with everything else that it is about.
func (w *walk) item(ctx context.Context, s event.Subject) error {
	fresh, err := w.add(ctx, s)
	if err != nil || !fresh {
		return err
	}
	fixes, err := w.out(ctx, s, event.RelFixedBy)
	if err != nil {
		return err
	}
	for _, fix := range fixes {
		if _, err := w.add(ctx, fix); err != nil {
			return err
		}
		if w.parts[fix] == "" {
			w.parts[fix] = "fix of item " + s.ID()
		}
	}
	return nil
}

// releaseOf goes from a pod forward by its release: to the items that concern it, and to
// the alerts that concern it as a whole, with theirs. Alerts of other pods stay out.
func (w *walk) releaseOf(ctx context.Context, pod event.Subject) error {
	releases, err := w.out(ctx, pod, event.RelPartOf)
	if err != nil || len(releases) == 0 {
		return err
	}
	alerts, err := w.in(ctx, releases[0], event.RelConcerns, event.KindAlert)
	if err != nil {
		return err
	}
	for _, a := range alerts {
		about, err := w.out(ctx, a, event.RelConcerns)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(about, func(s event.Subject) bool { return s.Kind() == event.KindPod && s != pod }) {
			continue
		}
		if err := w.downTo(ctx, releases[0], a); err != nil {
			return err
		}
	}
	return w.itemsOf(ctx, releases[0])
}
