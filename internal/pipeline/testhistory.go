package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/results"
	"towpath.dev/towpath/internal/store"
)

// FlakyWindow is over how many of the newest runs of a pipeline tests are watched for flakiness.
//
// The rule: a test is flaky when it both failed and passed on one commit, within these runs.
// The two outcomes may be of two runs, of two attempts of a job, or of one that tries a test
// again by itself. The service's system detection is narrower, it looks at retries within a
// run (learn.microsoft.com, "Manage flaky tests"). The mark goes when the last such commit
// leaves the window.
const FlakyWindow = 50

// TestCase is a test of a pipeline, over its newest runs.
type TestCase struct {
	ID      int64     `json:"id,string"`
	Suite   string    `json:"suite"`
	Name    string    `json:"name"`
	Runs    int       `json:"runs"` // outcomes in the window, skipped ones not counted
	Failed  int       `json:"failed"`
	Outcome string    `json:"outcome"` // of the newest run
	Run     int64     `json:"run"`     // the newest run that has it
	Flaky   bool      `json:"flaky"`
	Commit  string    `json:"commit,omitempty"` // the newest on which it both failed and passed
	Seconds float64   `json:"seconds"`          // on average
	Last    time.Time `json:"last"`             // when the newest run was queued
}

// Outcome is one outcome of a test.
type Outcome struct {
	Run     int64     `json:"run"`
	Attempt int       `json:"attempt"`
	Ref     string    `json:"ref"`
	Commit  string    `json:"commit"`
	Outcome string    `json:"outcome"` // Passed, Failed, Skipped
	Seconds float64   `json:"seconds"`
	Queued  time.Time `json:"queued"`
}

// TestFilter selects tests of a pipeline.
type TestFilter struct {
	// Pipeline is a key: "project/repo", "project/repo:file".
	Pipeline string
	Branch   string // branch or full ref; "" means all
	Flaky    bool   // only flaky ones
	Failed   bool   // only those whose newest outcome is Failed
	Limit    int    // at most so many; 0 means 200, the most is 2000
}

// testID is the number of a test: 63 bits of a digest of its names.
func testID(repo, suite, name string) int64 {
	sum := sha256.Sum256([]byte(repo + "\x00" + suite + "\x00" + name))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}

// perInsert is how many rows one statement adds.
const perInsert = 200

// recordCases keeps the outcome of every test of a file, so that tests have a history.
func recordCases(ctx context.Context, tx *store.Tx, repo string, row *jobRow, testRun string, cases []results.Case, hide func(string) string) error {
	for from := 0; from < len(cases); from += perInsert {
		part := cases[from:min(from+perInsert, len(cases))]
		var tests, outcomes []any
		seen := map[int64]bool{}
		for i, c := range part {
			suite, name := hide(c.Suite), hide(c.Name)
			id := testID(repo, suite, name)
			if !seen[id] {
				seen[id] = true
				tests = append(tests, id, repo, suite, name)
			}
			outcomes = append(outcomes, testRun, from+i, id, row.run, row.attempt, string(c.Outcome), int64(c.Seconds*1000))
		}
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_test (id, pipeline, suite, name) VALUES `+groups(len(tests)/4, 4)+` ON CONFLICT (id) DO NOTHING`, tests...)
		if err != nil {
			return fmt.Errorf("adding tests: %w", err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO pipeline_test_case (test_run, position, test, run, attempt, outcome, millis) VALUES `+groups(len(part), 7), outcomes...)
		if err != nil {
			return fmt.Errorf("adding the outcomes of tests: %w", err)
		}
	}
	return nil
}

// groups are the placeholders of n rows.
func groups(n, columns int) string {
	one := "(?" + strings.Repeat(",?", columns-1) + ")"
	return one + strings.Repeat(","+one, n-1)
}

// window is the number of the oldest run of a pipeline that is watched.
func (s *Service) window(ctx context.Context, key, ref string) (int64, error) {
	repo, file := SplitKey(key)
	where, args := `repo = ? AND file = ?`, []any{repo, file}
	if ref != "" {
		where, args = where+` AND ref = ?`, append(args, ref)
	}
	var first int64
	err := s.db.QueryRow(ctx, `SELECT COALESCE(MIN(number), 0) FROM (SELECT number FROM pipeline_run WHERE `+where+` AND EXISTS
		(SELECT 1 FROM pipeline_test_run t WHERE t.run = number) ORDER BY number DESC LIMIT ?) newest`, append(args, FlakyWindow)...).Scan(&first)
	if err != nil {
		return 0, fmt.Errorf("finding the newest runs of %s: %w", key, err)
	}
	return first, nil
}

