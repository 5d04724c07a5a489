package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/store"
)

// Limits of a conversation.
const (
	maxComments = 5000      // of a pull request
	maxLineFile = 4 << 20   // bytes of a file whose lines can be spoken about
	maxLineText = 500       // bytes of a line that is kept as context
	maxContext  = 4         // lines that are kept, the one itself included
	maxPath     = 4096      // bytes
	maxLine     = 1 << 24   // lines
	sideForm    = "old new" // the sides
)

// Comment starts a thread on a line of the head (or, on the old side, of the base), or adds
// a comment to the conversation. The actor is a person with the role read.
func (s *Service) Comment(ctx context.Context, a identity.Actor, repo string, n int64, r Remark) (Thread, error) {
	if err := person(a, "comment"); err != nil {
		return Thread{}, err
	}
	if err := checkBody(r.Body, true); err != nil {
		return Thread{}, err
	}
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return Thread{}, err
	}
	t := Thread{ID: s.clock.NewID(), Created: s.now()}
	if r.Path != "" {
		if t, err = s.anchor(ctx, at, p, t, r); err != nil {
			return Thread{}, err
		}
	}
	kept, err := encode(t.Context)
	if err != nil {
		return Thread{}, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := room(ctx, tx, p.Pull); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO source_pull_thread (id, repo, number, path, side, line, commit_id, context, created, resolved, resolved_by)
			VALUES (?,?,?,?,?,?,?,?,?,0,'')`, t.ID, p.Repo, p.Number, t.Path, t.Side, t.Line, t.Commit, kept, millis(t.Created))
		if err != nil {
			return err
		}
		return s.addComment(ctx, tx, a, p, t, r.Body)
	})
	if err != nil {
		return Thread{}, wrap(err, "commenting on pull request %s", p.key())
	}
	return s.thread(ctx, at, p, t.ID)
}

func room(ctx context.Context, tx *store.Tx, p Pull) error {
	var count int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM source_pull_comment WHERE repo = ? AND number = ?`, p.Repo, p.Number).Scan(&count); err != nil {
		return err
	}
	if count >= maxComments {
		return fault.New(fault.TooLarge, "This pull request has %d comments, which is the most.", count)
	}
	return nil
}

// addComment stores one comment of a thread and says so.
func (s *Service) addComment(ctx context.Context, tx *store.Tx, a identity.Actor, p row, t Thread, body string) error {
	now := s.now()
	_, err := tx.Exec(ctx, `INSERT INTO source_pull_comment (id, repo, number, thread, author, body, created, edited) VALUES (?,?,?,?,?,?,?,0)`,
		s.clock.NewID(), p.Repo, p.Number, t.ID, a.String(), body, millis(now))
	if err != nil {
		return err
	}
	return s.sayCommented(ctx, tx, a, p, t, false)
}

func (s *Service) sayCommented(ctx context.Context, tx *store.Tx, a identity.Actor, p row, t Thread, resolved bool) error {
	if _, err := tx.Exec(ctx, `UPDATE source_pull SET updated = ? WHERE repo = ? AND number = ?`, s.clock.Now().UnixMilli(), p.Repo, p.Number); err != nil {
		return err
	}
	return s.log.Append(ctx, tx, event.Fact{
		Type: event.TypePullCommented, Subject: p.subject(), Project: p.project, Actor: a.String(),
		Payload: event.PullCommented{V: 1, Repo: p.Repo, Number: p.Number, Thread: t.ID, Path: t.Path, Line: t.Line, Resolved: resolved},
	})
}

