package pipeline

import (
	"fmt"
	"net/http"
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/store"
)

// serveSecureFile gives a job a secure file that a step of it names, when the pipeline may
// use it now. The run of a pull request gets none.
func (s *Service) serveSecureFile(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	var name string
	var content []byte
	err = s.again(r.Context(), func(tx *store.Tx) error {
		run, err := s.loadRun(r.Context(), tx, row.run)
		if err != nil {
			return err
		}
		want := check.Resource{Kind: check.File, Project: run.Project, Name: r.PathValue("name")}
		uses := check.OfJob(run.plan, run.plan.Stage(row.stage).Job(row.name), run.Repo)
		if !slices.ContainsFunc(uses.Resources, func(u check.Resource) bool { return u.Key() == want.Key() }) {
			return fault.New(fault.Denied, "No step of the job downloads the %s.", clipped(want.String()))
		}
		var l loan
		if ok, err := s.lendable(r.Context(), tx, run, want, &l); err != nil || !ok {
			if err == nil {
				err = fault.New(fault.Denied, "%s.", l.refused)
			}
			return err
		}
		if name, content, err = s.library.LendFile(r.Context(), tx, run.Project, want.Name); err != nil {
			return err
		}
		return s.announceLoan(r.Context(), tx, run, row, l)
	})
	if err != nil {
		return fmt.Errorf("lending a secure file: %w", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Towpath-Name", name)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(content) // that the agent is gone is its own trouble
	return nil
}

func clipped(s string) string { return s[:min(len(s), 200)] }
