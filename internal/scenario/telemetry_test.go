package scenario_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// otlp is otlp SIGNAL FILE STATUS [FLAG…]: an export to the project shop with the token of
// the identity, as an SDK sends it. FLAGs are those of http; a FILE.gz is sent as gzip.
func otlp(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: otlp SIGNAL FILE STATUS [FLAG…]")
	}
	signal, file, status := args[0], args[1], args[2]
	ask := []string{"-h", "X-Towpath-Project: shop", "-d", "@" + file}
	if token := of(ts).tokens[ts.Getenv("AS")]; token != "" {
		ask = append(ask, "-h", "Authorization: Bearer "+token)
	}
	if strings.HasSuffix(file, ".gz") {
		ask = append(ask, "-h", "Content-Encoding: gzip")
	}
	request(ts, neg, append(append(ask, args[3:]...), "POST", "/otlp/v1/"+signal, status))
}

// now sets NOW to the second before this one, for files whose times are @NOW@ and nine
// digits of nanoseconds.
func now(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 0 || neg {
		ts.Fatalf("usage: now")
	}
	ts.Setenv("NOW", strconv.FormatInt(time.Now().Unix()-1, 10))
}

// pack is pack FILE…, which makes FILE.gz, and pack -zeros BYTES FILE, which makes a
// FILE.gz that says nothing at great length.
func pack(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || neg {
		ts.Fatalf("usage: pack [-zeros BYTES] FILE…")
	}
	var zeros int64
	if args[0] == "-zeros" && len(args) == 3 {
		n, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		zeros, args = n, args[2:]
	}
	for _, file := range args {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		var in io.Reader = io.LimitReader(zero{}, zeros)
		if zeros == 0 {
			in = strings.NewReader(ts.ReadFile(file))
		}
		_, err := io.Copy(z, in)
		ts.Check(err)
		ts.Check(z.Close())
		ts.Check(os.WriteFile(ts.MkAbs(file)+".gz", out.Bytes(), 0o644))
	}
}

// zero reads as zeros without an end.
type zero struct{}

// Read fills b with zeros.
func (zero) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// waitOutput is wait-output REGEXP ARG…: the command line, again and again, until it
// succeeds and prints what matches. Negated: until it prints nothing that matches.
func waitOutput(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: wait-output REGEXP ARG…")
	}
	want, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	until(ts, args[0]+" from towpath "+strings.Join(args[1:], " "), func() (bool, string) {
		cmd := exec.Command(filepath.Join(ts.Getenv("BIN"), "towpath"), args[1:]...)
		cmd.Env = []string{
			"TOWPATH_SERVER=" + of(ts).url, "TOWPATH_TOKEN=" + ts.Getenv("TOWPATH_TOKEN"), "TOWPATH_PROJECT=" + ts.Getenv("TOWPATH_PROJECT"), "HOME=" + ts.Getenv("HOME"),
		}
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return false, fmt.Sprintf("%v: %s", err, errs.String())
		}
		if want.Match(out.Bytes()) == neg {
			return false, out.String() + errs.String()
		}
		_, err := ts.Stdout().Write(out.Bytes())
		ts.Check(err)
		return true, ""
	})
}

// lake is lake kill: SIGKILL for the log and trace engine of the server, which the script
// goes on after when the process is gone.
func lake(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	if len(args) != 1 || args[0] != "kill" || neg || s.running == nil {
		ts.Fatalf("usage: lake kill, while a server runs")
	}
	pid := child(ts, s.running.Process.Pid, "towpath-lake")
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	until(ts, "the end of the engine", func() (bool, string) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z ")), string(stat)
	})
}

// child finds a process of a name below a parent.
func child(ts *testscript.TestScript, parent int, name string) int {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	ts.Check(err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // It ended meanwhile.
		}
		head, rest, _ := strings.Cut(string(b), ") ")
		id, called, _ := strings.Cut(head, " (")
		if f := strings.Fields(rest); called == name && len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(id)
			ts.Check(err)
			return pid
		}
	}
	ts.Fatalf("the server has no child %s", name)
	return 0
}

// sink is a server that takes what is posted to it: somebody's chat, or the pager.
type sink struct {
	listener net.Listener
	status   atomic.Int64
	file     *os.File
}

// sinkVerb is sink start FILE, which sets SINK to its URL and appends one JSON document to
// FILE for each request, and sink answer STATUS, which changes what it answers.
func sinkVerb(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	if len(args) != 2 || neg || (args[0] != "start" && s.sink == nil) {
		ts.Fatalf("usage: sink start FILE, then sink answer STATUS")
	}
	if args[0] == "answer" {
		n, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		s.sink.status.Store(n)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	s.sink = &sink{listener: l, file: f}
	s.sink.status.Store(http.StatusOK)
	go func() { _ = http.Serve(l, s.sink) }() // Ends with the listener.
	ts.Setenv("SINK", "http://"+l.Addr().String())
}

// ServeHTTP writes a request down.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	status := int(s.status.Load())
	if err == nil {
		doc := map[string]any{"path": r.URL.Path, "authorization": r.Header.Get("Authorization"), "answered": status, "body": json.RawMessage(body)}
		err = json.NewEncoder(s.file).Encode(doc)
	}
	if err != nil {
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
}

func (s *sink) close() {
	_ = s.listener.Close()
	_ = s.file.Close()
}