// anchor finds the line of a remark, and keeps what stands there.
func (s *Service) anchor(ctx context.Context, at place, p row, t Thread, r Remark) (Thread, error) {
	if r.Side == "" {
		r.Side = SideNew
	}
	if !slices.Contains(strings.Fields(sideForm), r.Side) || r.Line < 1 || r.Line > maxLine || len(r.Path) > maxPath {
		return t, fault.New(fault.Invalid, "A comment on a line needs a path, a line from 1, and a side (old or new).")
	}
	t.Path, t.Side, t.Line, t.Commit = r.Path, r.Side, r.Line, p.Head
	if r.Side == SideOld {
		t.Commit = p.Base
	} else if r.Commit != "" {
		// A head from before somebody pushed on is fine; any other commit is not.
		if !git.IsHash(r.Commit) {
			return t, fault.New(fault.Invalid, "%q is not the full hash of a commit.", clip(r.Commit))
		}
		found, err := at.git.Info(ctx, at.dir, r.Commit)
		if err != nil {
			return t, err
		}
		if found[0].Type != "commit" {
			return t, fault.New(fault.NotFound, "There is no commit %s in %s.", short(r.Commit), p.Repo)
		}
		t.Commit = r.Commit
	}
	missing := fault.New(fault.NotFound, "There is no line %d in %q at %s.", r.Line, clip(r.Path), short(t.Commit)).WithNext("reload the page and comment again")
	if t.Commit == "" {
		return t, missing
	}
	lines, err := s.lines(ctx, at, t.Commit, t.Path)
	if err != nil {
		return t, err
	}
	if r.Line > len(lines) {
		return t, missing
	}
	for _, line := range lines[max(0, r.Line-maxContext):r.Line] {
		t.Context = append(t.Context, strings.ToValidUTF8(line[:min(len(line), maxLineText)], "\uFFFD"))
	}
	return t, nil
}

// lines returns the lines of a file at a commit, none when there is no such file.
func (s *Service) lines(ctx context.Context, at place, commit, path string) ([]string, error) {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsRune(part, 0) {
			return nil, nil
		}
	}
	e, ok, err := at.git.Entry(ctx, at.dir, commit, path)
	if err != nil || !ok || e.Type != "blob" {
		return nil, err
	}
	if e.Size > maxLineFile {
		return nil, fault.New(fault.TooLarge, "The file %q is too large for comments on its lines.", clip(path))
	}
	data, err := at.git.Contents(ctx, at.dir, e.Hash, maxLineFile)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), nil
}

// Reply adds a comment to a thread.
func (s *Service) Reply(ctx context.Context, a identity.Actor, repo string, n int64, thread, body string) (Thread, error) {
	if err := person(a, "comment"); err != nil {
		return Thread{}, err
	}
	if err := checkBody(body, true); err != nil {
		return Thread{}, err
	}
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return Thread{}, err
	}
	t, err := s.thread(ctx, at, p, thread)
	if err != nil {
		return Thread{}, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := room(ctx, tx, p.Pull); err != nil {
			return err
		}
		return s.addComment(ctx, tx, a, p, t, body)
	})
	if err != nil {
		return Thread{}, wrap(err, "commenting on pull request %s", p.key())
	}
	return s.thread(ctx, at, p, thread)
}

// Amend replaces the text of a comment; only who wrote it may.
func (s *Service) Amend(ctx context.Context, a identity.Actor, repo string, n int64, comment, body string) (Thread, error) {
	if err := person(a, "change a comment"); err != nil {
		return Thread{}, err
	}
	if err := checkBody(body, true); err != nil {
		return Thread{}, err
	}
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return Thread{}, err
	}
	list, err := s.threads(ctx, at, p)
	if err != nil {
		return Thread{}, err
	}
	for _, t := range list {
		for _, c := range t.Comments {
			switch {
			case c.ID != comment:
			case c.Author != a.String():
				return Thread{}, fault.New(fault.Denied, "This comment is by %s; only its author changes it.", c.Author).WithNext("reply to it")
			default:
				_, err := s.db.Exec(ctx, `UPDATE source_pull_comment SET body = ?, edited = ? WHERE id = ?`, body, s.clock.Now().UnixMilli(), c.ID)
				if err != nil {
					return Thread{}, fmt.Errorf("changing a comment on %s: %w", p.key(), err)
				}
				return s.thread(ctx, at, p, t.ID)
			}
		}
	}
	return Thread{}, fault.New(fault.NotFound, "There is no comment %q in pull request %d.", clip(comment), n)
}