// flaky are the flaky tests of a pipeline with the newest commit that shows it.
func (s *Service) flaky(ctx context.Context, key, ref string) (map[int64]string, error) {
	first, err := s.window(ctx, key, ref)
	if err != nil {
		return nil, err
	}
	repo, file := SplitKey(key)
	where, args := `r.repo = ? AND r.file = ? AND c.run >= ?`, []any{repo, file, first}
	if ref != "" {
		where, args = where+` AND r.ref = ?`, append(args, ref)
	}
	rows, err := s.db.Query(ctx, `SELECT c.test, r.hash FROM pipeline_test_case c JOIN pipeline_run r ON r.number = c.run WHERE `+where+`
		GROUP BY c.test, r.hash HAVING SUM(CASE WHEN c.outcome = 'Failed' THEN 1 ELSE 0 END) > 0 AND SUM(CASE WHEN c.outcome = 'Passed' THEN 1 ELSE 0 END) > 0
		ORDER BY MAX(c.run)`, args...)
	if err != nil {
		return nil, fmt.Errorf("looking for flaky tests of %s: %w", key, err)
	}
	defer rows.Close()
	out := map[int64]string{}
	for rows.Next() {
		var id int64
		var commit string
		if err := rows.Scan(&id, &commit); err != nil {
			return nil, fmt.Errorf("looking for flaky tests of %s: %w", key, err)
		}
		out[id] = commit
	}
	return out, rows.Err()
}

