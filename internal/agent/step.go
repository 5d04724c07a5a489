package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// stepRun is one step while it runs.
type stepRun struct {
	*jobRun
	step  *protocol.Step
	round plan.HookRun
	spool *stepSpool

	result  plan.Result // what ##vso[task.complete] asked for
	why     string      // first error
	started time.Time
	inputs  map[string]string // by lower-case name, macros expanded
	in      *container        // in which the processes of the step run; nil on a host
	// ctx is that of the attempt, for the logging commands: they come in the middle of what
	// a process prints. It ends when the step is to stop at once.
	ctx context.Context

	progress  int // percent
	operation string
	details   []protocol.Detail
	taskVars  plan.Values // of ##vso[task.settaskvariable], those of all stages of the task
	added     *protocol.Added
	made      string // the file that the server made for the task, in the workspace
	// take gets the files of the server in place of the folder for temporary files, and noted
	// what the task says, for tasks that want it.
	take  func(name string, data []byte) error
	noted []byte
}

// task does the work of a step; nil means that it succeeded. ctx ends when the step is
// to stop at once.
type task func(ctx context.Context, s *stepRun) error

// tasks are the tasks that the agent knows, by lower-case name.
func tasks() map[string]task {
	all := map[string]task{
		"bash@3": runBash, "cmdline@2": runScript, "powershell@2": runPowerShell, "checkout@1": runCheckout,
		"copyfiles@2": copyFiles, "deletefiles@1": deleteFiles, "archivefiles@2": archiveFiles, "extractfiles@1": extractFiles,
		"publishbuildartifacts@1": publishBuildArtifact, "downloadbuildartifacts@1": downloadBuildArtifact,
		"publishcodecoverageresults@2": publishCoverage,
		"publishpipelineartifact@1":    publishArtifact, "downloadpipelineartifact@2": downloadArtifact,
		"publishtestresults@2": publishTests, "cache@2": runCache, "docker@2": runDocker, "helmdeploy@0": runHelm, "helmdeploy@1": runHelm, "kubernetesmanifest@1": runManifests,
		"kubernetes@1": runKubectl, "reviewapp@0": runReviewApp, "getpackage@0": runPackage, "downloadbuild@0": runBuild,
	}
	all["downloadsecurefile@1"] = downloadSecureFile
	for name := range installers() {
		all[name] = installTool
	}
	return all
}

// run decides whether the step runs, runs it and reports it; status is the status of
// the job so far. expired says that a cancelled job has no time left.
func (s *stepRun) run(status plan.Result, expired bool) plan.Result {
	sp, err := s.jobRun.spool.step(s.step.Number)
	if err != nil {
		s.jobRun.fail(err.Error())
		return plan.Failed
	}
	s.spool = sp
	runs := s.step.Enabled && !expired
	if runs {
		if runs, err = plan.StepRuns(s.step.Condition, status, s.vars); err != nil {
			s.started = time.Now()
			s.error(err.Error())
			return s.end(plan.Failed)
		}
	}
	if !runs {
		skipped := plan.Skipped
		if status == plan.Canceled {
			skipped = plan.Canceled
		}
		s.jobRun.spool.report(sp, protocol.StepUpdate{Status: plan.Completed, Result: skipped})
		return plan.Succeeded
	}
	s.started = time.Now()
	s.jobRun.spool.report(sp, protocol.StepUpdate{Status: plan.Running, Started: s.started})
	for _, n := range s.job.Notices {
		s.print("##[warning]" + n)
	}
	s.job.Notices = nil
	return s.end(s.attempts(status))
}

// end reports the result of the step; what it returns counts for the job.
func (s *stepRun) end(result plan.Result) plan.Result {
	if result == plan.Failed && s.step.ContinueOnError {
		result = plan.SucceededWithIssues
	}
	if result == plan.Failed {
		why := s.why
		if why == "" {
			why = "the step failed"
		}
		s.jobRun.fail(s.step.DisplayName + ": " + why)
	}
	s.jobRun.spool.report(s.spool, s.update(protocol.StepUpdate{
		Status: plan.Completed, Result: result, Started: s.started, Finished: time.Now(), Why: s.masker.String(s.why),
	}))
	return result
}

// attempts runs the step until it succeeds or its retries are used up (V010).
func (s *stepRun) attempts(status plan.Result) plan.Result {
	for n := 0; ; n++ {
		s.result = ""
		result := s.attempt(status)
		if result != plan.Failed || n >= s.step.Retries {
			s.pause(result)
			return result
		}
		pause := time.Duration((n+1)*(n+1)) * time.Second
		s.print(fmt.Sprintf("##[warning]The step failed; trying again in %s (%d of %d).", pause, n+1, s.step.Retries))
		select {
		case <-time.After(pause):
		case <-s.stop.c:
			return result
		}
	}
}

