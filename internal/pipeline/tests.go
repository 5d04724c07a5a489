package pipeline

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/pipeline/results"
	"towpath.dev/towpath/internal/store"
)

// Limits of test results.
const (
	maxResultFile  = 64 << 20
	maxResultFiles = 2000
)

// resultFile is one file as it was sent.
type resultFile struct {
	name   string
	result *results.Result
	digest string
}

func (s *Service) serveTests(w http.ResponseWriter, r *http.Request) error {
	s.publishing.RLock()
	defer s.publishing.RUnlock()
	row, err := s.job(r)
	if err != nil {
		return err
	}
	var head protocol.TestsHeader
	if err := json.Unmarshal([]byte(r.Header.Get(protocol.HeaderTests)), &head); err != nil {
		return fault.Wrap(fault.Invalid, err, "The request does not describe its test results.")
	}
	if !slices.ContainsFunc(results.Formats(), func(f string) bool { return strings.EqualFold(f, head.Format) }) {
		return fault.New(fault.Invalid, "Test results in the format %q are not supported.", head.Format).WithNext("use one of %s", strings.Join(results.Formats(), ", "))
	}
	var reply protocol.TestsReply
	files, err := s.readResults(r.Context(), head.Format, http.MaxBytesReader(w, r.Body, protocol.MaxTests), &reply)
	if err != nil {
		return err
	}
	if head.Merge && len(files) > 1 {
		files = []resultFile{merge(files)}
	}
	for _, f := range files {
		if err := s.recordTests(r.Context(), row, head.Title, f); err != nil {
			return err
		}
		reply.Runs++
		reply.Total += f.result.Total
		reply.Passed += f.result.Passed
		reply.Failed += f.result.Failed
		reply.Skipped += f.result.Skipped
		reply.Seconds += f.result.Seconds
	}
	answer(w, http.StatusOK, reply)
	return nil
}

// readResults reads and keeps every file of a tar. Files that are no results are named
// in the reply.
func (s *Service) readResults(ctx context.Context, format string, body io.Reader, reply *protocol.TestsReply) ([]resultFile, error) {
	var out []resultFile
	tr := tar.NewReader(body)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The test results are not a tar archive.")
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if len(out) == maxResultFiles {
			return nil, fault.New(fault.TooLarge, "More than %d test result files.", maxResultFiles)
		}
		if h.Size > maxResultFile {
			reply.Invalid = append(reply.Invalid, fmt.Sprintf("%s: larger than %d MiB", h.Name, maxResultFile>>20))
			continue
		}
		raw, err := io.ReadAll(tr)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The test results could not be read.")
		}
		result, err := results.Parse(format, bytes.NewReader(raw))
		if err != nil {
			reply.Invalid = append(reply.Invalid, h.Name+": "+err.Error())
			continue
		}
		digest, _, err := s.blobs.Put(ctx, bytes.NewReader(raw), "", maxResultFile)
		if err != nil {
			return nil, err
		}
		out = append(out, resultFile{name: h.Name, result: result, digest: digest})
	}
}

// merge makes one result of several. Its digest is that of the first file.
func merge(files []resultFile) resultFile {
	sum := &results.Result{Name: files[0].result.Name}
	for _, f := range files {
		sum.Total += f.result.Total
		sum.Passed += f.result.Passed
		sum.Failed += f.result.Failed
		sum.Skipped += f.result.Skipped
		sum.Seconds += f.result.Seconds
		sum.Failures = append(sum.Failures, f.result.Failures...)
		sum.Cases = append(sum.Cases, f.result.Cases...)
	}
	sum.Failures = sum.Failures[:min(len(sum.Failures), results.MaxFailures)]
	sum.Cases = sum.Cases[:min(len(sum.Cases), results.MaxKept)]
	return resultFile{name: files[0].name, result: sum, digest: files[0].digest}
}

