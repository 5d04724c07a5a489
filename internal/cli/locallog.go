package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"towpath.dev/towpath/internal/local"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// localLog prints the steps of a local run as they go on; each line says its job when there
// is more than one.
type localLog struct {
	mu    sync.Mutex // held while somebody has a shell
	out   io.Writer
	notes io.Writer
	alone bool // there is one job
}

func newLocalLog(out, notes io.Writer, p *plan.Plan) *localLog {
	jobs := 0
	for _, s := range p.Stages {
		for _, j := range s.Jobs {
			if jobs++; j.Matrix != nil {
				jobs++
			}
		}
	}
	return &localLog{out: out, notes: notes, alone: jobs == 1}
}

// prefix stands before each line of a job.
func (l *localLog) prefix(j pipeline.Job) string {
	if l.alone {
		return ""
	}
	stage, _, _ := strings.Cut(j.Path, ".")
	return local.Label(stage, j.Name, j.Leg) + " | "
}

// Note prints what the user should know.
func (l *localLog) Note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.notes, text)
}

// Begin prints the title of a step.
func (l *localLog) Begin(j pipeline.Job, s pipeline.Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "%s== %s\n", l.prefix(j), printable(s.DisplayName))
}

// Lines prints what a step prints, without the marks that only a page can show.
func (l *localLog) Lines(j pipeline.Job, _ pipeline.Step, lines []pipeline.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, prefix := bufio.NewWriterSize(l.out, 64<<10), l.prefix(j)
	for _, line := range lines {
		if text, shown := plainLine(line.Text); shown {
			fmt.Fprintf(w, "%s%s\n", prefix, printable(text))
		}
	}
	_ = w.Flush() // Who does not read any more has nothing to be told.
}

// plainLine turns the formatting commands of a line (L025) into text.
func plainLine(text string) (plain string, shown bool) {
	mark, rest, ok := strings.Cut(text, "]")
	if !ok || !strings.HasPrefix(mark, "##[") {
		return text, true
	}
	switch strings.ToLower(mark[3:]) {
	case "endgroup":
		return "", false
	case "group", "section":
		return rest, true
	case "command":
		return "$ " + rest, true
	case "warning", "error", "debug":
		return strings.ToLower(mark[3:]) + ": " + rest, true
	}
	return text, true
}

// End prints how a step ended.
func (l *localLog) End(j pipeline.Job, s pipeline.Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "%s-- %s in %s\n", l.prefix(j), state(s.Status, s.Result), took(s.Started, s.Finished))
}

// shell opens a shell where a step failed; without a terminal it says so once and there is
// none.
func (e *env) shell(l *localLog) local.Pauser {
	terminal := e.stdinTerminal()
	if terminal == nil {
		fmt.Fprintln(e.err, "warning: --shell-on-failure needs a terminal; the run goes on without")
		return nil
	}
	return &failureShell{log: l, terminal: terminal}
}

// failureShell is an interactive shell in the folder and environment of a failed step. While
// it is open nothing else is printed.
type failureShell struct {
	log      *localLog
	terminal *os.File
}

// Pause runs a shell until the user leaves it or the job is told to end.
func (s *failureShell) Pause(ctx context.Context, f local.Failure) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	fmt.Fprintf(s.log.notes, "\n%s: %s failed: %s\nA shell in %s with the environment of the step; exit lets the job go on.\n",
		f.Job, printable(f.Step), printable(f.Why), f.Dir)
	cmd := f.Shell
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.terminal, s.terminal, s.terminal
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(s.log.notes, "The shell could not be started: %v\n", err)
		return
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })() // One that has ended needs no end.
	_ = cmd.Wait()                                                    // How a shell ends says nothing about the step.
}
