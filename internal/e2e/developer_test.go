package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/dev"
)

// person is a user of the installation with a token.
type person struct{ name, token string }

// person makes a user with a role in the project.
func (p *project) person(name, role string) person {
	p.t.Helper()
	password := "a long password of " + name
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(p.bin, "towpath"), "user", "create", name)
	cmd.Env, cmd.Stdin = p.env(), strings.NewReader(password+"\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("making user %s: %v: %s", name, err, out)
	}
	p.must("project", "grant", name, role, "--project", p.name)
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/api/v1/tokens", strings.NewReader(`{"name":"e2e","scope":"maintain","days":1}`))
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth(name, password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var made struct{ Secret string }
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || made.Secret == "" {
		p.t.Fatalf("making a token of %s: %s, %v", name, resp.Status, err)
	}
	return person{name, made.Secret}
}

// as runs towpath as a person.
func (p *project) as(who person, args ...string) (string, error) {
	return p.command([]string{"TOWPATH_TOKEN=" + who.token}, args...)
}

// workspace is a folder with the local program's source.
func (p *project) workspace() string {
	p.t.Helper()
	dir := p.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/local")); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module local\n\ngo 1.26\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// say changes the program's answer.
func say(t *testing.T, dir, from, to string) {
	t.Helper()
	file := filepath.Join(dir, "main.go")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), `word = "`+from+`"`, `word = "`+to+`"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goEnv is what `go build` needs besides the environment of towpath: the host's cache.
func goEnv(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(out))
	return []string{"GOCACHE=" + lines[0], "GOMODCACHE=" + lines[1], "CGO_ENABLED=0", "GOFLAGS=", "GOTOOLCHAIN=local"}
}

// note is a line of `towpath dev -o json`.
type note struct {
	Event   string
	Text    string
	Seconds float64
	Session struct {
		dev.Session
		Preview, Baggage string
	}
}

// developer is `towpath dev` at work.
type developer struct {
	p       *project
	who     person
	cmd     *exec.Cmd
	log     string
	over    chan error
	session dev.Session
	preview string
	front   *http.Client

	mu    sync.Mutex
	notes []note
}

// develop starts `towpath dev` as a person in a folder, with further arguments; user is 0
// for the test's own. It returns when the program answers.
func (p *project) develop(who person, user uint32, dir, service string, args ...string) *developer {
	p.t.Helper()
	v := &developer{p: p, who: who, log: filepath.Join(p.scratch, "dev-"+who.name+fmt.Sprint(time.Now().UnixNano())), over: make(chan error, 1)}
	program := filepath.Join(p.bin, "towpath")
	v.cmd = exec.Command(program, append([]string{"dev", service, "--env", p.name + "/development", "-o", "json"}, args...)...)
	v.cmd.Dir, v.cmd.Env = dir, append(p.env("TOWPATH_TOKEN="+who.token, "WHO="+who.name), goEnv(p.t)...)
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if user != 0 {
		v.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user}
		v.cmd.Env = append(v.cmd.Env, "HOME="+dir, "TOWPATH_CONFIG="+filepath.Join(dir, "config.json"))
	}
	log, err := os.Create(v.log)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	v.cmd.Stderr = log
	out, err := v.cmd.StdoutPipe()
	if err == nil {
		err = v.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = v.cmd.Process.Kill() // Over already, unless the test failed.
		if p.t.Failed() {
			p.t.Logf("towpath dev of %s: %+v\n%s", who.name, v.notes, tail(v.log, 2000))
		}
	})
	go v.listen(out)
	ready := v.await("ready")
	v.session, v.preview = ready.Session.Session, ready.Session.Preview
	v.front = p.visitor()
	return v
}

// visitor is a browser that knows nothing yet.
func (p *project) visitor() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return &http.Client{Timeout: 20 * time.Second, Jar: jar, Transport: p.toDoor()}
}

func (v *developer) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n note
		if json.Unmarshal(lines.Bytes(), &n) == nil {
			v.mu.Lock()
			v.notes = append(v.notes, n)
			v.mu.Unlock()
		}
	}
	v.over <- v.cmd.Wait()
}

// told returns the first word of the command about an event.
func (v *developer) told(event string) (note, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := slices.IndexFunc(v.notes, func(n note) bool { return n.Event == event })
	if i < 0 {
		return note{}, false
	}
	return v.notes[i], true
}

// await waits until the command has told of an event.
func (v *developer) await(event string) (found note) {
	v.p.t.Helper()
	v.p.eventually("towpath dev tells of "+event, func() error {
		var told bool
		if found, told = v.told(event); told {
			return nil
		}
		select {
		case err := <-v.over:
			v.p.t.Fatalf("towpath dev ended without it: %v: %s", err, tail(v.log, 1000))
		default:
		}
		return errors.New(tail(v.log, 1000))
	})
	return found
}

// end stops the command as Ctrl-C does and wants a good end.
func (v *developer) end() {
	v.p.t.Helper()
	if err := v.cmd.Process.Signal(os.Interrupt); err != nil {
		v.p.t.Fatal(err)
	}
	select {
	case err := <-v.over:
		if err != nil {
			v.p.t.Errorf("towpath dev ended with %v: %s", err, tail(v.log, 1000))
		}
	case <-time.After(patience):
		v.p.t.Error("towpath dev did not end")
	}
}

// toDoor is a transport that finds every host at the front door.
func (p *project) toDoor() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 8, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, p.door)
	}}
}

// open opens the preview's link, as a browser does once.
func (v *developer) open() {
	v.p.t.Helper()
	v.p.eventually("the preview opens", func() error {
		resp, err := v.front.Get(v.preview)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s %v", resp.Status, b, err)
		}
		return nil
	})
}

// address is a path below the preview's host.
func (v *developer) address(path string) string {
	u, err := url.Parse(v.preview)
	if err != nil {
		v.p.t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host + path
}

// get asks within the preview.
func (v *developer) get(path string) (string, error) {
	resp, err := v.front.Get(v.address(path))
	if err != nil {
		return "", err
	}
	return said(resp)
}

func said(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status + ": " + string(b))
	}
	return strings.TrimSpace(string(b)), err
}

// answers waits until the path within the preview begins with want.
func (v *developer) answers(path, want string) {
	v.p.t.Helper()
	v.p.eventually("the keyed request of "+v.who.name+" gets "+want, func() error {
		got, err := v.get(path)
		if err == nil && !strings.HasPrefix(got, want) {
			err = fmt.Errorf("it got %q", got)
		}
		return err
	})
}

// plain asks the project's app at the front door without a key.
func (p *project) plain(path string) (string, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.host()+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Timeout: 20 * time.Second, Transport: p.toDoor()}).Do(req)
	if err != nil {
		return "", err
	}
	return said(resp)
}

// wire is a way to the server that can be cut.
type wire struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

// behind is the project with the server behind a wire.
func (p *project) behind() (*project, *wire) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	w := &wire{Listener: l}
	p.t.Cleanup(func() { _ = l.Close(); w.cut() })
	go w.serve(strings.TrimPrefix(p.url, "http://"))
	there := *p.installation
	there.url = "http://" + l.Addr().String()
	q := *p
	q.installation = &there
	return &q, w
}

func (w *wire) serve(server string) {
	for {
		near, err := w.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", server)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, near, far)
		w.mu.Unlock()
		pipe := func(dst, src net.Conn) {
			_, _ = io.Copy(dst, src) // However it ended, both ends are over.
			_ = dst.Close()
		}
		go pipe(near, far)
		go pipe(far, near)
	}
}

// cut breaks all connections; new ones can be made.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}
