package agent

import (
	"context"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// Pauser holds a job at a step that has failed, so that a person can look around.
type Pauser interface {
	// Pause is called when a step has failed for good, before the job goes on; the job waits
	// until it returns. ctx ends when the job is told to end. Jobs call it side by side.
	Pause(ctx context.Context, f Failure)
}

// Failure is where a step has failed.
type Failure struct {
	Job  string // path, "Build.Test"
	Step string // display name
	Why  string // first error, masked
	Dir  string // working directory of the step
	// Env is the environment that the processes of the step had, secrets that the step
	// maps included.
	Env []string
	// Agent is the agent of the job, and Container the container in which the step ran; "" is
	// the agent's host.
	Agent, Container string
}

// failure is where the step has failed.
func (s *stepRun) failure() Failure {
	dir, err := s.workingDirectory()
	if err != nil {
		dir = s.space.path(dirSources)
	}
	f := Failure{Job: s.job.Path(), Step: s.step.DisplayName, Why: s.masker.String(s.why), Dir: dir, Env: s.environment(), Agent: s.agent.cfg.Name}
	if s.in != nil {
		f.Container = s.in.name
	}
	return f
}

// pause tells the one who wants to know that the step has failed, and waits for him. For a job
// that is to be kept it notes the place.
func (s *stepRun) pause(result plan.Result) {
	if result != plan.Failed {
		return
	}
	if s.job.StaySeconds > 0 && s.failed == nil && !s.step.ContinueOnError {
		s.failed = &failedStep{Failure: s.failure(), in: s.in}
	}
	if s.agent.cfg.Pause == nil || s.stop.stopped() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-s.stop.c:
			cancel()
		case <-over:
		}
	}()
	s.agent.cfg.Pause.Pause(ctx, s.failure())
}