// Resolve ends a thread on a line, or takes it up again. The author of the pull request
// may, who began the thread, and whoever holds write.
func (s *Service) Resolve(ctx context.Context, a identity.Actor, repo string, n int64, thread string, resolved bool) (Thread, error) {
	if err := person(a, "resolve a thread"); err != nil {
		return Thread{}, err
	}
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return Thread{}, err
	}
	t, err := s.thread(ctx, at, p, thread)
	switch {
	case err != nil:
		return t, err
	case t.Path == "":
		return t, fault.New(fault.Invalid, "A comment of the conversation is nothing to resolve.")
	case (t.Resolved != nil) == resolved:
		return t, nil
	}
	if len(t.Comments) == 0 || t.Comments[0].Author != a.String() {
		if err := s.authorOr(ctx, a, p, identity.Write); err != nil {
			return t, err
		}
	}
	at0, by := int64(0), ""
	if resolved {
		at0, by = s.clock.Now().UnixMilli(), a.Name
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE source_pull_thread SET resolved = ?, resolved_by = ? WHERE id = ?`, at0, by, t.ID); err != nil {
			return err
		}
		return s.sayCommented(ctx, tx, a, p, t, resolved)
	})
	if err != nil {
		return t, wrap(err, "resolving a thread of %s", p.key())
	}
	return s.thread(ctx, at, p, thread)
}

// Threads returns the threads on lines, in the order in which they were begun.
func (s *Service) Threads(ctx context.Context, a identity.Actor, repo string, n int64) ([]Thread, error) {
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return nil, err
	}
	list, err := s.threads(ctx, at, p)
	return slices.DeleteFunc(list, func(t Thread) bool { return t.Path == "" }), err
}

func (s *Service) thread(ctx context.Context, at place, p row, id string) (Thread, error) {
	list, err := s.threads(ctx, at, p)
	if err != nil {
		return Thread{}, err
	}
	for _, t := range list {
		if t.ID == id {
			return t, nil
		}
	}
	return Thread{}, fault.New(fault.NotFound, "There is no thread %q in pull request %d.", clip(id), p.Number)
}

// threads loads all threads with their comments and finds their lines of today.
func (s *Service) threads(ctx context.Context, at place, p row) ([]Thread, error) {
	list, err := threadsOf(ctx, s.db, p.Pull)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	index := map[string]int{}
	for i, t := range list {
		index[t.ID] = i
	}
	found, err := s.db.Query(ctx, `SELECT id, thread, author, body, created, edited FROM source_pull_comment WHERE repo = ? AND number = ? ORDER BY id`, p.Repo, p.Number)
	if err != nil {
		return nil, fmt.Errorf("listing the comments of %s: %w", p.key(), err)
	}
	defer found.Close()
	for found.Next() {
		var c Comment
		var thread string
		var created, edited int64
		if err := found.Scan(&c.ID, &thread, &c.Author, &c.Body, &created, &edited); err != nil {
			return nil, fmt.Errorf("listing the comments of %s: %w", p.key(), err)
		}
		c.Time, c.Edited = fromMillis(created), fromMillis(edited)
		if i, ok := index[thread]; ok {
			list[i].Comments = append(list[i].Comments, c)
		}
	}
	if err := found.Err(); err != nil {
		return nil, err
	}
	return list, s.follow(ctx, at, p, list)
}

func threadsOf(ctx context.Context, h store.Handle, p Pull) ([]Thread, error) {
	found, err := h.Query(ctx, `SELECT id, path, side, line, commit_id, context, created, resolved, resolved_by
		FROM source_pull_thread WHERE repo = ? AND number = ? ORDER BY id`, p.Repo, p.Number)
	if err != nil {
		return nil, fmt.Errorf("listing the threads of %s: %w", p.key(), err)
	}
	defer found.Close()
	var list []Thread
	for found.Next() {
		var t Thread
		var kept, by string
		var created, resolved int64
		if err := found.Scan(&t.ID, &t.Path, &t.Side, &t.Line, &t.Commit, &kept, &created, &resolved, &by); err != nil {
			return nil, fmt.Errorf("listing the threads of %s: %w", p.key(), err)
		}
		if err := json.Unmarshal([]byte(kept), &t.Context); err != nil {
			return nil, fmt.Errorf("decoding a thread of %s: %w", p.key(), err)
		}
		t.Created = fromMillis(created)
		if resolved != 0 {
			t.Resolved = &Resolving{By: by, Time: fromMillis(resolved)}
		}
		list = append(list, t)
	}
	return list, found.Err()
}
