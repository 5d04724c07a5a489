package pull

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// row is a pull request as it is stored.
type row struct {
	Pull
	project    string
	drafted    time.Time // since when it is a draft
	conflicted time.Time // since when it has conflicts
	merging    *intent   // a merge that was begun
	dirty      int64     // above 0: refs moved that nobody looked at yet
}

// intent is the note of a merge that is about to move the target.
type intent struct {
	Commit   string    `json:"commit"` // what the target will point to
	Head     string    `json:"head"`
	Base     string    `json:"base"`
	Tip      string    `json:"tip"` // where the target was
	Method   string    `json:"method"`
	By       string    `json:"by"` // actor
	Time     time.Time `json:"time"`
	Bypassed []Block   `json:"bypassed,omitempty"`
	Rulesets []string  `json:"rulesets,omitempty"` // that were bypassed
}

const columns = `p.repo, p.number, p.project, p.title, p.body, p.author, p.source, p.target, p.draft, p.state, p.head, p.base, p.tip, p.test,
	p.conflicts, p.pusher, p.opened, p.updated, p.moved, p.drafted, p.conflicted, p.ended, p.ended_by, p.method, p.result, p.merging, p.dirty,
	(SELECT COUNT(*) FROM source_pull_comment c WHERE c.repo = p.repo AND c.number = p.number),
	(SELECT COUNT(*) FROM source_pull_thread t WHERE t.repo = p.repo AND t.number = p.number AND t.path <> '' AND t.resolved = 0)`

func scan(from func(...any) error) (row, error) {
	var p row
	var draft, opened, updated, moved, drafted, conflicted, ended int64
	var conflicts, merging string
	err := from(&p.Repo, &p.Number, &p.project, &p.Title, &p.Body, &p.Author, &p.Source, &p.Target, &draft, &p.State, &p.Head, &p.Base, &p.Tip, &p.Test,
		&conflicts, &p.Pusher, &opened, &updated, &moved, &drafted, &conflicted, &ended, &p.EndedBy, &p.Method, &p.Result, &merging, &p.dirty,
		&p.Comments, &p.Threads)
	if err != nil {
		return p, err
	}
	p.Draft = draft != 0
	p.Opened, p.Updated, p.Moved = fromMillis(opened), fromMillis(updated), fromMillis(moved)
	p.drafted, p.conflicted, p.Ended = fromMillis(drafted), fromMillis(conflicted), fromMillis(ended)
	if err := json.Unmarshal([]byte(conflicts), &p.Conflicts); err != nil {
		return p, fmt.Errorf("decoding the conflicts of %s: %w", p.key(), err)
	}
	if merging != "" {
		p.merging = &intent{}
		if err := json.Unmarshal([]byte(merging), p.merging); err != nil {
			return p, fmt.Errorf("decoding the merge of %s: %w", p.key(), err)
		}
	}
	return p, nil
}

// load reads one pull request without asking who wants it.
func load(ctx context.Context, h store.Handle, repo string, n int64) (row, error) {
	p, err := scan(h.QueryRow(ctx, `SELECT `+columns+` FROM source_pull p WHERE p.repo = ? AND p.number = ?`, repo, n).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fault.New(fault.NotFound, "There is no pull request %d in %s.", n, repo).WithNext("list them with: towpath pull list")
	}
	if err != nil {
		return p, fmt.Errorf("loading pull request %d of %s: %w", n, repo, err)
	}
	p.Reviewers, err = reviewers(ctx, h, p.Pull)
	return p, err
}

func rows(ctx context.Context, h store.Handle, where string, args ...any) ([]row, error) {
	found, err := h.Query(ctx, `SELECT `+columns+` FROM source_pull p WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("listing pull requests: %w", err)
	}
	defer found.Close()
	var list []row
	for found.Next() {
		p, err := scan(found.Scan)
		if err != nil {
			return nil, fmt.Errorf("listing pull requests: %w", err)
		}
		list = append(list, p)
	}
	return list, found.Err()
}

func reviewers(ctx context.Context, h store.Handle, p Pull) ([]Reviewer, error) {
	found, err := h.Query(ctx, `SELECT username, owner FROM source_pull_reviewer WHERE repo = ? AND number = ? ORDER BY username`, p.Repo, p.Number)
	if err != nil {
		return nil, fmt.Errorf("listing the reviewers of %s: %w", p.key(), err)
	}
	defer found.Close()
	var list []Reviewer
	for found.Next() {
		var r Reviewer
		var owner int64
		if err := found.Scan(&r.User, &owner); err != nil {
			return nil, fmt.Errorf("listing the reviewers of %s: %w", p.key(), err)
		}
		r.Owner = owner != 0
		list = append(list, r)
	}
	return list, found.Err()
}

// insert stores a new pull request.
func insert(ctx context.Context, tx *store.Tx, p row) error {
	conflicts, err := encode(p.Conflicts)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO source_pull (repo, number, project, title, body, author, source, target, draft, state, head, base, tip, test,
		conflicts, pusher, opened, updated, moved, drafted, conflicted, ended, ended_by, method, result, merging, dirty)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,'','','','',0)`,
		p.Repo, p.Number, p.project, p.Title, p.Body, p.Author, p.Source, p.Target, bit(p.Draft), p.State, p.Head, p.Base, p.Tip, p.Test,
		conflicts, p.Pusher, millis(p.Opened), millis(p.Updated), millis(p.Moved), millis(p.drafted), millis(p.conflicted))
	return err
}