// TestCases lists the tests of a pipeline over its newest runs, those first that fail most. It
// needs the read role.
func (s *Service) TestCases(ctx context.Context, a identity.Actor, f TestFilter) ([]TestCase, error) {
	project, _, _ := strings.Cut(f.Pipeline, "/")
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	ref := fullBranch(f.Branch)
	marks, err := s.flaky(ctx, f.Pipeline, ref)
	if err != nil {
		return nil, err
	}
	first, err := s.window(ctx, f.Pipeline, ref)
	if err != nil {
		return nil, err
	}
	repo, file := SplitKey(f.Pipeline)
	where, args := `r.repo = ? AND r.file = ? AND c.run >= ?`, []any{repo, file, first}
	if ref != "" {
		where, args = where+` AND r.ref = ?`, append(args, ref)
	}
	rows, err := s.db.Query(ctx, `SELECT t.id, t.suite, t.name, SUM(CASE WHEN c.outcome <> 'Skipped' THEN 1 ELSE 0 END), SUM(CASE WHEN c.outcome = 'Failed' THEN 1 ELSE 0 END) AS failures,
		MAX(c.run), AVG(c.millis), MAX(r.queued), (SELECT MAX(n.outcome) FROM pipeline_test_case n WHERE n.test = t.id AND n.run = MAX(c.run) AND n.attempt =
			(SELECT MAX(l.attempt) FROM pipeline_test_case l WHERE l.test = t.id AND l.run = MAX(c.run)))
		FROM pipeline_test_case c JOIN pipeline_test t ON t.id = c.test JOIN pipeline_run r ON r.number = c.run
		WHERE `+where+` GROUP BY t.id, t.suite, t.name ORDER BY failures DESC, t.suite, t.name`, args...)
	if err != nil {
		return nil, fmt.Errorf("listing the tests of %s: %w", f.Pipeline, err)
	}
	defer rows.Close()
	limit := f.Limit
	if limit <= 0 {
		limit = 200
	}
	out := []TestCase{}
	for rows.Next() && len(out) < min(limit, 2000) {
		var c TestCase
		var ms float64
		var queued int64
		if err := rows.Scan(&c.ID, &c.Suite, &c.Name, &c.Runs, &c.Failed, &c.Run, &ms, &queued, &c.Outcome); err != nil {
			return nil, fmt.Errorf("listing the tests of %s: %w", f.Pipeline, err)
		}
		c.Seconds, c.Last, c.Commit = ms/1000, fromMillis(queued), marks[c.ID]
		c.Flaky = c.Commit != ""
		if f.Flaky && !c.Flaky || f.Failed && c.Outcome != string(results.Failed) {
			continue
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// fullBranch is the full ref of a branch; "" stays.
func fullBranch(branch string) string {
	if branch == "" || strings.HasPrefix(branch, "refs/") {
		return branch
	}
	return "refs/heads/" + branch
}

// TestHistory lists the outcomes of a test, newest first, at most limit (50 when 0, 500 the
// most). test is the number of the test, or its name when the pipeline has one such test. It
// needs the read role.
func (s *Service) TestHistory(ctx context.Context, a identity.Actor, repo, test, branch string, limit int) ([]Outcome, error) {
	project, _, _ := strings.Cut(repo, "/")
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	id, err := s.findTest(ctx, repo, test)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = 50
	}
	where, args := `c.test = ?`, []any{id}
	if ref := fullBranch(branch); ref != "" {
		where, args = where+` AND r.ref = ?`, append(args, ref)
	}
	rows, err := s.db.Query(ctx, `SELECT c.run, c.attempt, r.ref, r.hash, c.outcome, c.millis, r.queued FROM pipeline_test_case c JOIN pipeline_run r ON r.number = c.run
		WHERE `+where+` ORDER BY c.run DESC, c.attempt DESC, c.position DESC LIMIT ?`, append(args, min(limit, 500))...)
	if err != nil {
		return nil, fmt.Errorf("reading the history of a test: %w", err)
	}
	defer rows.Close()
	out := []Outcome{}
	for rows.Next() {
		var o Outcome
		var ms, queued int64
		if err := rows.Scan(&o.Run, &o.Attempt, &o.Ref, &o.Commit, &o.Outcome, &ms, &queued); err != nil {
			return nil, fmt.Errorf("reading the history of a test: %w", err)
		}
		o.Seconds, o.Queued = (time.Duration(ms) * time.Millisecond).Seconds(), fromMillis(queued)
		out = append(out, o)
	}
	return out, rows.Err()
}

// findTest finds a test by its number or its name.
func (s *Service) findTest(ctx context.Context, repo, test string) (int64, error) {
	suite, name := "", test
	if i := strings.LastIndexByte(test, '/'); i >= 0 {
		suite, name = test[:i], test[i+1:]
	}
	rows, err := s.db.Query(ctx, `SELECT id, suite, name FROM pipeline_test WHERE pipeline = ? AND (name = ? OR suite = ? AND name = ? OR CAST(id AS TEXT) = ?) LIMIT 2`, repo, test, suite, name, test)
	if err != nil {
		return 0, fmt.Errorf("finding a test of %s: %w", repo, err)
	}
	defer rows.Close()
	var found []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id, &suite, &name); err != nil {
			return 0, fmt.Errorf("finding a test of %s: %w", repo, err)
		}
		found = append(found, id)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return 0, fault.New(fault.NotFound, "The pipeline of %s has no test %q.", repo, clip(test)).WithNext("list them with: towpath test list")
	}
	return 0, fault.New(fault.Invalid, "The pipeline of %s has several tests called %q.", repo, clip(test)).WithNext("write SUITE/NAME, or the number that towpath test list prints")
}

// markFlaky marks the failures of a run that are of flaky tests.
func (s *Service) markFlaky(ctx context.Context, n int64, list []TestRun) error {
	failures := 0
	for _, t := range list {
		failures += len(t.Failures)
	}
	if failures == 0 {
		return nil
	}
	var repo, file string
	if err := s.db.QueryRow(ctx, `SELECT repo, file FROM pipeline_run WHERE number = ?`, n).Scan(&repo, &file); err != nil {
		return fmt.Errorf("reading run %d: %w", n, err)
	}
	marks, err := s.flaky(ctx, Key(repo, file), "")
	if err != nil {
		return err
	}
	for i := range list {
		for k := range list[i].Failures {
			f := &list[i].Failures[k]
			f.Flaky = marks[testID(Key(repo, file), f.Suite, f.Name)] != ""
		}
	}
	return nil
}
