package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
)

// handle takes one event into the projection. It is idempotent: every write is an upsert
// that an older event cannot win.
func (s *Service) handle(ctx context.Context, tx *store.Tx, e event.Event) error {
	f := feed{tx: tx, e: e, log: s.events}
	steps := map[string]func(context.Context) error{
		event.TypeCommitPushed:      f.commitPushed,
		event.TypeRunRefused:        f.runRefused,
		event.TypeRunQueued:         f.runBegun,
		event.TypeRunStarted:        f.runBegun,
		event.TypeRunFinished:       f.runFinished,
		event.TypeTestsPublished:    f.testsPublished,
		event.TypeImagePushed:       f.imagePushed,
		event.TypeImageDeleted:      f.imageDeleted,
		event.TypeScanFinished:      f.scanFinished,
		event.TypeImageSigned:       f.imageSigned,
		event.TypeProvenanceCreated: f.provenanceCreated,
		event.TypeReleaseStarted:    f.release,
		event.TypeReleaseFinished:   f.release,
		event.TypePodChanged:        f.podChanged,
		event.TypePullOpened:        f.pull,
		event.TypePullUpdated:       f.pull,
		event.TypePullReviewed:      f.pull,
		event.TypePullMerged:        f.pull,
		event.TypePullClosed:        f.pull,
		event.TypeDecisionMade:      f.decision,
		event.TypeAlertFired:        f.alert,
		event.TypeAlertResolved:     f.alert,
		event.TypeReleaseCompared:   f.compared,
		event.TypeCheckHeld:         f.gate,
		event.TypeCheckDecided:      f.gate,
		event.TypeCanaryStepped:     f.canary,
		event.TypeCanaryFinished:    f.canary,
		event.TypeItemCreated:       f.item,
		event.TypeItemChanged:       f.item,
	}
	step, ok := steps[e.Type]
	if !ok {
		return nil
	}
	if err := step(ctx); err != nil {
		return err
	}
	tx.AfterCommit(s.signal)
	return nil
}

// feed writes one event. It reads the log, which holds the event, beside its transaction.
type feed struct {
	tx  *store.Tx
	e   event.Event
	log *event.Log
}

func (f feed) commitPushed(ctx context.Context) error {
	p, ok := decode[event.CommitPushed](f.e)
	if !ok || !strings.HasPrefix(p.Ref, "refs/heads/") {
		return nil
	}
	def := 0
	if p.Default {
		def = 1
	}
	_, err := f.tx.Exec(ctx, `INSERT INTO path_change (id, project, repo, ref, commit_hash, title, author, pushed_by, pushed, is_default)
		VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (repo, ref, commit_hash) DO NOTHING`,
		f.e.Seq, f.e.Project, p.Repo, p.Ref, p.Commit, p.Title, p.Author, f.e.Actor, f.e.Time.UnixMilli(), def)
	if err != nil {
		return fmt.Errorf("adding the change %s: %w", p.Commit, err)
	}
	return f.proposed(ctx, p.Commit)
}

// changeAt finds the change of a commit on exactly one ref.
func (f feed) changeAt(ctx context.Context, repo, ref, commit string) (id int64, ok bool, err error) {
	err = f.tx.QueryRow(ctx, `SELECT id FROM path_change WHERE repo = ? AND ref = ? AND commit_hash = ? AND project = ?`, repo, ref, commit, f.e.Project).Scan(&id)
	if missing(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("finding the change of %s: %w", commit, err)
	}
	return id, true, nil
}

// changeOf finds the change of a commit: on the ref when it is given and has it, else the
// newest of the repository (or, without one, of the project).
func (f feed) changeOf(ctx context.Context, repo, ref, commit string) (id int64, ok bool, err error) {
	err = f.tx.QueryRow(ctx, `SELECT id FROM path_change WHERE commit_hash = ? AND project = ? AND (repo = ? OR ? = '')
		ORDER BY CASE WHEN ref = ? THEN 0 ELSE 1 END, id DESC LIMIT 1`, commit, f.e.Project, repo, repo, ref).Scan(&id)
	if missing(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("finding the change of %s: %w", commit, err)
	}
	return id, true, nil
}

