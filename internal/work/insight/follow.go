package insight

import (
	"context"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/work"
)

// Handle takes one event of the logbook. It is an event.Handler; handling an event twice
// changes nothing.
func (s *Service) Handle(ctx context.Context, tx *store.Tx, e event.Event) error {
	if e.Project == "" && e.Type != event.TypeAdvisoriesLoaded {
		return nil
	}
	f := &feed{s: s, tx: tx, e: e}
	steps := map[string]func(context.Context) error{
		event.TypeCanaryStepped:    take(f, f.canaryStepped),
		event.TypeCanaryFinished:   take(f, f.canaryFinished),
		event.TypeReleaseCompared:  take(f, f.releaseCompared),
		event.TypeReleaseFinished:  take(f, f.releaseFinished),
		event.TypeErrorFound:       take(f, f.errorFound),
		event.TypePodChanged:       take(f, f.podChanged),
		event.TypeAlertFired:       take(f, f.alertFired),
		event.TypeAlertResolved:    take(f, f.alertResolved),
		event.TypeDecisionMade:     take(f, f.decisionMade),
		event.TypeCompliance:       take(f, f.complianceChanged),
		event.TypeScanFinished:     take(f, f.scanFinished),
		event.TypeImagePushed:      take(f, f.imagePushed),
		event.TypeImageDeleted:     take(f, f.imageDeleted),
		event.TypeCommitPushed:     take(f, f.commitPushed),
		event.TypeAdvisoriesLoaded: take(f, f.advisoriesLoaded),
		event.TypeSecretBypassed:   take(f, f.secretBypassed),
		event.TypeRunFinished:      take(f, f.runFinished),
		event.TypeItemChanged:      take(f, f.itemChanged),
	}
	step, ok := steps[e.Type]
	if !ok {
		return nil
	}
	return step(ctx)
}

// take decodes the event for a step. What cannot be read is passed over, with a word in
// the server's log: it must not hold up everything after it.
func take[P any](f *feed, step func(context.Context, P) error) func(context.Context) error {
	return func(ctx context.Context) error {
		var p P
		if err := f.e.Into(&p); err != nil {
			f.s.Logger.Error("an event is skipped", "error", err)
			return nil
		}
		return step(ctx, p)
	}
}

// itemChanged follows what people do with items: a signal whose item somebody closed is
// resolved until it is seen again, and is open again with its item.
func (f *feed) itemChanged(ctx context.Context, p event.Item) error {
	fields := strings.Split(p.Change, ",")
	if f.e.Actor == Actor().String() || !slices.Contains(fields, "state") && !slices.Contains(fields, "reopened") {
		return nil
	}
	rows, err := list(ctx, f.tx, `item = ? AND project = ? ORDER BY sig_key LIMIT 1000`, p.Item, f.e.Project)
	if err != nil {
		return err
	}
	for _, r := range rows {
		switch {
		case (p.Category == work.Completed || p.Category == work.Removed) && (r.State == Open || r.State == Candidate):
			r.State, r.Resolved, r.due, r.repeats, r.Why = Resolved, f.e.Time, time.Time{}, 0, "closed by "+f.e.Actor
		case (p.Category == work.Proposed || p.Category == work.InProgress) && (r.State == Dismissed || r.State == Resolved && strings.HasPrefix(r.Why, "closed by ")):
			r.State, r.Resolved, r.Healthy, r.due, r.Why = Open, time.Time{}, time.Time{}, time.Time{}, ""
		default:
			continue
		}
		if err := put(ctx, f.tx, r); err != nil {
			return err
		}
	}
	return nil
}

// clip bounds a text from outside to one line.
func clip(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// numberOf returns the number of a release: "shop/production/48" is 48; 0 when it is none.
func numberOf(release string) int64 {
	_, last, ok := cutLast(release, "/")
	if !ok {
		return 0
	}
	var n int64
	for _, c := range last {
		if c < '0' || c > '9' || n > 1<<50 {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
