package pipeline

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/coverage"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Coverage is what one coverage file of a run says (K031).
type Coverage struct {
	Job             string `json:"job"`  // path of the job
	File            string `json:"file"` // as it was called in the workspace
	Format          string `json:"format"`
	Lines           int64  `json:"lines"`
	LinesCovered    int64  `json:"lines_covered"`
	Branches        int64  `json:"branches"`
	BranchesCovered int64  `json:"branches_covered"`
	Digest          string `json:"digest"` // of the stored file
}

// Limits of coverage files.
const (
	maxCoverageFile  = 256 << 20
	maxCoverageFiles = 500
)

func (s *Service) serveCoverage(w http.ResponseWriter, r *http.Request) error {
	s.publishing.RLock()
	defer s.publishing.RUnlock()
	row, err := s.job(r)
	if err != nil {
		return err
	}
	var reply protocol.CoverageReply
	tr := tar.NewReader(http.MaxBytesReader(w, r.Body, protocol.MaxTests))
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			answer(w, http.StatusOK, reply)
			return nil
		}
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "The coverage files are not a tar archive.")
		}
		if n == maxCoverageFiles {
			return fault.New(fault.TooLarge, "More than %d coverage files.", maxCoverageFiles)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := s.readCoverage(r.Context(), row, h.Name, io.LimitReader(tr, maxCoverageFile), &reply); err != nil {
			return err
		}
	}
}

// readCoverage reads and keeps one file; one that is no coverage is named in the reply.
func (s *Service) readCoverage(ctx context.Context, row *jobRow, name string, body io.Reader, reply *protocol.CoverageReply) error {
	raw, err := io.ReadAll(body)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The coverage could not be read.")
	}
	total, err := coverage.Parse(bytes.NewReader(raw))
	if err != nil {
		reply.Invalid = append(reply.Invalid, name+": "+err.Error())
		return nil
	}
	digest, _, err := s.blobs.Put(ctx, bytes.NewReader(raw), "", maxCoverageFile)
	if err != nil {
		return err
	}
	c := Coverage{
		Job: row.path(), File: firstLine(s.masker(row.id).String(name)), Format: total.Format, Lines: total.Lines, LinesCovered: total.LinesCovered,
		Branches: total.Branches, BranchesCovered: total.BranchesCovered, Digest: digest,
	}
	if err := s.recordCoverage(ctx, row, c); err != nil {
		return err
	}
	reply.Lines += c.Lines
	reply.LinesCovered += c.LinesCovered
	reply.Branches += c.Branches
	reply.BranchesCovered += c.BranchesCovered
	return nil
}

// recordCoverage adds what a file says; a job that publishes the file again replaces it.
func (s *Service) recordCoverage(ctx context.Context, row *jobRow, c Coverage) error {
	return s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_coverage (id, run, job, file, format, lines, lines_covered, branches, branches_covered, digest, created) VALUES (?,?,?,?,?,?,?,?,?,?,?)
			ON CONFLICT (run, job, file) DO UPDATE SET format = excluded.format, lines = excluded.lines, lines_covered = excluded.lines_covered,
			branches = excluded.branches, branches_covered = excluded.branches_covered, digest = excluded.digest`,
			s.clock.NewID(), row.run, c.Job, c.File, c.Format, c.Lines, c.LinesCovered, c.Branches, c.BranchesCovered, c.Digest, millis(s.clock.Now()))
		if err != nil {
			return fmt.Errorf("adding the coverage of run %d: %w", row.run, err)
		}
		return s.sayOfRun(ctx, tx, row, event.TypeCoveragePublished, event.CoveragePublished{
			V: 1, Run: row.run, File: c.File, Format: c.Format, Lines: c.Lines, LinesCovered: c.LinesCovered,
			Branches: c.Branches, BranchesCovered: c.BranchesCovered, Digest: c.Digest,
		})
	})
}

// coverageOf lists the coverage of a run in the order in which it came.
func (s *Service) coverageOf(ctx context.Context, n int64) ([]Coverage, error) {
	rows, err := s.db.Query(ctx, `SELECT job, file, format, lines, lines_covered, branches, branches_covered, digest FROM pipeline_coverage WHERE run = ? ORDER BY created, id`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the coverage of run %d: %w", n, err)
	}
	defer rows.Close()
	out := []Coverage{}
	for rows.Next() {
		var c Coverage
		if err := rows.Scan(&c.Job, &c.File, &c.Format, &c.Lines, &c.LinesCovered, &c.Branches, &c.BranchesCovered, &c.Digest); err != nil {
			return nil, fmt.Errorf("reading the coverage of run %d: %w", n, err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}
