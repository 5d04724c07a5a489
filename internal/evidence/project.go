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
	f := feed{tx: tx, e: e}
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

// feed writes one event.
type feed struct {
	tx *store.Tx
	e  event.Event
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
	return nil
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
	_, err = f.tx.Exec(ctx, `INSERT INTO path_part (change_id, lock, part, seq, time, actor, run, body) VALUES (?,?,?,?,?,?,?,?)
		ON CONFLICT (change_id, lock, part) DO UPDATE SET seq = excluded.seq, time = excluded.time, actor = excluded.actor,
			run = excluded.run, body = excluded.body
		WHERE excluded.seq >= path_part.seq AND excluded.run >= path_part.run`,
		change, lock, key, f.e.Seq, f.e.Time.UnixMilli(), f.e.Actor, run, string(text))
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
	if p.Failed > 0 {
		b.State = Shut
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

func (f feed) imagePushed(ctx context.Context) error {
	p, ok := decode[event.ImagePushed](f.e)
	if !ok {
		return nil
	}
	if p.Tag != "" {
		if err := f.name(ctx, nameTag, p.Repository+":"+p.Tag, f.e.Subject); err != nil {
			return err
		}
	}
	if p.Run == 0 {
		return nil
	}
	ids, err := f.changesOf(ctx, event.OfRun(p.Run))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := f.bind(ctx, f.e.Subject, id); err != nil {
			return err
		}
		for _, lock := range []string{LockScan, LockSign} {
			_, b, ok, err := f.get(ctx, id, lock, p.Digest)
			if err != nil {
				return err
			}
			// A second tag, or a second run with the same bytes: what is known stays.
			if !ok {
				if b, err = f.knownOf(ctx, lock, p); err != nil {
					return err
				}
			}
			if err := f.put(ctx, id, lock, p.Digest, p.Run, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// knownOf returns what is known of an image that is new to its change: other changes of
// the project may have brought the same bytes before, and they are scanned once.
func (f feed) knownOf(ctx context.Context, lock string, p event.ImagePushed) (body, error) {
	var text string
	err := f.tx.QueryRow(ctx, `SELECT p.body FROM path_part p JOIN path_change c ON c.id = p.change_id
		WHERE p.lock = ? AND p.part = ? AND c.project = ? ORDER BY p.seq DESC LIMIT 1`, lock, p.Digest, f.e.Project).Scan(&text)
	if missing(err) {
		return body{State: Passing, Name: p.Repository}, nil
	}
	var b body
	if err == nil {
		err = json.Unmarshal([]byte(text), &b)
	}
	if err != nil {
		return b, fmt.Errorf("looking for image %s: %w", p.Digest, err)
	}
	return b, nil
}

func (f feed) imageDeleted(ctx context.Context) error {
	p, ok := decode[event.ImageDeleted](f.e)
	if !ok {
		return nil
	}
	query, args := `DELETE FROM evidence_name WHERE kind = ? AND project = ? AND seq < ?`, []any{nameTag, f.e.Project, f.e.Seq}
	if p.Tag != "" {
		query, args = query+` AND name = ?`, append(args, p.Repository+":"+p.Tag)
	} else {
		begin := p.Repository + ":"
		query, args = query+` AND subject = ? AND substr(name, 1, ?) = ?`, append(args, string(event.Of(event.KindImage, p.Digest)), len(begin), begin)
	}
	if _, err := f.tx.Exec(ctx, query, args...); err != nil {
		return fmt.Errorf("forgetting the tags of %s: %w", p.Repository, err)
	}
	return nil
}

// name binds a name to its newest subject.
func (f feed) name(ctx context.Context, kind, name string, subject event.Subject) error {
	_, err := f.tx.Exec(ctx, `INSERT INTO evidence_name (project, kind, name, subject, seq) VALUES (?,?,?,?,?)
		ON CONFLICT (kind, name, project) DO UPDATE SET subject = excluded.subject, seq = excluded.seq WHERE excluded.seq >= evidence_name.seq`,
		f.e.Project, kind, name, string(subject), f.e.Seq)
	if err != nil {
		return fmt.Errorf("naming %s: %w", subject, err)
	}
	return nil
}

// amend changes the part of an image in each change that has it.
func (f feed) amend(ctx context.Context, lock, image string, change func(*body)) error {
	ids, err := f.changesOf(ctx, event.Of(event.KindImage, image))
	if err != nil {
		return err
	}
	for _, id := range ids {
		run, b, ok, err := f.get(ctx, id, lock, image)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		change(&b)
		if err := f.put(ctx, id, lock, image, run, b); err != nil {
			return err
		}
	}
	return nil
}

func (f feed) scanFinished(ctx context.Context) error {
	p, ok := decode[event.ScanFinished](f.e)
	if !ok {
		return nil
	}
	return f.amend(ctx, LockScan, p.Image, func(b *body) {
		*b = body{State: Open, Name: p.Repository, Critical: p.Critical, High: p.High, Medium: p.Medium, Packages: p.Packages, NoData: p.Status == "no advisory data"}
		if p.Critical > 0 {
			b.State = Shut
		}
	})
}

func (f feed) imageSigned(ctx context.Context) error {
	p, ok := decode[event.ImageSigned](f.e)
	if !ok {
		return nil
	}
	return f.amend(ctx, LockSign, p.Image, func(b *body) { b.State, b.Signed = Open, true })
}

func (f feed) provenanceCreated(ctx context.Context) error {
	p, ok := decode[event.ProvenanceCreated](f.e)
	if !ok {
		return nil
	}
	return f.amend(ctx, LockSign, p.Image, func(b *body) { b.Provenance = true })
}

// releaseChanges finds what a release is of: its run's change, else its commit's, else
// those of its images.
func (f feed) releaseChanges(ctx context.Context, p event.Release) ([]int64, error) {
	if p.Run > 0 {
		ids, err := f.changesOf(ctx, event.OfRun(p.Run))
		if err != nil || len(ids) > 0 {
			return ids, err
		}
	}
	if p.Commit != "" {
		id, ok, err := f.changeOf(ctx, "", "", p.Commit)
		if err != nil || ok {
			return []int64{id}, err
		}
	}
	for _, image := range p.Images {
		_, digest, ok := strings.Cut(image, "@")
		if !ok {
			continue
		}
		ids, err := f.changesOf(ctx, event.Of(event.KindImage, digest))
		if err != nil {
			return nil, err
		}
		if len(ids) > 0 {
			return ids[len(ids)-1:], nil
		}
	}
	return nil, nil
}

func (f feed) release(ctx context.Context) error {
	p, ok := decode[event.Release](f.e)
	if !ok {
		return nil
	}
	ids, err := f.releaseChanges(ctx, p)
	if err != nil {
		return err
	}
	b := body{State: Shut, Environment: p.Environment, Name: p.Result, Why: p.Why, Seconds: p.Seconds}
	if i := strings.LastIndex(p.Release, "/"); i >= 0 {
		if b.Number, err = strconv.ParseInt(p.Release[i+1:], 10, 64); err != nil {
			b.Number = 0 // Named by someone else's rule: the order of the events decides.
		}
	}
	switch {
	case f.e.Type == event.TypeReleaseStarted:
		b.State = Passing
	case p.Result == "deployed":
		b.State = Open
	}
	for _, id := range ids {
		if err := f.bind(ctx, f.e.Subject, id); err != nil {
			return err
		}
		if err := f.put(ctx, id, LockDeploy, p.Release, p.Run, b); err != nil {
			return err
		}
		for _, pod := range p.Pods {
			if err := f.pod(ctx, id, pod.UID, body{State: podState(pod.Ready, ""), Name: pod.Name}); err != nil {
				return err
			}
		}
	}
	return nil
}

// podState: a pod that is not ready and says why has failed; without a reason it is
// still starting.
func podState(ready bool, why string) State {
	switch {
	case ready:
		return Open
	case why != "":
		return Shut
	}
	return Passing
}

// pod writes a pod to the change that runs it now, and takes it from the one before.
func (f feed) pod(ctx context.Context, change int64, uid string, b body) error {
	_, err := f.tx.Exec(ctx, `DELETE FROM path_part WHERE lock = ? AND part = ? AND change_id <> ? AND seq <= ?`, LockHealth, uid, change, f.e.Seq)
	if err != nil {
		return fmt.Errorf("moving pod %s: %w", uid, err)
	}
	return f.put(ctx, change, LockHealth, uid, 0, b)
}

func (f feed) podChanged(ctx context.Context) error {
	p, ok := decode[event.PodChanged](f.e)
	if !ok {
		return nil
	}
	if err := f.name(ctx, namePod, p.Name, f.e.Subject); err != nil {
		return err
	}
	if p.Gone {
		_, err := f.tx.Exec(ctx, `DELETE FROM path_part WHERE lock = ? AND part = ? AND seq <= ?`, LockHealth, p.UID, f.e.Seq)
		if err != nil {
			return fmt.Errorf("removing pod %s: %w", p.UID, err)
		}
		return nil
	}
	ids, err := f.changesOf(ctx, event.Of(event.KindRelease, p.Release))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := f.pod(ctx, id, p.UID, body{State: podState(p.Ready, p.Why), Name: p.Name, Why: p.Why}); err != nil {
			return err
		}
	}
	return nil
}