// changesOf lists the changes that a subject was bound to, within the event's project.
func (f feed) changesOf(ctx context.Context, subject event.Subject) ([]int64, error) {
	rows, err := f.tx.Query(ctx, `SELECT p.change_id FROM path_subject p JOIN path_change c ON c.id = p.change_id
		WHERE p.subject = ? AND c.project = ? ORDER BY p.change_id`, string(subject), f.e.Project)
	if err != nil {
		return nil, fmt.Errorf("finding the changes of %s: %w", subject, err)
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("finding the changes of %s: %w", subject, err)
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

func (f feed) bind(ctx context.Context, subject event.Subject, change int64) error {
	_, err := f.tx.Exec(ctx, `INSERT INTO path_subject (subject, change_id) VALUES (?,?) ON CONFLICT DO NOTHING`, string(subject), change)
	if err != nil {
		return fmt.Errorf("binding %s to a change: %w", subject, err)
	}
	return nil
}

// put writes a part; a part that a later event, or a later run, wrote stays.
func (f feed) put(ctx context.Context, change int64, lock, key string, run int64, b body) error {
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encoding a part: %w", err)
	}
	_, err = f.tx.Exec(ctx, `INSERT INTO path_part (change_id, project, lock, part, seq, time, actor, run, state, body) VALUES (?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (change_id, lock, part) DO UPDATE SET seq = excluded.seq, time = excluded.time, actor = excluded.actor,
			run = excluded.run, state = excluded.state, body = excluded.body
		WHERE excluded.seq >= path_part.seq AND excluded.run >= path_part.run`,
		change, f.e.Project, lock, key, f.e.Seq, f.e.Time.UnixMilli(), f.e.Actor, run, string(b.State), string(text))
	if err != nil {
		return fmt.Errorf("writing part %s of %s: %w", key, lock, err)
	}
	return nil
}

// get reads a part's run and body; ok is false when there is none.
func (f feed) get(ctx context.Context, change int64, lock, key string) (run int64, b body, ok bool, err error) {
	var text string
	err = f.tx.QueryRow(ctx, `SELECT run, body FROM path_part WHERE change_id = ? AND lock = ? AND part = ?`, change, lock, key).Scan(&run, &text)
	if missing(err) {
		return 0, b, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &b)
	}
	if err != nil {
		return 0, b, false, fmt.Errorf("reading part %s of %s: %w", key, lock, err)
	}
	return run, b, true, nil
}

func (f feed) runRefused(ctx context.Context) error {
	p, ok := decode[event.RunRefused](f.e)
	if !ok {
		return nil
	}
	id, ok, err := f.changeOf(ctx, p.Repo, "", f.e.Subject.ID())
	if err != nil || !ok {
		return err
	}
	why := p.File + " does not compile"
	if len(p.Errors) > 0 {
		why = p.Errors[0]
	}
	return f.put(ctx, id, LockBuild, p.File, 0, body{State: Shut, Why: why})
}

func (f feed) runBegun(ctx context.Context) error {
	p, ok := decode[event.Run](f.e)
	if !ok {
		return nil
	}
	id, ok, err := f.changeOf(ctx, p.Repo, p.Ref, p.Commit)
	if err != nil || !ok {
		return err
	}
	if err := f.bind(ctx, f.e.Subject, id); err != nil {
		return err
	}
	return f.put(ctx, id, LockBuild, p.Pipeline, p.Run, body{State: Passing})
}

// runPart finds the build part that a run wrote: the key is the pipeline, which the later
// events of the run do not name.
func (f feed) runPart(ctx context.Context, change, run int64) (key string, ok bool, err error) {
	err = f.tx.QueryRow(ctx, `SELECT part FROM path_part WHERE change_id = ? AND lock = ? AND run = ?`, change, LockBuild, run).Scan(&key)
	if missing(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("finding run %d: %w", run, err)
	}
	return key, true, nil
}

func (f feed) runFinished(ctx context.Context) error {
	p, ok := decode[event.RunFinished](f.e)
	if !ok {
		return nil
	}
	ids, err := f.changesOf(ctx, f.e.Subject)
	if err != nil {
		return err
	}
	b := body{State: Shut, Why: p.Why, Seconds: p.Seconds}
	switch p.Result {
	case "succeeded", "succeededWithIssues":
		b.State = Open
	case "canceled":
		// Nothing is wrong with it: it waits for somebody who runs it again.
		b.State = Held
		if b.Why == "" {
			b.Why = "canceled"
		}
	}
	for _, id := range ids {
		key, ok, err := f.runPart(ctx, id, p.Run)
		if err != nil {
			return err
		}
		if !ok {
			continue // A newer run of the pipeline has taken its place.
		}
		if err := f.put(ctx, id, LockBuild, key, p.Run, b); err != nil {
			return err
		}
	}
	return nil
}

func (f feed) testsPublished(ctx context.Context) error {
	p, ok := decode[event.TestsPublished](f.e)
	if !ok {
		return nil
	}
	ids, err := f.changesOf(ctx, f.e.Subject)
	if err != nil {
		return err
	}
	b := body{State: Open, Total: p.Total, Passed: p.Passed, Failed: p.Failed, Seconds: p.Seconds}
	switch {
	case p.Failed > 0:
		b.State = Shut
	case p.Passed == 0:
		b.State = Held // Nothing ran: that proves nothing, and looks like success.
	}
	for _, id := range ids {
		// One run publishes several results, also under the same title: the digest tells
		// them apart, and makes the same event twice the same part.
		key := strconv.FormatInt(p.Run, 10) + "/" + p.Title + "/" + p.Digest
		if err := f.put(ctx, id, LockTest, key, p.Run, b); err != nil {
			return err
		}
	}
	return nil
}
