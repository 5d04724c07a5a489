package pipeline

import (
	"archive/tar"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// artifactName is what an artifact may be called: it becomes a folder on the agent.
var artifactName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9 ._()-]{0,127}$`)

// maxArtifacts bounds the artifacts of a run.
const maxArtifacts = 1000

func (s *Service) servePublish(w http.ResponseWriter, r *http.Request) error {
	s.publishing.RLock()
	defer s.publishing.RUnlock()
	row, err := s.job(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if !artifactName.MatchString(name) {
		return fault.New(fault.Invalid, "An artifact cannot be called %q.", name).WithNext("use letters, digits, space and ._-() only")
	}
	a := protocol.Artifact{Name: name, Job: row.path()}
	if err := s.keep(r.Context(), r.Body, &a); err != nil {
		return err
	}
	if err := s.recordArtifact(r.Context(), row, &a); err != nil {
		return err
	}
	answer(w, http.StatusOK, a)
	return nil
}

// keep stores the tar of an artifact while it counts what is in it.
func (s *Service) keep(ctx context.Context, body io.Reader, a *protocol.Artifact) error {
	pr, pw := io.Pipe()
	counted := make(chan error, 1)
	go func() {
		err := count(pr, a)
		// Whatever follows the end of the tar is read, so that the writer goes on.
		_, derr := io.Copy(io.Discard, pr)
		counted <- errors.Join(err, derr)
	}()
	digest, _, err := s.blobs.Put(ctx, io.TeeReader(body, pw), "", protocol.MaxArtifact)
	_ = pw.CloseWithError(err) // It never returns an error.
	cerr := <-counted
	if err != nil {
		return err
	}
	if cerr != nil {
		return fault.Wrap(fault.Invalid, cerr, "The artifact is not a tar archive.")
	}
	a.Digest = digest
	return nil
}

// count reads a tar to its end.
func count(r io.Reader, a *protocol.Artifact) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeDir {
			a.Files++
			a.Bytes += h.Size
		}
	}
}

// recordArtifact adds an artifact to the run. The same one may come again; another
// under the same name is refused.
func (s *Service) recordArtifact(ctx context.Context, row *jobRow, a *protocol.Artifact) error {
	return s.again(ctx, func(tx *store.Tx) error {
		var digest, job string
		var attempt int
		folded := strings.ToLower(a.Name)
		err := tx.QueryRow(ctx, `SELECT digest, job, attempt FROM pipeline_artifact WHERE run = ? AND folded = ?`, row.run, folded).Scan(&digest, &job, &attempt)
		switch {
		case err == nil && job == a.Job && attempt < row.attempt:
			return s.replaceArtifact(ctx, tx, row, a)
		case err == nil && digest == a.Digest && job == a.Job:
			return nil
		case err == nil:
			return fault.New(fault.Conflict, "The run has an artifact %q already, published by %s.", a.Name, job).WithNext("give this one another name")
		case !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("reading the artifacts of run %d: %w", row.run, err)
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_artifact WHERE run = ?`, row.run).Scan(&n); err != nil {
			return fmt.Errorf("reading the artifacts of run %d: %w", row.run, err)
		}
		if n >= maxArtifacts {
			return fault.New(fault.TooLarge, "The run has %d artifacts, which is the most.", n)
		}
		_, err = tx.Exec(ctx, `INSERT INTO pipeline_artifact (run, name, folded, job, files, bytes, digest, created, attempt) VALUES (?,?,?,?,?,?,?,?,?)`,
			row.run, a.Name, folded, a.Job, a.Files, a.Bytes, a.Digest, millis(s.clock.Now()), row.attempt)
		if err != nil {
			return fmt.Errorf("adding the artifact %s: %w", a.Name, err)
		}
		return s.sayPublished(ctx, tx, row, a)
	})
}

