package scenario_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a server of a test in Go, on a data folder of its own; it keeps its address
// when it is started again.
type served struct {
	bin, data, listen string
	flags             []string
	url, token        string
	client            http.Client

	cmd     *exec.Cmd
	over    chan error // what cmd ended with
	starts  int
	started []process // by servers that were ended
}

// newServed prepares a server with flags beside those of every server.
func newServed(t *testing.T, flags ...string) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{
		bin: programs(t), data: filepath.Join(dir, "data"), listen: "127.0.0.1:0", flags: flags,
		token: "twp_" + strings.Repeat("b2", 20), client: http.Client{Timeout: 20 * time.Second},
	}
	if _, err := os.Stat(filepath.Join(s.bin, "towpath-lake")); err != nil {
		t.Fatalf("%v: build it with `make build`", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(s.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if s.cmd != nil {
			s.kill(t)
		}
		if t.Failed() {
			s.log(t)
		}
	})
	return s
}

// log tells what the server said last.
func (s *served) log(t *testing.T) {
	b, err := os.ReadFile(s.logFile())
	t.Logf("the log of the last server: %v\n%s", err, b[max(0, len(b)-8<<10):])
}

func (s *served) logFile() string {
	return filepath.Join(filepath.Dir(s.data), fmt.Sprintf("server-%d.log", s.starts))
}

// start runs the server and waits for its ready line.
func (s *served) start(t *testing.T) {
	t.Helper()
	s.starts++
	log, err := os.Create(s.logFile())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, "towpath"), append([]string{
		"serve", "--data", s.data, "--listen", s.listen, "--ssh-listen=", "--issuer-listen", "127.0.0.1:0", "--otlp-http-listen=", "--otlp-grpc-listen=",
		"--cluster", "none", "--admin-token-file", filepath.Join(filepath.Dir(s.data), "token"),
	}, s.flags...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(s.data), "LANG=C.UTF-8"}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.cmd, s.over = cmd, make(chan error, 1)
	ready := make(chan string, 1)
	go func(over chan error) {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- url
			}
		}
		over <- cmd.Wait()
		close(over)
	}(s.over)
	select {
	case url := <-ready:
		port := url[strings.LastIndexByte(url, ':')+1:]
		s.listen = "127.0.0.1:" + port
		if s.url == "" {
			s.url = "http://" + s.listen
		}
	case err := <-s.over:
		s.cmd = nil
		t.Fatalf("the server ended before it was ready: %v", err)
	case <-time.After(patience):
		t.Fatal("the server is not ready")
	}
}

// kill ends the server as a power cut would, and nothing but the server.
func (s *served) kill(t *testing.T) {
	t.Helper()
	s.started = append(s.started, below(s.cmd.Process.Pid)...)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Errorf("killing the server: %v", err)
	}
	<-s.over
	s.cmd = nil
}

// stop ends the server in order.
func (s *served) stop(t *testing.T) {
	t.Helper()
	s.started = append(s.started, below(s.cmd.Process.Pid)...)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.over:
		if s.cmd = nil; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the server did not end after SIGTERM")
	}
}

// gone reports whether everything that ended servers had started is gone, and what is not.
func (s *served) gone() (bool, string) {
	for _, p := range s.started {
		if now, ok := stat(fmt.Sprintf("/proc/%d/stat", p.pid)); ok && now.began == p.began {
			return false, fmt.Sprintf("%s (%d) runs without its server", p.name, p.pid)
		}
	}
	return true, ""
}

// project makes the project shop.
func (s *served) project(t *testing.T) {
	t.Helper()
	if status, answer := s.call(t, http.MethodPost, "/api/v1/projects", `{"name":"shop"}`); status >= 300 {
		t.Fatalf("making the project: %d: %s", status, answer)
	}
}

// call asks the API as administrator; the status is 0 when there is no answer.
func (s *served) call(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := s.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

// wait asks again and again until done says yes. What done returns beside is said when
// patience ends.
func (s *served) wait(t *testing.T, what string, done func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		ok, state := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %s", what, state)
		}
	}
}
