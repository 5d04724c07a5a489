package pipeline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Limits of what steps add to a run.
const (
	maxAttachments = 1000
	maxRunTags     = 100
	maxName        = 255 // bytes of a name, a type or a tag
)

// Attachment is a file that a step left beside its log (L011 to L014, L018).
type Attachment struct {
	ID      string    `json:"id"`
	Job     string    `json:"job"`  // path of the job
	Step    int       `json:"step"` // number of the step
	Type    string    `json:"type"` // one of protocol's, or a task's own
	Name    string    `json:"name"`
	Bytes   int64     `json:"bytes"`
	Digest  string    `json:"digest"`
	Created time.Time `json:"created"`
}

// plainName reports whether a foreign name can be shown and kept.
func plainName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, unicode.IsControl) && strings.ToValidUTF8(name, "") == name
}

func (s *Service) serveAttachment(w http.ResponseWriter, r *http.Request) error {
	s.publishing.RLock()
	defer s.publishing.RUnlock()
	row, err := s.job(r)
	if err != nil {
		return err
	}
	var head protocol.AttachmentHeader
	if err := json.Unmarshal([]byte(r.Header.Get(protocol.HeaderAttachment)), &head); err != nil {
		return fault.Wrap(fault.Invalid, err, "The request does not describe its attachment.")
	}
	if !plainName(head.Name) || !plainName(head.Type) || head.Step < 1 {
		return fault.New(fault.Invalid, "An attachment needs a step, and a type and a name of at most %d bytes.", maxName)
	}
	digest, size, err := s.blobs.Put(r.Context(), http.MaxBytesReader(w, r.Body, protocol.MaxAttachment+1), "", protocol.MaxAttachment)
	if err != nil {
		return err
	}
	if err := s.recordAttachment(r.Context(), row, head, digest, size); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// recordAttachment adds an attachment, or puts a newer one in the place of the one that the
// step has of the same type and name.
func (s *Service) recordAttachment(ctx context.Context, row *jobRow, head protocol.AttachmentHeader, digest string, size int64) error {
	return s.again(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_attachment WHERE run = ?`, row.run).Scan(&n); err != nil {
			return fmt.Errorf("reading the attachments of run %d: %w", row.run, err)
		}
		if n >= maxAttachments {
			return fault.New(fault.TooLarge, "The run has %d attachments, which is the most.", n).WithNext("publish many files as one artifact")
		}
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_attachment (id, run, job, path, step, type, name, bytes, digest, created) VALUES (?,?,?,?,?,?,?,?,?,?)
			ON CONFLICT (job, step, type, name) DO UPDATE SET bytes = excluded.bytes, digest = excluded.digest`,
			s.clock.NewID(), row.run, row.id, row.path(), head.Step, head.Type, head.Name, size, digest, millis(s.clock.Now()))
		if err != nil {
			return fmt.Errorf("adding an attachment to run %d: %w", row.run, err)
		}
		return s.sayOfRun(ctx, tx, row, event.TypeAttachmentAdded, event.AttachmentAdded{
			V: 1, Run: row.run, Job: row.path(), Step: head.Step, Type: head.Type, Name: head.Name, Bytes: size, Digest: digest,
		})
	})
}