// replaceArtifact puts what an attempt published in the place of what the one before did.
func (s *Service) replaceArtifact(ctx context.Context, tx *store.Tx, row *jobRow, a *protocol.Artifact) error {
	_, err := tx.Exec(ctx, `UPDATE pipeline_artifact SET name = ?, files = ?, bytes = ?, digest = ?, created = ?, attempt = ? WHERE run = ? AND folded = ?`,
		a.Name, a.Files, a.Bytes, a.Digest, millis(s.clock.Now()), row.attempt, row.run, strings.ToLower(a.Name))
	if err != nil {
		return fmt.Errorf("replacing the artifact %s: %w", a.Name, err)
	}
	return s.sayPublished(ctx, tx, row, a)
}

func (s *Service) sayPublished(ctx context.Context, tx *store.Tx, row *jobRow, a *protocol.Artifact) error {
	return s.sayOfRun(ctx, tx, row, event.TypeArtifactPublished, event.ArtifactPublished{
		V: 1, Run: row.run, Name: a.Name, Files: a.Files, Bytes: a.Bytes, Digest: a.Digest, Attempt: row.attempt,
	})
}

// sayOfRun appends a fact about the run of a job, said by the job.
func (s *Service) sayOfRun(ctx context.Context, tx *store.Tx, row *jobRow, kind string, payload any) error {
	var project string
	if err := tx.QueryRow(ctx, `SELECT project FROM pipeline_run WHERE number = ?`, row.run).Scan(&project); err != nil {
		return fmt.Errorf("reading run %d: %w", row.run, err)
	}
	tx.AfterCommit(func() { s.hub.signal(onRun(row.run)) })
	return s.log.Append(ctx, tx, event.Fact{
		Type: kind, Subject: event.OfRun(row.run), Project: project, Actor: fmt.Sprintf("run:%d", row.run), Payload: payload,
	})
}

func (s *Service) serveArtifacts(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	run, err := s.artifactsOf(r.Context(), row, r.URL.Query())
	if err != nil {
		return err
	}
	list, err := artifacts(r.Context(), s.db, run)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, list)
	return nil
}

func (s *Service) serveArtifact(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	run, err := s.artifactsOf(r.Context(), row, r.URL.Query())
	if err != nil {
		return err
	}
	_, body, err := s.openArtifact(r.Context(), run, r.PathValue("name"))
	if err != nil {
		return err
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/x-tar")
	if _, err := io.Copy(w, body); err != nil {
		// The answer has begun: breaking it off is all that can tell the agent.
		conn, _, herr := http.NewResponseController(w).Hijack()
		if herr == nil {
			herr = conn.Close()
		}
		s.logger.Error("sending an artifact", "error", errors.Join(err, herr))
	}
	return nil
}

func (s *Service) openArtifact(ctx context.Context, n int64, name string) (protocol.Artifact, io.ReadCloser, error) {
	list, err := artifacts(ctx, s.db, n)
	if err != nil {
		return protocol.Artifact{}, nil, err
	}
	for _, a := range list {
		if strings.EqualFold(a.Name, name) {
			body, err := s.blobs.Open(ctx, a.Digest, 0)
			return a, body, err
		}
	}
	return protocol.Artifact{}, nil, fault.New(fault.NotFound, "Run %d has no artifact %q.", n, name)
}

// artifacts lists the artifacts of a run in the order in which they came.
func artifacts(ctx context.Context, h store.Handle, n int64) ([]protocol.Artifact, error) {
	rows, err := h.Query(ctx, `SELECT name, job, files, bytes, digest FROM pipeline_artifact WHERE run = ? ORDER BY created, name`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the artifacts of run %d: %w", n, err)
	}
	defer rows.Close()
	out := []protocol.Artifact{}
	for rows.Next() {
		var a protocol.Artifact
		if err := rows.Scan(&a.Name, &a.Job, &a.Files, &a.Bytes, &a.Digest); err != nil {
			return nil, fmt.Errorf("reading the artifacts of run %d: %w", n, err)
		}
		out = append(out, a)
	}
	return out, rows.Err()
}
