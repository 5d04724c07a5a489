package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"towpath.dev/towpath/internal/local"
)

// terminalAsker puts the questions of a run on the terminal. While one waits nothing else is
// printed.
type terminalAsker struct {
	log   *localLog
	lines chan string // what was typed; closed at its end
	begun bool
	in    io.Reader
}

func newTerminalAsker(log *localLog, in io.Reader) *terminalAsker {
	return &terminalAsker{log: log, in: in, lines: make(chan string)}
}

// Ask asks until there is an answer, or ctx ends.
func (a *terminalAsker) Ask(ctx context.Context, q local.Question) (resume bool, comment string, answered bool) {
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	if !a.begun {
		a.begun = true
		go a.read()
	}
	w := a.log.notes
	fmt.Fprintf(w, "\n%s\n", printable(strings.TrimSpace(q.Job+" "+q.Step)))
	for line := range strings.Lines(q.Instructions) {
		fmt.Fprintf(w, "  %s\n", printable(strings.TrimRight(line, "\r\n")))
	}
	if len(q.Approvers) > 0 {
		fmt.Fprintf(w, "On a server it waits for %s.\n", printable(strings.Join(q.Approvers, ", ")))
	}
	for {
		fmt.Fprint(w, "Go on? yes, or no and why: ")
		select {
		case line, ok := <-a.lines:
			if !ok {
				return false, "the terminal was closed", true
			}
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch strings.ToLower(word) {
			case "y", "yes":
				return true, strings.TrimSpace(rest), true
			case "n", "no":
				return false, strings.TrimSpace(rest), true
			}
		case <-ctx.Done():
			fmt.Fprintln(w)
			return false, "", false
		}
	}
}

// read brings what is typed, as long as the program lives: nothing ends a read of a terminal.
func (a *terminalAsker) read() {
	defer close(a.lines)
	s := bufio.NewScanner(a.in)
	for s.Scan() {
		a.lines <- s.Text()
	}
}
