package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// step finds a step of a run by the path of its job and its number. "Build.Go#1" names the
// first attempt of a job that was made again.
func (s *Service) step(ctx context.Context, a identity.Actor, n int64, job string, number int) (logs.Ref, error) {
	if _, err := s.authorized(ctx, a, n, identity.Read); err != nil {
		return logs.Ref{}, err
	}
	jobs, err := loadJobs(ctx, s.db, n)
	if err != nil {
		return logs.Ref{}, err
	}
	for _, j := range jobs {
		if strings.EqualFold(j.path(), job) {
			return logs.Ref{Run: n, Job: j.id, Step: number}, nil
		}
	}
	if id, err := s.pastJob(ctx, n, job); err != nil || id != "" {
		return logs.Ref{Run: n, Job: id, Step: number}, err
	}
	return logs.Ref{}, fault.New(fault.NotFound, "Run %d has no job %q.", n, job)
}

// Line is one line of a log.
type Line = logs.Line

// LogPage is a part of the log of a step.
type LogPage struct {
	Lines []Line `json:"lines"`
	Total int64  `json:"total"` // lines so far
	Over  bool   `json:"over"`  // the step has ended: no more will come
}

// maxLines is how many lines a page of a log holds at most.
const maxLines = 10_000

// ReadLog returns at most limit lines (0: 1000, the most is 10 000) of the log of a
// step from line number from on, counted from 0. It needs the read role.
func (s *Service) ReadLog(ctx context.Context, a identity.Actor, n int64, job string, step int, from int64, limit int) (LogPage, error) {
	ref, err := s.step(ctx, a, n, job, step)
	if err != nil {
		return LogPage{}, err
	}
	if limit <= 0 {
		limit = 1000
	}
	return s.page(ctx, ref, from, min(limit, maxLines))
}

func (s *Service) page(ctx context.Context, ref logs.Ref, from int64, limit int) (LogPage, error) {
	var p LogPage
	var status string
	err := s.db.QueryRow(ctx, `SELECT status FROM pipeline_step WHERE job = ? AND number = ?`, ref.Job, ref.Step).Scan(&status)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("reading a step: %w", err)
	}
	if errors.Is(err, sql.ErrNoRows) {
		// The job has not been queued yet, or was skipped.
		past, err := s.isPast(ctx, ref.Job)
		status = string(plan.Completed)
		if err == nil && !past {
			err = s.db.QueryRow(ctx, `SELECT status FROM pipeline_job WHERE id = ?`, ref.Job).Scan(&status)
		}
		if err != nil {
			return p, fmt.Errorf("reading a job: %w", err)
		}
	}
	p.Over = plan.Status(status) == plan.Completed
	p.Lines, p.Total, err = s.logs.Read(ref, from, limit)
	return p, err
}

// Follow calls send with the lines of a step from line number from on, as they come,
// until the step has ended and all lines were sent, ctx ends, or send returns an error,
// which Follow returns. It needs the read role.
func (s *Service) Follow(ctx context.Context, a identity.Actor, n int64, job string, step int, from int64, send func([]Line) error) error {
	ref, err := s.step(ctx, a, n, job, step)
	if err != nil {
		return err
	}
	for {
		// Ask for news before looking, so that none is missed in between.
		news, lines := s.hub.changed(onRun(n)), s.logs.Changed(ref)
		p, err := s.page(ctx, ref, from, 1000)
		if err != nil {
			return err
		}
		if len(p.Lines) > 0 {
			if err := send(p.Lines); err != nil {
				return err
			}
			from += int64(len(p.Lines))
			continue
		}
		if p.Over {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-lines:
		}
	}
}
