package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience bounds every wait; it only decides how long a broken product takes to fail.
const patience = 4 * time.Minute

// installation is one server with its data folder, and its cluster if it has one.
type installation struct {
	place
	data    string
	listen  string
	token   string
	door    string // host:port of the front door
	bridge  string // "" without an embedded cluster
	args    []string
	url     string
	running *exec.Cmd
	over    chan error
	starts  int
}

// newInstallation lays out an installation with an embedded cluster that meets no other
// cluster of the host, and asks whether this host can run it.
func newInstallation(p place) (*installation, error) {
	s, err := bare(p)
	if err != nil {
		return nil, err
	}
	n := os.Getpid() % 250
	s.bridge = fmt.Sprintf("tpx%d", n)
	issuer, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if s.door, err = freeAddress(); err != nil {
		return nil, err
	}
	node, pods, services := fmt.Sprintf("10.221.%d.1", n), fmt.Sprintf("10.222.%d.0/24", n), fmt.Sprintf("10.223.%d.0/24", n)
	s.args = append(s.args, "--cluster", "embedded", "--issuer-listen", issuer, "--front-door", s.door, "--kube-bridge", s.bridge,
		"--kube-node-ip", node, "--kube-pod-cidr", pods, "--kube-service-cidr", services,
		// A service connection may name the cluster's own API server.
		"--notify-allow", node)
	check := filepath.Join(p.scratch, "check.json")
	b, err := json.Marshal(map[string]string{
		"data": filepath.Join(s.data, "kube"), "bridge": s.bridge, "node_ip": node, "pod_cidr": pods, "service_cidr": services, "front_door_addr": s.door,
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(check, b, 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.Command(filepath.Join(p.bin, "towpath-kube"), "check", "--config", check).CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("this host cannot run the embedded Kubernetes:\n%s", out), os.RemoveAll(s.data))
	}
	return s, nil
}

// bare lays out an installation without saying which cluster it has.
func bare(p place) (*installation, error) {
	// Short: unix sockets live in it.
	data, err := os.MkdirTemp("", "tp-")
	if err != nil {
		return nil, err
	}
	s := &installation{place: p, data: data, token: "twp_" + strings.Repeat("e2", 20)}
	// Fixed, as images are named by it and must be found again after a restart.
	if s.listen, err = freeAddress(); err != nil {
		return nil, err
	}
	file := filepath.Join(p.scratch, filepath.Base(data)+".token")
	if err := os.WriteFile(file, []byte(s.token+"\n"), 0o600); err != nil {
		return nil, err
	}
	s.args = []string{"serve", "--data", data, "--listen", s.listen, "--ssh-listen", "", "--admin-token-file", file, "--agents", "3",
		"--otlp-http-listen", "127.0.0.1:0", "--otlp-grpc-listen", "127.0.0.1:0", "--scrape-every", "5s",
		"--signal-windows", "every=2s,debounce=3s,alert=5s,error=10s,crash=10s,policy=10s,flush=2s"}
	return s, nil
}

// registry is the host in the names of this installation's images.
func (s *installation) registry() string { return strings.TrimPrefix(s.url, "http://") }

func (s *installation) logFile() string {
	return filepath.Join(s.scratch, fmt.Sprintf("%s-%d.log", filepath.Base(s.data), s.starts))
}

// start runs the server and waits until it serves and its cluster is ready.
func (s *installation) start() error {
	if err := s.serve(); err != nil {
		return err
	}
	return s.clusterReady()
}

// serve runs the server and waits until it serves; its cluster is still starting then.
func (s *installation) serve() error {
	s.starts++
	log, err := os.Create(s.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, "towpath"), s.args...)
	cmd.Env, cmd.Stderr = s.env(), log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready, over := make(chan string, 1), make(chan error, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- url
			}
		}
		over <- cmd.Wait()
	}()
	select {
	case s.url = <-ready:
		s.running, s.over = cmd, over
	case err := <-over:
		return fmt.Errorf("the server ended: %w\n%s", err, tail(log.Name(), 4000))
	case <-time.After(patience):
		return errors.Join(errors.New("the server printed no ready line"), cmd.Process.Kill())
	}
	return nil
}

