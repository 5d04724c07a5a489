package pipeline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// reasonPull is the Build.Reason of the runs of pull requests.
const reasonPull = "PullRequest"

// pullRefs begins the refs of pull requests.
const pullRefs = "refs/pull/"

// PullOrder asks for the run of a pull request.
type PullOrder struct {
	Repo      string `json:"repo"` // "project/repo"
	Number    int64  `json:"number"`
	Title     string `json:"title"`
	Source    string `json:"source"`         // "refs/heads/fix"
	Target    string `json:"target"`         // "refs/heads/main"
	Head      string `json:"head"`           // commit of Source
	Base      string `json:"base,omitempty"` // commit of Target that Merge was made on, its first parent; "" when it is not known
	Merge     string `json:"merge"`          // commit of refs/pull/N/merge
	Requester string `json:"requester"`      // user who opened or pushed
	Draft     bool   `json:"draft,omitempty"`
}

// StartPull starts the runs of a pull request at its merge commit, for the system, one of each
// pipeline of its repository; it returns the first. The files of that commit decide: its `pr` says for which targets and paths; a file without `pr`
// means every pull request, as Azure Pipelines does for repositories of GitHub. Runs of
// the same pull request that still go on are cancelled unless autoCancel is false.
//
// It may be repeated: a merge commit of a pull request has one run, which is returned
// again. A zero Run says that nothing is to run: no file, no match, or a file that does
// not compile, which is an event (run.refused) about the head.
func (s *Service) StartPull(ctx context.Context, p PullOrder) (Run, error) {
	project, _, ok := strings.Cut(p.Repo, "/")
	if !ok || p.Number <= 0 || !isHash(p.Head) || !isHash(p.Merge) || p.Base != "" && !isHash(p.Base) {
		return Run{}, fault.New(fault.Invalid, "A run of pull request %d of %q needs the commits of its head and of its merge.", p.Number, p.Repo)
	}
	list, err := s.ofRepo(ctx, p.Repo)
	if err != nil {
		return Run{}, err
	}
	var first Run
	var errs []error
	for _, d := range list {
		if d.Disabled {
			continue
		}
		r, err := s.startPull(ctx, project, d.File, p)
		errs = append(errs, err)
		if first.Number == 0 {
			first = r
		}
	}
	return first, errors.Join(errs...)
}

// startPull is StartPull for one pipeline of the repository.
func (s *Service) startPull(ctx context.Context, project, file string, p PullOrder) (Run, error) {
	o := Order{
		Repo: p.Repo, File: file, Project: project, Ref: pullRefs + strconv.FormatInt(p.Number, 10) + "/merge", Commit: p.Merge, Title: p.Title,
		Reason: reasonPull, Requester: p.Requester, Pull: &p,
		actor: identity.KindUser + ":" + p.Requester,
	}
	o.cause = o.because(fmt.Sprintf("pull:%s#%d@%s", p.Repo, p.Number, p.Merge))
	if p.Requester == "" {
		o.actor = system().String()
	}
	compiled, found, err := s.compile(ctx, o)
	if fault.Is(err, fault.NotFound) {
		return Run{}, nil
	}
	if err != nil {
		return Run{}, err
	}
	if found.Failed() {
		return Run{}, s.refuse(ctx, o, found)
	}
	matches, err := s.triggersPull(ctx, compiled.PR, p)
	if err != nil || !matches {
		return Run{}, err
	}
	r, err := s.start(ctx, o, compiled)
	if err != nil || r.Number > 0 {
		return r, s.refuseStart(ctx, o, err)
	}
	return s.caused(ctx, o.cause)
}

// isHash reports whether s is the full name of a commit.
func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// triggersPull reports whether a pull request starts a run.
func (s *Service) triggersPull(ctx context.Context, t plan.PRTrigger, p PullOrder) (bool, error) {
	var changed []string
	if !t.Paths.Empty() && p.Base != "" {
		var err error
		if changed, err = s.source.ChangedPaths(ctx, system(), p.Repo, p.Base, p.Merge); err != nil && !fault.Is(err, fault.NotFound) {
			return false, fmt.Errorf("comparing pull request %d with its target: %w", p.Number, err)
		}
	}
	return t.Matches(p.Target, changed, p.Draft), nil
}

