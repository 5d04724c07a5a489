package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/image"
	"towpath.dev/towpath/kube/internal/supervise"
)

// patience bounds every wait; it only decides how long a broken cluster takes to fail the test.
const patience = 2 * time.Minute

// cluster is one cluster under test, with folders, addresses and a device of its own.
type cluster struct {
	t          *testing.T
	program    string
	config     config.Config
	configFile string
	layout     config.Layout
	supervisor *exec.Cmd

	mu     sync.Mutex
	events []supervise.Event
	ended  chan error
}

// newCluster lays a cluster out; index tells several clusters of one test apart. It is reset when the test ends.
func newCluster(t *testing.T, index int, adjust func(*config.Config)) *cluster {
	t.Helper()
	programs := os.Getenv("TOWPATH_BIN")
	if programs == "" {
		programs = "../../bin"
	}
	program, err := filepath.Abs(filepath.Join(programs, "towpath-kube"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("", "tp-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	number := (os.Getpid() + index) % 250
	c := config.Default()
	c.Data = filepath.Join(base, "data")
	c.Bridge = fmt.Sprintf("tpe%d", number)
	c.NodeIP = fmt.Sprintf("10.231.%d.1", number)
	c.LocalIP = fmt.Sprintf("127.231.%d.1", number)
	c.PodCIDR = fmt.Sprintf("10.232.%d.0/24", number)
	c.ServiceCIDR = fmt.Sprintf("10.233.%d.0/24", number)
	c.FrontDoorAddr = freeAddress(t)
	adjust(&c)
	under := &cluster{t: t, program: program, config: c, configFile: filepath.Join(base, "cluster.json"), layout: c.Layout(program)}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(under.configFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command(program, "check", "--config", under.configFile).CombinedOutput(); err != nil {
		t.Fatalf("this host cannot run the test:\n%s", output)
	}
	t.Cleanup(func() {
		if t.Failed() {
			under.dumpLogs()
		}
		under.stop(syscall.SIGTERM)
		if output, err := exec.Command(under.program, "reset", "--config", under.configFile).CombinedOutput(); err != nil {
			t.Errorf("reset: %v: %s", err, output)
		}
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	return under
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// up starts the supervisor and waits until the cluster is ready. It returns the events until then.
func (c *cluster) up() []supervise.Event {
	c.t.Helper()
	c.supervisor = exec.Command(c.program, "up", "--config", c.configFile)
	output, err := c.supervisor.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	var errors bytes.Buffer
	c.supervisor.Stderr = &errors
	c.supervisor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.supervisor.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.events = nil
	c.mu.Unlock()
	ended, supervisor := make(chan error, 1), c.supervisor
	c.ended = ended
	go func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			var event supervise.Event
			if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
				event = supervise.Event{Phase: "not JSON", Detail: lines.Text()}
			}
			c.mu.Lock()
			c.events = append(c.events, event)
			c.mu.Unlock()
		}
		ended <- supervisor.Wait()
	}()
	c.eventually("the cluster is ready", func() error {
		select {
		case err := <-c.ended:
			c.supervisor = nil
			c.t.Fatalf("the supervisor ended: %v\n%s\n%s", err, errors.String(), c.story())
		default:
		}
		return c.has(supervise.Ready, "cluster", 0)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]supervise.Event(nil), c.events...)
}

// has looks for an event from the given position on.
func (c *cluster) has(phase, component string, from int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, event := range c.events[min(from, len(c.events)):] {
		if event.Phase == phase && event.Component == component {
			return nil
		}
	}
	return fmt.Errorf("no event %s of %s", phase, component)
}

func (c *cluster) position() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events)
}

func (c *cluster) story() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var text strings.Builder
	for _, event := range c.events {
		fmt.Fprintf(&text, "%s %-10s %-24s %6.2fs %s\n", event.Time.Format("15:04:05.000"), event.Phase, event.Component, event.Seconds, event.Detail)
	}
	return text.String()
}

// stop ends the supervisor by a signal and returns how it ended.
func (c *cluster) stop(signal syscall.Signal) error {
	if c.supervisor == nil {
		return nil
	}
	_ = c.supervisor.Process.Signal(signal)
	c.supervisor = nil
	select {
	case err := <-c.ended:
		return err
	case <-time.After(patience):
		return errors.New("the supervisor did not end")
	}
}

// dumpLogs shows the end of each component's log.
func (c *cluster) dumpLogs() {
	c.t.Logf("events:\n%s", c.story())
	logs, _ := filepath.Glob(filepath.Join(c.layout.Logs(), "*.log"))
	for _, path := range logs {
		content, _ := os.ReadFile(path)
		c.t.Logf("%s:\n%s", filepath.Base(path), content[max(0, len(content)-3000):])
	}
}

// eventually repeats try until it succeeds.
func (c *cluster) eventually(what string, try func() error) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: not so after %s: %v", what, patience, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// try runs kubectl as the administrator.
func (c *cluster) try(input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, append([]string{"kubectl", "--kubeconfig", c.layout.AdminKubeconfig(), "--request-timeout=30s"}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, output)
	}
	return string(output), nil
}

// kubectl is try that must succeed.
func (c *cluster) kubectl(input string, args ...string) string {
	c.t.Helper()
	output, err := c.try(input, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return output
}

// importProbe builds the test program and brings it into the node as an image.
func (c *cluster) importProbe() {
	c.t.Helper()
	dir := c.t.TempDir()
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		c.t.Fatalf("building the test program: %v: %s", err, output)
	}
	program, err := os.ReadFile(filepath.Join(dir, "probe"))
	if err != nil {
		c.t.Fatal(err)
	}
	archive, err := os.Create(filepath.Join(dir, "probe.tar"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer archive.Close()
	if err := image.Archive(archive, image.Program{Ref: probeImage, Path: "/probe", Content: program, User: "1000:1000"}); err != nil {
		c.t.Fatal(err)
	}
	output, err := exec.Command(c.program, "image", "import", "--config", c.configFile, archive.Name()).CombinedOutput()
	if err != nil || strings.TrimSpace(string(output)) != probeImage {
		c.t.Fatalf("importing the test image: %v: %s", err, output)
	}
}