// recordTests adds a test run. Its texts come from the tests and are masked.
func (s *Service) recordTests(ctx context.Context, row *jobRow, title string, f resultFile) error {
	masker := s.masker(row.id)
	if title == "" {
		title = f.result.Name
	}
	if title == "" {
		title = path.Base(f.name)
	}
	title = firstLine(masker.String(title))
	return s.again(ctx, func(tx *store.Tx) error {
		id := s.clock.NewID()
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_test_run (id, run, job, title, total, passed, failed, skipped, millis, digest, created, attempt) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`,
			id, row.run, row.path(), title, f.result.Total, f.result.Passed, f.result.Failed, f.result.Skipped,
			int64(f.result.Seconds*1000), f.digest, millis(s.clock.Now()), row.attempt)
		if err != nil {
			return fmt.Errorf("adding test results: %w", err)
		}
		for i, x := range f.result.Failures {
			_, err := tx.Exec(ctx, `INSERT INTO pipeline_test_failure (test_run, position, suite, name, message, details, millis) VALUES (?,?,?,?,?,?,?)`,
				id, i, masker.String(x.Suite), masker.String(x.Name), masker.String(x.Message), masker.String(x.Details), int64(x.Seconds*1000))
			if err != nil {
				return fmt.Errorf("adding a failed test: %w", err)
			}
		}
		var repo, file string
		if err := tx.QueryRow(ctx, `SELECT repo, file FROM pipeline_run WHERE number = ?`, row.run).Scan(&repo, &file); err != nil {
			return fmt.Errorf("reading run %d: %w", row.run, err)
		}
		if err := recordCases(ctx, tx, Key(repo, file), row, id, f.result.Cases, masker.String); err != nil {
			return err
		}
		return s.sayOfRun(ctx, tx, row, event.TypeTestsPublished, event.TestsPublished{
			V: 1, Run: row.run, Title: title, Total: f.result.Total, Passed: f.result.Passed, Failed: f.result.Failed, Skipped: f.result.Skipped,
			Seconds: f.result.Seconds, Digest: f.digest, Attempt: row.attempt, Job: row.path(),
		})
	})
}

// testRuns reads the test runs of a run, with their failures when asked for.
func (s *Service) testRuns(ctx context.Context, n int64, failures bool) ([]TestRun, error) {
	rows, err := s.db.Query(ctx, `SELECT id, job, title, total, passed, failed, skipped, millis, digest FROM pipeline_test_run WHERE run = ? AND past = 0 ORDER BY created, id`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the test results of run %d: %w", n, err)
	}
	defer rows.Close()
	out := []TestRun{}
	for rows.Next() {
		var t TestRun
		var ms int64
		if err := rows.Scan(&t.ID, &t.Job, &t.Title, &t.Total, &t.Passed, &t.Failed, &t.Skipped, &ms, &t.Digest); err != nil {
			return nil, fmt.Errorf("reading the test results of run %d: %w", n, err)
		}
		t.Seconds = (time.Duration(ms) * time.Millisecond).Seconds()
		out = append(out, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the test results of run %d: %w", n, err)
	}
	for i := range out {
		if !failures || out[i].Failed == 0 {
			continue
		}
		if out[i].Failures, err = s.failures(ctx, out[i].ID); err != nil {
			return nil, err
		}
	}
	return out, s.markFlaky(ctx, n, out)
}

func (s *Service) failures(ctx context.Context, id string) ([]Failure, error) {
	rows, err := s.db.Query(ctx, `SELECT suite, name, message, details, millis FROM pipeline_test_failure WHERE test_run = ? ORDER BY position`, id)
	if err != nil {
		return nil, fmt.Errorf("reading failed tests: %w", err)
	}
	defer rows.Close()
	var out []Failure
	for rows.Next() {
		var f Failure
		var ms int64
		if err := rows.Scan(&f.Suite, &f.Name, &f.Message, &f.Details, &ms); err != nil {
			return nil, fmt.Errorf("reading failed tests: %w", err)
		}
		f.Seconds = (time.Duration(ms) * time.Millisecond).Seconds()
		out = append(out, f)
	}
	return out, rows.Err()
}