// attempt runs the step once, within its time-out. A cancellation of the job ends it,
// unless its condition holds in a cancelled job as well (X114).
func (s *stepRun) attempt(status plan.Result) plan.Result {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if s.step.TimeoutMinutes > 0 {
		t := time.AfterFunc(time.Duration(s.step.TimeoutMinutes)*time.Minute, func() {
			cancel(fmt.Errorf("the step ran longer than its time-out of %d minutes", s.step.TimeoutMinutes))
		})
		defer t.Stop()
	}
	watched := make(chan struct{})
	defer close(watched)
	go s.watchAbandon(cancel, watched)
	if status != plan.Canceled {
		go s.watchCancel(cancel, watched)
	} else if left, bounded := s.stop.left(s.job.CancelSeconds); bounded {
		t := time.AfterFunc(left, func() { cancel(errCanceled) })
		defer t.Stop()
	}
	s.ctx, s.taskVars = ctx, s.variablesOfTask(s.step)
	err := s.perform(ctx)
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errCanceled):
		s.print("##[warning]The step was cancelled: " + s.stop.why)
		return plan.Canceled
	case cause != nil:
		s.error(cause.Error())
		return plan.Failed
	case err != nil:
		s.error(err.Error())
		return plan.Failed
	case s.result == plan.Failed:
		return plan.Failed
	case s.result != "":
		return s.result
	}
	return plan.Succeeded
}

var errCanceled = errors.New("the step was cancelled")

// watchAbandon ends the step when the owner of the agent wants everything to end at once.
func (s *stepRun) watchAbandon(cancel context.CancelCauseFunc, done <-chan struct{}) {
	select {
	case <-done:
	case <-s.agent.cfg.Abandon:
		s.stop.stop("broken off", false, false) // Who was told to end before knows why.
		cancel(errCanceled)
	}
}

// abandoned reports whether nothing may begin any more.
func (a *Agent) abandoned() bool {
	select {
	case <-a.cfg.Abandon:
		return true
	default:
		return false
	}
}

// watchCancel waits for the end of the job and cancels the step when its condition does
// not hold any more.
func (s *stepRun) watchCancel(cancel context.CancelCauseFunc, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-s.stop.c:
	}
	if s.stop.gone || s.onlyWhileRunning() {
		cancel(errCanceled)
		return
	}
	var late <-chan time.Time
	if left, bounded := s.stop.left(s.job.CancelSeconds); bounded {
		late = time.After(left)
	}
	select {
	case <-done:
	case <-late:
		cancel(errCanceled)
	}
}

// onlyWhileRunning reports whether the step's condition is false in a cancelled job.
func (s *stepRun) onlyWhileRunning() bool {
	// The variables belong to the goroutine of the job: a condition that needs one
	// that is not there is false, and the step is cancelled.
	runs, err := plan.StepRuns(s.step.Condition, plan.Canceled, plan.Values{})
	return err != nil || !runs
}

// perform expands the inputs and runs the task.
func (s *stepRun) perform(ctx context.Context) error {
	s.inputs = make(map[string]string, len(s.step.Inputs))
	for k, v := range s.step.Inputs {
		s.inputs[strings.ToLower(k)] = s.expand(v)
	}
	run, ok := tasks()[strings.ToLower(s.step.Task)]
	if s.added = s.addedTask(); !ok && s.added != nil {
		run, ok = runAdded, true
	}
	if !ok {
		return fmt.Errorf("the task %s is not available on this agent", s.step.Task)
	}
	var err error
	if s.in, err = s.container(); err != nil {
		return err
	}
	return run(ctx, s)
}

// expand replaces the macros of a text.
func (s *stepRun) expand(text string) string { return expr.ExpandMacros(text, s.vars.Lookup) }

// input returns an input under the first of its names that is set.
func (s *stepRun) input(names ...string) string {
	for _, n := range names {
		if v := s.inputs[strings.ToLower(n)]; v != "" {
			return v
		}
	}
	return ""
}

// flag returns an input that is a Boolean.
func (s *stepRun) flag(name string, otherwise bool) bool {
	if v, ok := plan.ParseBoolean(s.inputs[strings.ToLower(name)]); ok {
		return v
	}
	return otherwise
}

// expandVariables expands the macros of the variables among themselves, once, before
// the first step.
func (r *jobRun) expandVariables() {
	raw := make(map[string]string, len(r.vars))
	for k, v := range r.vars {
		raw[k] = v.Text
	}
	expanded, cycles := expr.ExpandVariables(raw)
	for k, text := range expanded {
		v := r.vars[k]
		if text != v.Text && r.masker.Holds(text) {
			v.Secret = true
			r.masker.Add(text)
		}
		v.Text = text
		r.vars[k] = v
	}
	for _, c := range cycles {
		r.log.Warn("a variable contains itself", "variable", c.Name)
	}
}

// reservedPrefixes begin the names of variables that are not exported (X048).
var reservedPrefixes = []string{"endpoint", "input", "secret", "securefile"}

// environment is the environment of the step's processes: the base, the variables that
// are no secrets (L032), and what the step maps itself.
func (s *stepRun) environment() []string {
	env := s.from(s.base)
	for _, v := range s.vars {
		name := s.variableKey(v)
		if v.Secret || name == "PATH" || name == "HOME" || !validEnv(name, v.Text) ||
			slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(strings.ToLower(v.Name), p) }) {
			continue
		}
		env[name] = v.Text
	}
	maps.Copy(env, s.endpointVariables())
	for k, v := range s.step.Env {
		if value := s.expand(v); validEnv(k, value) {
			env[k] = value
		}
	}
	if len(s.paths) > 0 {
		env["PATH"] = strings.Join(s.paths, ":") + ":" + env["PATH"]
	}
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// envName is the name of a variable in the environment (X049).
func envName(name string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", " ", "_").Replace(name))
}

// validEnv reports whether a name and value can stand in an environment. A value too
// long for the system would keep every process from starting.
func validEnv(name, value string) bool {
	return name != "" && !strings.ContainsAny(name, "=\x00") && !strings.Contains(value, "\x00") && len(name)+len(value) < 120<<10
}
