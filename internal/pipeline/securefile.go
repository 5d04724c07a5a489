package pipeline

import (
	"context"
	"crypto/hmac"
	"fmt"
	"net/http"
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// serveSecureFile gives a job a secure file that a step of it names, when the pipeline may
// use it now. The run of a pull request gets none.
func (s *Service) serveSecureFile(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	name, content, err := s.lendFile(r.Context(), row, r.PathValue("name"), r.Method != http.MethodHead)
	if err != nil {
		return fmt.Errorf("lending a secure file: %w", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Towpath-Name", name)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(content) // that the agent is gone is its own trouble
	return nil
}

// TicketFile returns the content of a secure file to a step of a job that has the ticket of it:
// an added task that downloads it as from the service. a is the job, by its token; project is the
// one that it asks in. Anything else is fault.NotFound: who has no ticket learns of no file.
func (s *Service) TicketFile(ctx context.Context, a identity.Actor, project, file, ticket string) (name string, content []byte, err error) {
	none := fault.New(fault.NotFound, "There is no such secure file, or the ticket is not that of it in this job.").
		WithNext("read both from the environment of the task: SECUREFILE_TICKET_ID, with the ID that its input holds")
	if a.Kind != identity.KindRun || a.Job.Project != project {
		return "", nil, none
	}
	jobs, err := loadJobs(ctx, s.db, a.Job.Run)
	if err != nil {
		return "", nil, err
	}
	for _, row := range jobs {
		if row.status != plan.Running || row.lease == "" || row.stage != a.Job.Stage || row.jobName() != a.Job.Job {
			continue
		}
		if !hmac.Equal([]byte(protocol.TicketOf(row.lease, file)), []byte(ticket)) {
			return "", nil, none
		}
		return s.lendFile(ctx, row, file, true)
	}
	return "", nil, none
}

// lendFile gives a job a secure file; noted has the logbook say so.
func (s *Service) lendFile(ctx context.Context, row *jobRow, file string, noted bool) (name string, content []byte, err error) {
	err = s.again(ctx, func(tx *store.Tx) error {
		run, err := s.loadRun(ctx, tx, row.run)
		if err != nil {
			return err
		}
		want := check.Resource{Kind: check.File, Project: run.Project, Name: file}
		uses := check.OfJob(run.plan, run.plan.Stage(row.stage).Job(row.name), run.Repo)
		if !slices.ContainsFunc(uses.Resources, func(u check.Resource) bool { return u.Key() == want.Key() }) {
			return fault.New(fault.Denied, "No step of the job downloads the %s.", clipped(want.String()))
		}
		var l loan
		if ok, err := s.lendable(ctx, tx, run, want, &l); err != nil || !ok {
			if err == nil {
				err = fault.New(fault.Denied, "%s.", l.refused)
			}
			return err
		}
		if name, content, err = s.library.LendFile(ctx, tx, run.Project, want.Name); err != nil || !noted {
			return err
		}
		return s.announceLoan(ctx, tx, run, row, l)
	})
	return name, content, err
}

func clipped(s string) string { return s[:min(len(s), 200)] }
