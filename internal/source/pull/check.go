package pull

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/store"
)

// Limits of checks. Texts are in bytes.
const (
	maxChecks      = 100  // of a commit
	maxAnnotations = 1000 // of a check, that are kept
	maxAnnotated   = 5000 // of a commit, that Annotations returns
	maxReported    = 20000
	maxCheckName   = 100
	maxSummary     = 64 << 10
	maxURL         = 2000
	maxWords       = 2000 // of a message
)

// Report records a check of a commit (its full hash) as reported by the actor, who needs
// the role write. Whoever reports is the check's source; it cannot be chosen. A report
// replaces the earlier one of the same name and source.
func (s *Service) Report(ctx context.Context, a identity.Actor, repo, commit string, c Check) (Check, error) {
	at, err := s.locate(ctx, a, repo)
	if err != nil {
		return Check{}, err
	}
	if err := s.auth.Require(ctx, a, at.Project, identity.Write); err != nil {
		return Check{}, err
	}
	if a.Kind == identity.KindRun && a.Job.Repo != at.FullName() {
		return Check{}, fault.New(fault.Denied, "A job of %s reports no checks of %s.", a.Job.Repo, at.FullName())
	}
	if c, err = c.checked(); err != nil {
		return Check{}, err
	}
	if !git.IsHash(commit) {
		return Check{}, fault.New(fault.Invalid, "%q is not the full hash of a commit.", clip(commit))
	}
	found, err := at.git.Info(ctx, at.dir, commit)
	if err != nil {
		return Check{}, err
	}
	if found[0].Type != "commit" {
		return Check{}, fault.New(fault.NotFound, "There is no commit %s in %s.", short(commit), at.FullName())
	}
	c.Commit, c.Source, c.Time = commit, a.String(), s.now()
	err = s.db.Tx(ctx, func(tx *store.Tx) error { return s.report(ctx, tx, at, &c) })
	return c, wrap(err, "recording the check %s of %s", c.Name, short(commit))
}

// report stores a check and says so when it has ended, or ended otherwise than before.
func (s *Service) report(ctx context.Context, tx *store.Tx, at place, c *Check) error {
	before, err := scanCheck(tx.QueryRow(ctx, `SELECT `+checkColumns+` FROM source_check WHERE repo = ? AND commit_id = ? AND name = ? AND source = ?`,
		at.FullName(), c.Commit, c.Name, c.Source).Scan)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return err
	}
	if fresh {
		var count int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM source_check WHERE repo = ? AND commit_id = ?`, at.FullName(), c.Commit).Scan(&count); err != nil {
			return err
		}
		if count >= maxChecks {
			return fault.New(fault.TooLarge, "The commit %s has %d checks, which is the most.", short(c.Commit), count)
		}
	}
	c.Began = c.Time
	if !fresh && !before.Final() {
		c.Began = before.Began
	}
	notes, err := encode(c.Annotations)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO source_check (repo, commit_id, name, source, state, title, summary, url, annotations, kept, count, began, reported)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (repo, commit_id, name, source) DO UPDATE SET state = excluded.state, title = excluded.title, summary = excluded.summary, url = excluded.url,
		annotations = excluded.annotations, kept = excluded.kept, count = excluded.count, began = excluded.began, reported = excluded.reported`,
		at.FullName(), c.Commit, c.Name, c.Source, c.State, c.Title, c.Summary, c.URL, notes, len(c.Annotations), c.Count, millis(c.Began), millis(c.Time))
	if err != nil {
		return err
	}
	if !c.Final() || !fresh && before.State == c.State && before.Title == c.Title && before.Count == c.Count {
		return nil
	}
	return s.sayChecked(ctx, tx, at, *c)
}

func (s *Service) sayChecked(ctx context.Context, tx *store.Tx, at place, c Check) error {
	var n int64
	err := tx.QueryRow(ctx, `SELECT MIN(number) FROM source_pull WHERE repo = ? AND head = ? AND state = ? HAVING COUNT(*) > 0`, at.FullName(), c.Commit, Open).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return s.log.Append(ctx, tx, event.Fact{
		Type: event.TypeCheckFinished, Subject: event.Of(event.KindCommit, c.Commit), Project: at.Project, Actor: c.Source,
		Payload: event.CheckFinished{V: 1, Repo: at.FullName(), Commit: c.Commit, Name: c.Name, Source: c.Source, State: c.State, Title: c.Title, Pull: n},
	})
}

