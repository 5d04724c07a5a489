package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// settlement is the payload of a settle job: what Deployments.Settle is told.
type settlement struct {
	ID        string `json:"id"` // of the row of the job
	Run       int64  `json:"run"`
	Stage     string `json:"stage"`
	Job       string `json:"job"`
	Succeeded bool   `json:"succeeded"`
}

// settleLater puts the end of a canary deployment into the queue, in the transaction that
// ends its job: neither a crash nor a second report can lose it or make two of it. result
// is that of the agent, before continueOnError: a canary that failed is taken back also
// where the run goes on.
func (s *Service) settleLater(ctx context.Context, tx *store.Tx, run *runRow, row *jobRow, result plan.Result) error {
	job := run.plan.Stage(row.stage).Job(row.name)
	if s.settler == nil || job == nil || job.Strategy == nil || job.Strategy.Name != plan.Canary {
		return nil
	}
	return s.queue.Enqueue(ctx, tx, kindSettle, row.id, settlement{
		ID: row.id, Run: row.run, Stage: row.stage, Job: row.jobName(), Succeeded: result == plan.Succeeded || result == plan.SucceededWithIssues,
	})
}

// onSettle tells how a canary deployment ended, once the tasks of its job are over.
func (s *Service) onSettle(ctx context.Context, payload json.RawMessage) error {
	var p settlement
	if err := json.Unmarshal(payload, &p); err != nil {
		return fmt.Errorf("reading the end of a canary: %w", err)
	}
	if err := s.busy.idle(ctx, p.ID); err != nil {
		return err
	}
	if err := s.settler.Settle(ctx, p.Run, p.Stage, p.Job, p.Succeeded); err != nil {
		return fmt.Errorf("settling the canary of run %d, %s.%s: %w", p.Run, p.Stage, p.Job, err)
	}
	return nil
}

// round is the round of a deployment to which a step of a job belongs.
func round(job *protocol.Job, step int) Strategy {
	if job.Strategy == nil {
		return Strategy{}
	}
	for _, phase := range job.Phases {
		for i := range phase.Steps {
			if phase.Steps[i].Number == step {
				return Strategy{Name: job.Strategy.Name, Action: phase.Round.Action, Increment: phase.Round.Increment, Hook: phase.Round.Hook}
			}
		}
	}
	return Strategy{Name: job.Strategy.Name}
}

// busy knows the tasks that run here, by the row of their job.
type busy struct {
	mu   sync.Mutex
	jobs map[string]*running
}

// running are the tasks of one job.
type running struct {
	cancels map[int]context.CancelFunc
	next    int
	over    chan struct{} // closed when the last one has ended
}

// begin notes a task; its context ends with the job. done must be called.
func (b *busy) begin(ctx context.Context, job string) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.jobs == nil {
		b.jobs = map[string]*running{}
	}
	r := b.jobs[job]
	if r == nil {
		r = &running{cancels: map[int]context.CancelFunc{}, over: make(chan struct{})}
		b.jobs[job] = r
	}
	n := r.next
	r.next++
	r.cancels[n] = cancel
	return ctx, func() {
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		if delete(r.cancels, n); len(r.cancels) == 0 {
			delete(b.jobs, job)
			close(r.over)
		}
	}
}

// has reports whether a task of a job runs.
func (b *busy) has(job string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.jobs[job] != nil
}

// stop ends the tasks of a job that is over: its agent may be gone without a word.
func (b *busy) stop(job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.jobs[job]; r != nil {
		for _, cancel := range r.cancels {
			cancel()
		}
	}
}

// idle waits until no task of a job runs.
func (b *busy) idle(ctx context.Context, job string) error {
	b.stop(job)
	b.mu.Lock()
	r := b.jobs[job]
	b.mu.Unlock()
	if r == nil {
		return nil
	}
	select {
	case <-r.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