func (s *installation) clusterReady() error {
	var status struct {
		Cluster struct{ State, Why string }
	}
	return until("the cluster is ready", func() error {
		if err := s.read(&status, "status"); err != nil {
			return err
		}
		if status.Cluster.State != "ready" {
			return fmt.Errorf("it is %s: %s", status.Cluster.State, status.Cluster.Why)
		}
		return nil
	})
}

// stop ends the server by a signal; SIGKILL leaves it no time for anything.
func (s *installation) stop(sig syscall.Signal) error {
	if s.running == nil {
		return nil
	}
	if err := s.running.Process.Signal(sig); err != nil {
		return err
	}
	s.running = nil
	select {
	case err := <-s.over:
		if err != nil && sig == syscall.SIGTERM {
			return fmt.Errorf("the server ended with %w\n%s", err, tail(s.logFile(), 4000))
		}
		return nil
	case <-time.After(patience):
		return errors.New("the server did not end")
	}
}

// remove ends the server, takes its cluster and its data away, and says what is left.
func (s *installation) remove() error {
	errs := []error{s.stop(syscall.SIGTERM)}
	config := filepath.Join(s.data, "kube", "cluster.json")
	if _, err := os.Stat(config); err == nil {
		if out, err := exec.Command(filepath.Join(s.bin, "towpath-kube"), "reset", "--config", config).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("reset: %w: %s", err, out))
		}
	}
	// What still uses the folder is told before the folder hides it.
	errs = append(errs, s.leftovers(), os.RemoveAll(s.data))
	return errors.Join(errs...)
}

// leftovers looks for mounts, processes and the network device of the installation.
func (s *installation) leftovers() error {
	var errs []error
	mounts, err := os.ReadFile("/proc/self/mounts")
	errs = append(errs, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.data) || s.bridge != "" && strings.Contains(line, "/"+s.bridge+"/") {
			errs = append(errs, fmt.Errorf("a mount is left: %s", strings.TrimSpace(line)))
		}
	}
	if s.bridge != "" {
		if _, err := os.Stat("/sys/class/net/" + s.bridge); err == nil {
			errs = append(errs, fmt.Errorf("the network device %s is left", s.bridge))
		}
	}
	return errors.Join(append(errs, until("all processes are gone", s.processes))...)
}

func (s *installation) processes() error {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, path := range lines {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(s.data)) {
			return fmt.Errorf("process %s is left: %s", strings.Split(path, "/")[2], bytes.ReplaceAll(b[:min(len(b), 200)], []byte{0}, []byte(" ")))
		}
	}
	return nil
}

// dump shows the ends of the logs after a failure.
func (s *installation) dump() {
	logs, err := filepath.Glob(filepath.Join(s.data, "logs", "*.log"))
	if err != nil {
		return
	}
	for _, path := range append(logs, s.logFile()) {
		fmt.Fprintf(os.Stderr, "--- %s\n%s\n", filepath.Base(path), tail(path, 3000))
	}
}

func (s *installation) env(extra ...string) []string {
	out := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.scratch, "LANG=C.UTF-8", "NO_COLOR=1", "TOWPATH_SERVER=" + s.url, "TOWPATH_TOKEN=" + s.token,
		"TOWPATH_CONFIG=" + filepath.Join(s.scratch, "config.json"),
	}
	return append(out, extra...)
}

// command runs towpath and returns what it printed on stdout.
func (s *installation) command(extra []string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(filepath.Join(s.bin, "towpath"), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env(extra...), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("towpath %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// typed is towpath with something on its standard input.
func (s *installation) typed(input string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, "towpath"), args...)
	cmd.Env, cmd.Stdin = s.env(), strings.NewReader(input)
	return cmd
}

// read runs towpath with -o json and decodes what it prints.
func (s *installation) read(v any, args ...string) error {
	out, err := s.command(nil, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), v)
}

// until repeats try until it succeeds.
func until(what string, try func() error) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(150 * time.Millisecond) {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not so after %s: %w", what, patience, err)
		}
	}
}