// caused is the run that a cause has had; zero when it had none.
func (s *Service) caused(ctx context.Context, cause string) (Run, error) {
	r, err := scanRun(s.db.QueryRow(ctx, `SELECT `+runColumns+` FROM pipeline_run WHERE number = (SELECT run FROM pipeline_cause WHERE cause = ?)`, cause))
	if errors.Is(err, sql.ErrNoRows) {
		return Run{}, nil
	}
	if err != nil {
		return Run{}, fmt.Errorf("finding the run that was started before: %w", err)
	}
	return r.Run, nil
}

// pullVariables are the variables that only runs of pull requests have (P006).
func pullVariables(p *PullOrder, cloneURL string) [][2]string {
	n := strconv.FormatInt(p.Number, 10)
	return [][2]string{
		{"System.PullRequest.PullRequestId", n}, {"System.PullRequest.PullRequestNumber", n}, {"System.PullRequest.IsFork", "False"},
		{"System.PullRequest.SourceBranch", p.Source}, {"System.PullRequest.SourceCommitId", p.Head}, {"System.PullRequest.SourceRepositoryURI", cloneURL},
		{"System.PullRequest.TargetBranch", p.Target}, {"System.PullRequest.TargetBranchName", strings.TrimPrefix(p.Target, "refs/heads/")},
	}
}

// pullOrder reads what a run was started for.
func (s *Service) pullOrder(ctx context.Context, n int64) (*PullOrder, error) {
	var raw string
	if err := s.db.QueryRow(ctx, `SELECT request FROM pipeline_run WHERE number = ?`, n).Scan(&raw); err != nil {
		return nil, fmt.Errorf("reading the pull request of run %d: %w", n, err)
	}
	var p PullOrder
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return nil, fmt.Errorf("reading the pull request of run %d: %w", n, err)
	}
	return &p, nil
}

// supersede cancels the runs of the same pull request that still go on.
func (s *Service) supersede(ctx context.Context, tx *store.Tx, by *runRow) error {
	rows, err := tx.Query(ctx, `SELECT number FROM pipeline_run WHERE repo = ? AND file = ? AND pull = ? AND number < ? AND status <> ? AND canceled = ''`,
		by.Repo, by.File, by.Pull, by.Number, string(plan.Completed))
	if err != nil {
		return fmt.Errorf("finding older runs of pull request %d: %w", by.Pull, err)
	}
	var older []int64
	for rows.Next() {
		var n int64
		if err = rows.Scan(&n); err != nil {
			break
		}
		older = append(older, n)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("finding older runs of pull request %d: %w", by.Pull, err)
	}
	for _, n := range older {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		if err := s.cancel(ctx, tx, r, fmt.Sprintf("replaced by run %d of the same pull request", by.Number)); err != nil {
			return err
		}
	}
	return nil
}

// cancel asks a run that goes on to end.
func (s *Service) cancel(ctx context.Context, tx *store.Tx, r *runRow, why string) error {
	r.canceled = why
	if _, err := tx.Exec(ctx, `UPDATE pipeline_run SET canceled = ? WHERE number = ?`, r.canceled, r.Number); err != nil {
		return fmt.Errorf("cancelling run %d: %w", r.Number, err)
	}
	if _, err := s.endStays(ctx, tx, r.Number, why, system().String()); err != nil {
		return err
	}
	return s.advance(ctx, tx, r)
}

// OfPull reports whether a run judged a pull request, so that what it built was merged by
// nobody. It asks for no rights: it is for the platform itself. A run that is not known is
// fault.NotFound.
func (s *Service) OfPull(ctx context.Context, run int64) (bool, error) {
	r, err := s.loadRun(ctx, s.db, run)
	if err != nil {
		return false, err
	}
	return r.Pull > 0, nil
}
