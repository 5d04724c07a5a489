package scenario_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait of a script: it is a limit against hanging, not a bar that
// anything is measured with.
const patience = 60 * time.Second

type storyKey struct{}

// story is the state of one script.
type story struct {
	work      string
	tokenFile string
	tokens    map[string]string // of the identities
	listen    string            // "127.0.0.1:0" until the first start
	url       string            // "" until the first start
	running   *exec.Cmd
	over      chan error // what running ended with
	starts    int
	gate      *gate
	sink      *sink
	mounts    []string
}

func newStory(work string) *story {
	return &story{
		work: work, tokenFile: filepath.Join(work, "admin-token"), listen: "127.0.0.1:0",
		tokens: map[string]string{"admin": "twp_" + strings.Repeat("a1", 20), "wrong": "twp_" + strings.Repeat("zz", 20), "nobody": ""},
	}
}

func of(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

// end takes down what the script left.
func (s *story) end() {
	if s.gate != nil {
		s.gate.close()
	}
	if s.sink != nil {
		defer s.sink.close()
	}
	if s.running != nil {
		_ = s.running.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.over:
		case <-time.After(20 * time.Second):
			_ = s.running.Process.Kill()
			<-s.over
		}
	}
	for _, dir := range s.mounts {
		_ = unmount(dir)
	}
}

// server starts and ends the server.
func server(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	if len(args) == 0 {
		ts.Fatalf("usage: server start|stop|kill")
	}
	switch args[0] {
	case "start":
		err := s.start(ts, args[1:])
		if (err != nil) != neg {
			ts.Fatalf("server start: %v", err)
		}
	case "stop":
		if neg {
			ts.Fatalf("server stop cannot be negated")
		}
		ts.Check(s.stop())
	case "kill":
		if s.running == nil {
			ts.Fatalf("no server runs")
		}
		ts.Check(s.running.Process.Kill())
		<-s.over
		s.running = nil
	default:
		ts.Fatalf("usage: server start|stop|kill")
	}
}

// start runs towpath serve and waits for its ready line. What a refused start said is
// the script's stderr.
func (s *story) start(ts *testscript.TestScript, flags []string) error {
	if s.running != nil {
		ts.Fatalf("a server runs already")
	}
	s.starts++
	log, err := os.Create(filepath.Join(s.work, fmt.Sprintf("server-%d.log", s.starts)))
	ts.Check(err)
	defer log.Close()
	args := append([]string{
		"serve", "--data", ts.Getenv("DATA"), "--listen", s.listen, "--ssh-listen", "127.0.0.1:0", "--otlp-http-listen=", "--otlp-grpc-listen=", "--cluster", "none", "--admin-token-file", s.tokenFile,
	}, flags...)
	cmd := exec.Command(filepath.Join(ts.Getenv("BIN"), "towpath"), args...)
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "LANG=C.UTF-8"}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ready := make(chan string, 1)
	over := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- url
			}
		}
		over <- cmd.Wait()
		close(over)
	}()
	select {
	case url := <-ready:
		s.running, s.over, s.url = cmd, over, url
	case err := <-over:
		b, readErr := os.ReadFile(log.Name())
		ts.Check(errors.Join(readErr, second(ts.Stderr().Write(b))))
		if err == nil {
			err = errors.New("ended before it was ready")
		}
		return err
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		return errors.New("no ready line")
	}
	host := strings.TrimPrefix(s.url, "http://")
	s.listen = "127.0.0.1:" + host[strings.LastIndexByte(host, ':')+1:] // The same again after a restart.
	ts.Setenv("URL", s.url)
	ts.Setenv("HOST", host)
	ts.Setenv("PORT", host[strings.LastIndexByte(host, ':')+1:])
	ts.Setenv("TOWPATH_SERVER", s.url)
	if s.tokens["user"] == "" {
		ts.Check(s.identities(ts))
	}
	return nil
}

func (s *story) stop() error {
	if s.running == nil {
		return errors.New("no server runs")
	}
	if err := s.running.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.over:
		s.running = nil
		if err != nil {
			return fmt.Errorf("the server ended with %w", err)
		}
		return nil
	case <-time.After(patience):
		return errors.New("the server did not end after SIGTERM")
	}
}

func second[T any](_ T, err error) error { return err }
