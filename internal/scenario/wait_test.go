package scenario_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// until asks again and again until done says yes. What done returns beside is said when
// patience ends.
func until(ts *testscript.TestScript, what string, done func() (bool, string)) {
	deadline := time.Now().Add(patience)
	for {
		ok, state := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waiting for %s: %s", what, state)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// waitRun is wait-run N RESULT[|RESULT…]; the run as JSON is stdout. RESULT Running
// waits until it has begun.
func waitRun(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: wait-run N RESULT")
	}
	var doc json.RawMessage
	until(ts, "run "+args[0], func() (bool, string) {
		if err := of(ts).call("admin", "GET", "/runs/"+args[0], "", &doc); err != nil {
			return false, err.Error()
		}
		var run struct{ Status, Result, Why string }
		ts.Check(json.Unmarshal(doc, &run))
		if run.Status == "Completed" && !slices.Contains(strings.Split(args[1], "|"), run.Result) {
			ts.Fatalf("run %s ended %s: %s\n%s", args[0], run.Result, run.Why, runLog(ts, args[0]))
		}
		return run.Status == "Completed" || run.Status == args[1], run.Status
	})
	fmt.Fprintln(ts.Stdout(), string(doc))
}

// runLog is what the command line prints of a run.
func runLog(ts *testscript.TestScript, run string) string {
	cmd := exec.Command(filepath.Join(ts.Getenv("BIN"), "towpath"), "run", "logs", run)
	cmd.Env = []string{"TOWPATH_SERVER=" + of(ts).url, "TOWPATH_TOKEN=" + of(ts).tokens["admin"], "HOME=" + ts.Getenv("HOME")}
	b, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", b, err)
	}
	return string(b)
}

// waitEvent is wait-event TYPE TEXT; the newest such event as JSON is stdout.
func waitEvent(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: wait-event TYPE TEXT")
	}
	until(ts, args[0]+" with "+args[1], func() (bool, string) {
		var events []json.RawMessage
		q := url.Values{"project": {"shop"}, "type": {args[0]}, "newest": {"true"}, "limit": {"100"}}
		if err := of(ts).call("admin", "GET", "/log?"+q.Encode(), "", &events); err != nil {
			return false, err.Error()
		}
		for _, e := range events {
			if bytes.Contains(e, []byte(args[1])) {
				fmt.Fprintln(ts.Stdout(), string(e))
				return true, ""
			}
		}
		return false, fmt.Sprintf("%d events of this type, none with it", len(events))
	})
}

// waitText is wait-text FILE|run:N TEXT.
func waitText(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: wait-text FILE|run:N TEXT")
	}
	until(ts, args[1], func() (bool, string) {
		var got string
		if n, ok := strings.CutPrefix(args[0], "run:"); ok {
			got = runLog(ts, n)
		} else if b, err := os.ReadFile(ts.MkAbs(args[0])); err == nil {
			got = string(b)
		}
		return strings.Contains(got, args[1]), got
	})
}

// waitFile is wait-file PATTERN.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: wait-file PATTERN")
	}
	until(ts, args[0], func() (bool, string) {
		got, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		return len(got) > 0, "no such file"
	})
}

// waitNoProcess is wait-no-process TEXT: no process has the text in its command line or
// environment. Negated, some process must have it now.
func waitNoProcess(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: wait-no-process TEXT")
	}
	if neg {
		if found := processes(args[0]); len(found) == 0 {
			ts.Fatalf("no process has %q in its command line", args[0])
		}
		return
	}
	until(ts, "the end of "+args[0], func() (bool, string) {
		found := processes(args[0])
		return len(found) == 0, strings.Join(found, "\n")
	})
}

func processes(text string) []string {
	var out []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // The pattern is a good one.
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && bytes.Contains(b, []byte(text)) {
			out = append(out, file+": "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}