// serveRunChange carries out what a step wants of its run: another name, tags (L015, L016).
func (s *Service) serveRunChange(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	var in protocol.RunChange
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if in.Name != "" && !plainName(in.Name) {
		return fault.New(fault.Invalid, "A run cannot be called %q.", in.Name)
	}
	for _, t := range in.Tags {
		if !plainName(t) {
			return fault.New(fault.Invalid, "A run cannot have the tag %q: at most %d bytes, no control characters.", t, maxName)
		}
	}
	if err := s.again(r.Context(), func(tx *store.Tx) error { return s.changeRun(r.Context(), tx, row, in) }); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// changeRun writes a new name with the variable that shows it, and new tags, of which the
// first writing counts.
func (s *Service) changeRun(ctx context.Context, tx *store.Tx, row *jobRow, in protocol.RunChange) error {
	if in.Name != "" {
		if err := s.renameRun(ctx, tx, row.run, in.Name); err != nil {
			return err
		}
	}
	for _, tag := range in.Tags {
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_tag (run, folded, tag, job, created) VALUES (?,?,?,?,?) ON CONFLICT (run, folded) DO NOTHING`,
			row.run, strings.ToLower(tag), tag, row.path(), millis(s.clock.Now()))
		if err != nil {
			return fmt.Errorf("tagging run %d: %w", row.run, err)
		}
	}
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_tag WHERE run = ?`, row.run).Scan(&n); err != nil {
		return fmt.Errorf("reading the tags of run %d: %w", row.run, err)
	}
	if n > maxRunTags {
		return fault.New(fault.TooLarge, "A run has at most %d tags.", maxRunTags)
	}
	return s.sayOfRun(ctx, tx, row, event.TypeRunChanged, event.RunChanged{V: 1, Run: row.run, Job: row.path(), Step: in.Step, Name: in.Name, Tags: in.Tags})
}

// renameRun gives a run another name; jobs that start later see it in Build.BuildNumber.
func (s *Service) renameRun(ctx context.Context, tx *store.Tx, n int64, name string) error {
	run, err := s.loadRun(ctx, tx, n)
	if err != nil {
		return err
	}
	v, _ := run.variables.Get("Build.BuildNumber")
	v.Name, v.Text, v.ReadOnly = "Build.BuildNumber", name, true
	run.variables.Set(v)
	if _, err := tx.Exec(ctx, `UPDATE pipeline_run SET name = ?, variables = ? WHERE number = ?`, name, text(run.variables), n); err != nil {
		return fmt.Errorf("naming run %d: %w", n, err)
	}
	return nil
}

// attachments lists the attachments of a run in the order in which they came.
func attachments(ctx context.Context, h store.Handle, n int64) ([]Attachment, error) {
	rows, err := h.Query(ctx, `SELECT id, path, step, type, name, bytes, digest, created FROM pipeline_attachment WHERE run = ? ORDER BY created, id`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the attachments of run %d: %w", n, err)
	}
	defer rows.Close()
	out := []Attachment{}
	for rows.Next() {
		var a Attachment
		var created int64
		if err := rows.Scan(&a.ID, &a.Job, &a.Step, &a.Type, &a.Name, &a.Bytes, &a.Digest, &created); err != nil {
			return nil, fmt.Errorf("reading the attachments of run %d: %w", n, err)
		}
		a.Created = fromMillis(created)
		out = append(out, a)
	}
	return out, rows.Err()
}

// tags lists the tags of a run in the order in which they came.
func tags(ctx context.Context, h store.Handle, n int64) ([]string, error) {
	rows, err := h.Query(ctx, `SELECT tag FROM pipeline_tag WHERE run = ? ORDER BY created, folded`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the tags of run %d: %w", n, err)
	}
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var t string
		if err := rows.Scan(&t); err != nil {
			return nil, fmt.Errorf("reading the tags of run %d: %w", n, err)
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// OpenAttachment returns an attachment of a run and its content, which the caller closes.
// It needs the read role.
func (s *Service) OpenAttachment(ctx context.Context, a identity.Actor, n int64, id string) (Attachment, io.ReadCloser, error) {
	if _, err := s.authorized(ctx, a, n, identity.Read); err != nil {
		return Attachment{}, nil, err
	}
	at := Attachment{ID: id}
	var created int64
	err := s.db.QueryRow(ctx, `SELECT path, step, type, name, bytes, digest, created FROM pipeline_attachment WHERE run = ? AND id = ?`, n, id).
		Scan(&at.Job, &at.Step, &at.Type, &at.Name, &at.Bytes, &at.Digest, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return at, nil, fault.New(fault.NotFound, "Run %d has no attachment %s.", n, id).WithNext("list them with: towpath run attachments %d", n)
	}
	if err != nil {
		return at, nil, fmt.Errorf("reading an attachment of run %d: %w", n, err)
	}
	at.Created = fromMillis(created)
	body, err := s.blobs.Open(ctx, at.Digest, 0)
	return at, body, err
}

// addExtras reads what steps have added to a run.
func (s *Service) addExtras(ctx context.Context, d *Detail) error {
	var err error
	if d.Tags, err = tags(ctx, s.db, d.Number); err != nil {
		return err
	}
	if d.Attachments, err = attachments(ctx, s.db, d.Number); err != nil {
		return err
	}
	d.Coverage, err = s.coverageOf(ctx, d.Number)
	return err
}

// details encodes the records of a step with their texts masked; none is "".
func details(list []protocol.Detail, hide func(string) string) string {
	if len(list) == 0 {
		return ""
	}
	out := make([]protocol.Detail, min(len(list), maxAttachments))
	for i := range out {
		d := list[i]
		d.Name, d.Message = hide(d.Name), hide(d.Message)
		out[i] = d
	}
	return text(out)
}
