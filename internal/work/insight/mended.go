package insight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
)

// mended reports whether a signal that is well is so because of a mend, and says how it is
// known, in Markdown.
func (s *Service) mended(ctx context.Context, r row) (why string, ok bool, err error) {
	switch r.Source {
	case SourceCanary, SourceRegression:
		return s.fixed(ctx, r)
	case SourceError:
		return s.errorGone(ctx, r)
	case SourceAlert:
		return fmt.Sprintf("%s; it stayed so for %s.", strings.TrimSuffix(r.Why, "."), s.options.AlertQuiet), true, nil
	case SourceCrash:
		return fmt.Sprintf("%s; it stayed so for %s.", strings.TrimSuffix(r.Why, "."), s.options.CrashQuiet), true, nil
	case SourcePolicy, SourceAdmission:
		return s.compliant(ctx, r)
	}
	return r.Why, true, nil
}

// compliant reports whether no live object of a workload violates the rule that one did. A
// release that was deployed may not have the workload in it.
func (s *Service) compliant(ctx context.Context, r row) (string, bool, error) {
	why := fmt.Sprintf("%s Nothing was refused for %s since.", r.Why, s.options.PolicyQuiet)
	if s.Compliance == nil {
		return why, true, nil
	}
	assignment, rule, _ := strings.Cut(r.Rule, "/")
	list, err := s.Compliance.Violators(ctx, r.Project, r.Environment, assignment, rule)
	if err != nil {
		return "", false, err
	}
	for _, object := range list {
		if bounded(r.Environment+"/"+stableObject(object)) == r.Resource {
			return "", false, nil
		}
	}
	return why + " Nothing of it that lives violates the rule.", true, nil
}

// fixed reports whether the release that is well holds something new on top of the one that
// was not, or leaves that one's commits out and holds others. The state before, deployed
// again, mends nothing: it merely does not have the change.
func (s *Service) fixed(ctx context.Context, r row) (string, bool, error) {
	bad, err := s.release(ctx, r.Release)
	if err != nil {
		return "", false, err
	}
	good, err := s.release(ctx, r.Cure)
	if err != nil {
		return "", false, err
	}
	stable, err := s.release(ctx, r.Stable)
	if err != nil {
		return "", false, err
	}
	if good.Commit == "" || bad.Commit == "" {
		// Deployed by hand: the images are all that tells them apart.
		same := func(a, b event.Release) bool {
			x, y := slices.Sorted(slices.Values(a.Images)), slices.Sorted(slices.Values(b.Images))
			return slices.Equal(x, y)
		}
		if len(good.Images) == 0 || same(good, bad) || same(good, stable) {
			return "", false, nil
		}
		return r.Why + " It has other images than the releases before.", true, nil
	}
	if good.Commit == bad.Commit || good.Commit == stable.Commit {
		return "", false, nil
	}
	from, words := bad.Commit, "on top of the release that failed"
	_, list, err := s.Commits.Range(ctx, r.Project, from, good.Commit)
	if err == nil && len(list) > 0 && stable.Commit != "" {
		// What is older than the release that failed has no commits on top of the stable one.
		var since []Commit
		if _, since, err = s.Commits.Range(ctx, r.Project, stable.Commit, good.Commit); err == nil && len(since) == 0 {
			return "", false, nil
		}
	}
	if fault.Is(err, fault.NotFound) {
		return r.Why + " Its commits are not in the project's repositories any more.", true, nil
	}
	if err != nil || len(list) == 0 {
		return "", false, err
	}
	text := fmt.Sprintf("%s It holds %d commit(s) %s:\n", r.Why, len(list), words)
	for _, c := range list[:min(len(list), 10)] {
		text += "\n- " + commitLine(c)
	}
	return text, true, nil
}

// errorGone reports whether a group of errors was not seen since another release serves.
func (s *Service) errorGone(ctx context.Context, r row) (string, bool, error) {
	if s.Telemetry != nil {
		last, err := s.Telemetry.LastError(ctx, r.Project, r.Rule)
		if err != nil {
			return "", false, err
		}
		if last.After(r.Healthy) {
			return "", false, nil
		}
	}
	return fmt.Sprintf("%s The error was not seen for %s since.", r.Why, s.options.ErrorQuiet), true, nil
}

// release reads how a release ended, or began; the zero value when the log has none.
func (s *Service) release(ctx context.Context, id string) (event.Release, error) {
	var out event.Release
	if id == "" {
		return out, nil
	}
	for _, typ := range []string{event.TypeReleaseFinished, event.TypeReleaseStarted} {
		events, err := s.Log.Read(ctx, event.Query{Subject: event.Of(event.KindRelease, id), Type: typ, Limit: 1, Newest: true})
		if err != nil {
			return out, fmt.Errorf("reading release %s: %w", id, err)
		}
		if len(events) > 0 {
			return out, events[0].Into(&out)
		}
	}
	return out, nil
}

// commitLine names a commit in Markdown.
func commitLine(c Commit) string {
	who := c.Author
	if c.User != "" {
		who = "@" + c.User
	}
	return fmt.Sprintf("`%.12s` %s (%s)", c.Hash, strings.TrimSpace(markdown(clip(c.Title))), markdown(who))
}