// checked refuses what is no check, and cuts what is too long to be kept.
func (c Check) checked() (Check, error) {
	switch c.State {
	case Queued, Running, Success, Failure, Error, Neutral:
	default:
		return c, fault.New(fault.Invalid, "%q is no state of a check.", clip(c.State)).WithNext("use queued, running, success, failure, error or neutral")
	}
	if c.Name == "" || strings.TrimSpace(c.Name) != c.Name || len(c.Name) > maxCheckName || !utf8.ValidString(c.Name) || strings.ContainsFunc(c.Name, control) {
		return c, fault.New(fault.Invalid, "A check needs a name of 1 to %d bytes on one line.", maxCheckName)
	}
	if !checkURL(c.URL) {
		return c, fault.New(fault.Invalid, "%q is no address of a check.", clip(c.URL)).WithNext("use https://… or a path that begins with /")
	}
	if len(c.Annotations) > maxReported {
		return c, fault.New(fault.TooLarge, "A check has at most %d annotations.", maxReported)
	}
	c.Title, c.Summary = cut(oneLine(c.Title), maxTitle), cut(c.Summary, maxSummary)
	c.Count = len(c.Annotations)
	kept := slices.Clone(c.Annotations)
	for i := range kept {
		if err := kept[i].check(); err != nil {
			return c, err
		}
	}
	// The worst are kept.
	slices.SortStableFunc(kept, func(a, b Annotation) int { return cmp.Compare(rank(a.Level), rank(b.Level)) })
	c.Annotations = kept[:min(len(kept), maxAnnotations)]
	return c, nil
}

func rank(level string) int {
	return slices.Index([]string{LevelFailure, LevelWarning, LevelNotice}, level)
}

func (n *Annotation) check() error {
	if rank(n.Level) < 0 {
		return fault.New(fault.Invalid, "%q is no level of an annotation.", clip(n.Level)).WithNext("use failure, warning or notice")
	}
	if n.EndLine == 0 {
		n.EndLine = n.StartLine
	}
	if n.Path == "" || len(n.Path) > maxPath || !utf8.ValidString(n.Path) || n.StartLine < 0 || n.EndLine < n.StartLine || n.EndLine > maxLine {
		return fault.New(fault.Invalid, "The annotation of %q, lines %d to %d, is at no place of a file.", clip(n.Path), n.StartLine, n.EndLine)
	}
	n.Title, n.Rule = cut(oneLine(n.Title), maxTitle), cut(oneLine(n.Rule), maxTitle)
	n.Message, n.Fix = cut(n.Message, maxWords), cut(n.Fix, maxWords)
	return nil
}

// checkURL lets pass what a page can link to without leaving http.
func checkURL(text string) bool {
	if text == "" {
		return true
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || strings.ContainsFunc(text, control) {
		return false
	}
	if strings.HasPrefix(text, "/") {
		return u.Host == "" && !strings.HasPrefix(text, "//") && !strings.Contains(text, `\`)
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if control(r) {
			return ' '
		}
		return r
	}, s)
}

// cut shortens a text to at most limit bytes of valid UTF-8.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

const checkColumns = `commit_id, name, source, state, title, summary, url, count, began, reported`

func scanCheck(from func(...any) error) (c Check, err error) {
	var began, reported int64
	err = from(&c.Commit, &c.Name, &c.Source, &c.State, &c.Title, &c.Summary, &c.URL, &c.Count, &began, &reported)
	c.Began, c.Time = fromMillis(began), fromMillis(reported)
	return c, err
}

// checksOf lists the checks of a commit without their annotations.
func checksOf(ctx context.Context, h store.Handle, repo, commit string) ([]Check, error) {
	found, err := h.Query(ctx, `SELECT `+checkColumns+` FROM source_check WHERE repo = ? AND commit_id = ? ORDER BY name, source`, repo, commit)
	if err != nil {
		return nil, fmt.Errorf("listing the checks of %s: %w", short(commit), err)
	}
	defer found.Close()
	var list []Check
	for found.Next() {
		c, err := scanCheck(found.Scan)
		if err != nil {
			return nil, fmt.Errorf("listing the checks of %s: %w", short(commit), err)
		}
		list = append(list, c)
	}
	return list, found.Err()
}

// Checks returns the newest check of each name and source on a commit (its full hash),
// without their annotations.
func (s *Service) Checks(ctx context.Context, a identity.Actor, repo, commit string) ([]Check, error) {
	at, err := s.locate(ctx, a, repo)
	if err != nil {
		return nil, err
	}
	return checksOf(ctx, s.db, at.FullName(), commit)
}

// Annotations returns the checks of a commit that have annotations, with them, at most
// 5,000 annotations in all.
func (s *Service) Annotations(ctx context.Context, a identity.Actor, repo, commit string) ([]Check, error) {
	at, err := s.locate(ctx, a, repo)
	if err != nil {
		return nil, err
	}
	list, err := checksOf(ctx, s.db, at.FullName(), commit)
	if err != nil {
		return nil, err
	}
	left := maxAnnotated
	var out []Check
	for _, c := range list {
		if c.Count == 0 || left == 0 {
			continue
		}
		var text string
		err := s.db.QueryRow(ctx, `SELECT annotations FROM source_check WHERE repo = ? AND commit_id = ? AND name = ? AND source = ?`,
			at.FullName(), commit, c.Name, c.Source).Scan(&text)
		if err != nil {
			return nil, fmt.Errorf("reading the annotations of %s: %w", c.Name, err)
		}
		if err := json.Unmarshal([]byte(text), &c.Annotations); err != nil {
			return nil, fmt.Errorf("decoding the annotations of %s: %w", c.Name, err)
		}
		c.Annotations = c.Annotations[:min(len(c.Annotations), left)]
		left -= len(c.Annotations)
		out = append(out, c)
	}
	return out, nil
}
