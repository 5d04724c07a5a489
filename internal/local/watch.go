package local

import (
	"context"
	"errors"
	"strings"
	"sync"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// Watcher hears of a run as it goes on. Its methods are called by one goroutine at a time.
type Watcher interface {
	// Note is told what the user should know before the run begins.
	Note(text string)
	// Begin, Lines and End are told of a step that runs: when its first line is there or it
	// has ended, what it prints in order, and how it ended. Steps of several jobs mingle,
	// those of one job follow each other.
	Begin(j pipeline.Job, s pipeline.Step)
	Lines(j pipeline.Job, s pipeline.Step, lines []pipeline.Line)
	End(j pipeline.Job, s pipeline.Step)
}

// errEnded is the error of a run that was not waited for.
var errEnded = fault.New(fault.Conflict, "The run was broken off; always() steps did not run.")

// watch follows a run until it has ended and everything of it was told.
func (h *host) watch(ctx context.Context, end <-chan struct{}, run int64) (*pipeline.Detail, error) {
	w := &watching{host: h, run: run, jobs: map[string]bool{}}
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	canceled := ctx.Done()
	asked := newQuestions(h)
	for {
		// Ask for news before looking, so that none is missed in between.
		news := h.svc.Changed(run)
		d, err := h.svc.Show(life, h.actor, run)
		if err != nil {
			return nil, err
		}
		w.follow(life, d)
		if err := asked.look(ctx, d); err != nil {
			return nil, err
		}
		if err := held(d); err != nil {
			cut()
			w.wait.Wait()
			return nil, err
		}
		if d.Status == plan.Completed {
			w.wait.Wait()
			return d, w.err
		}
		select {
		case <-news:
		case <-canceled:
			canceled = nil
			w.mu.Lock()
			h.cfg.Watcher.Note("Cancelling: steps with always() still run. Interrupt again to break off.")
			w.mu.Unlock()
			if err := h.svc.Cancel(life, h.actor, run); err != nil && !fault.Is(err, fault.Conflict) {
				return nil, err
			}
		case <-end:
			cut()
			w.wait.Wait()
			return nil, errEnded
		}
	}
}

// held is the error for a stage that something holds: here is nobody who could let it go.
func held(d *pipeline.Detail) error {
	for _, s := range d.Stages {
		if !s.Held.IsZero() {
			return fault.New(fault.Conflict, "The stage %s waits for %s, which a local run has not.", s.Name, strings.Join(s.HeldBy, ", ")).
				WithNext("run its jobs alone with --job, or push the file")
		}
	}
	return nil
}

// watching follows the jobs of a run.
type watching struct {
	host *host
	run  int64
	jobs map[string]bool // followed, by path
	wait sync.WaitGroup

	mu  sync.Mutex // of the watcher, and of err
	err error
}

// follow begins to follow the jobs that have begun.
func (w *watching) follow(ctx context.Context, d *pipeline.Detail) {
	for _, s := range d.Stages {
		for _, j := range s.Jobs {
			if len(j.Steps) == 0 || j.Started.IsZero() || w.jobs[j.Path] {
				continue
			}
			w.jobs[j.Path] = true
			w.wait.Go(func() {
				if err := w.job(ctx, j); err != nil && ctx.Err() == nil {
					w.mu.Lock()
					w.err = errors.Join(w.err, err)
					w.mu.Unlock()
				}
			})
		}
	}
}

// job tells of the steps of a job, one after the other.
func (w *watching) job(ctx context.Context, j pipeline.Job) error {
	h := w.host
	for _, s := range j.Steps {
		begun := false
		begin := func() {
			if !begun {
				begun = true
				h.cfg.Watcher.Begin(j, s)
			}
		}
		err := h.svc.Follow(ctx, h.actor, w.run, j.Path, s.Number, 0, func(lines []pipeline.Line) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			begin()
			h.cfg.Watcher.Lines(j, s, lines)
			return nil
		})
		if err != nil {
			return err
		}
		ended, err := w.step(ctx, j.Path, s.Number)
		if err != nil {
			return err
		}
		w.mu.Lock()
		if ended.Result != plan.Skipped {
			begin()
			h.cfg.Watcher.End(j, ended)
		}
		w.mu.Unlock()
	}
	return nil
}

// step is a step of a job as it is now.
func (w *watching) step(ctx context.Context, path string, number int) (pipeline.Step, error) {
	d, err := w.host.svc.Show(ctx, w.host.actor, w.run)
	if err != nil {
		return pipeline.Step{}, err
	}
	for _, s := range d.Stages {
		for _, j := range s.Jobs {
			for _, p := range j.Steps {
				if j.Path == path && p.Number == number {
					return p, nil
				}
			}
		}
	}
	return pipeline.Step{}, fault.New(fault.Internal, "The run has no step %d in %s any more.", number, path)
}