// save writes everything that can change, but not whether it is dirty.
func save(ctx context.Context, tx *store.Tx, p row) error {
	conflicts, err := encode(p.Conflicts)
	if err != nil {
		return err
	}
	merging := ""
	if p.merging != nil {
		if merging, err = encode(p.merging); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE source_pull SET title = ?, body = ?, target = ?, draft = ?, state = ?, head = ?, base = ?, tip = ?, test = ?,
		conflicts = ?, pusher = ?, updated = ?, moved = ?, drafted = ?, conflicted = ?, ended = ?, ended_by = ?, method = ?, result = ?, merging = ?
		WHERE repo = ? AND number = ?`,
		p.Title, p.Body, p.Target, bit(p.Draft), p.State, p.Head, p.Base, p.Tip, p.Test,
		conflicts, p.Pusher, millis(p.Updated), millis(p.Moved), millis(p.drafted), millis(p.conflicted), millis(p.Ended), p.EndedBy, p.Method, p.Result, merging,
		p.Repo, p.Number)
	return err
}

// nextNumber counts up in the repository. A number that is not used leaves a gap.
func nextNumber(ctx context.Context, tx *store.Tx, repo string) (n int64, err error) {
	_, err = tx.Exec(ctx, `INSERT INTO source_pull_counter (repo, value) VALUES (?, 1) ON CONFLICT (repo) DO UPDATE SET value = source_pull_counter.value + 1`, repo)
	if err != nil {
		return 0, fmt.Errorf("counting pull requests of %s: %w", repo, err)
	}
	if err := tx.QueryRow(ctx, `SELECT value FROM source_pull_counter WHERE repo = ?`, repo).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting pull requests of %s: %w", repo, err)
	}
	return n, nil
}

// note is an entry for the timeline.
type note struct {
	kind, actor, from, to, text string
	count                       int
}

func (s *Service) note(ctx context.Context, tx *store.Tx, p Pull, e note) error {
	_, err := tx.Exec(ctx, `INSERT INTO source_pull_entry (id, repo, number, kind, made, actor, was, became, note, count) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		s.clock.NewID(), p.Repo, p.Number, e.kind, s.clock.Now().UnixMilli(), e.actor, e.from, e.to, e.text, e.count)
	if err != nil {
		return fmt.Errorf("noting %s of %s: %w", e.kind, p.key(), err)
	}
	return nil
}

// said is what an event about a pull request adds to its description.
type said struct {
	change  string
	dropped int
}

// say appends an event about the pull request as it is now.
func (s *Service) say(ctx context.Context, tx *store.Tx, p row, kind, actor string, more said) error {
	f := event.Fact{
		Type: kind, Subject: p.subject(), Project: p.project, Actor: actor,
		Links: []event.Link{{Rel: event.RelProposes, To: event.Of(event.KindCommit, p.Head)}},
		Payload: event.Pull{
			V: 1, Repo: p.Repo, Number: p.Number, Title: p.Title, Author: p.Author, Source: branchRef(p.Source), Target: branchRef(p.Target),
			Head: p.Head, Base: p.Base, Draft: p.Draft, Change: more.change, Method: p.Method, Merged: p.Result, Dropped: more.dropped,
		},
	}
	if kind == event.TypePullMerged {
		f.Links = append(f.Links, event.Link{Rel: event.RelBrought, To: event.Of(event.KindCommit, p.Result)})
	}
	return s.log.Append(ctx, tx, f)
}

func (p Pull) key() string { return p.Repo + "/" + strconv.FormatInt(p.Number, 10) }

func (p Pull) subject() event.Subject { return event.Of(event.KindPull, p.key()) }

func branchRef(branch string) string { return "refs/heads/" + branch }

func (p Pull) ref(end string) string {
	return "refs/pull/" + strconv.FormatInt(p.Number, 10) + "/" + end
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding %T: %w", v, err)
	}
	return string(b), nil
}

// millis is 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// now is the time as it is stored.
func (s *Service) now() time.Time { return s.clock.Now().Truncate(time.Millisecond).UTC() }
