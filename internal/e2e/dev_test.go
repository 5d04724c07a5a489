package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"towpath.dev/towpath/internal/dev"
)

// throughApp is a request to app that has it ask cart.
const throughApp = "/via?to=http://cart"

// chained gives the project's chart a second service, cart, that is asked by the first.
func (p *project) chained() {
	p.t.Helper()
	p.routable()
	b, err := os.ReadFile(filepath.Join(p.dir, "chart/templates/app.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	text, _, found := strings.Cut(string(b), "---\napiVersion: networking")
	if !found {
		p.t.Fatal("the chart is not as this test knows it")
	}
	p.write("chart/templates/cart.yaml", strings.NewReplacer("name: app\n", "name: cart\n", "{app: app}", "{app: cart}").Replace(text))
}

// toDevelopment deploys to the environment development.
func (p *project) toDevelopment() string {
	return strings.Replace(p.helmStage(p.byDigest()), "environment: production", "environment: development", 1)
}

// TestDevSession has two developers take the place of a deployed service, each for the
// requests with a key of theirs, in a namespace that enforces restricted pod security.
func TestDevSession(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "workshop")
	p.chained()
	first := p.deployed("First", p.imageStage(), p.toDevelopment())
	if _, err := p.kubectl("label", "namespace", p.name, "pod-security.kubernetes.io/enforce=restricted"); err != nil {
		t.Fatal(err)
	}
	p.own("production", p.name+"-production")
	ada, bob := p.person("ada", "maintain"), p.person("bob", "write")

	dir := p.workspace()
	a := p.develop(ada, 0, dir, "cart", "--run", "go run .")
	a.await("live")
	t.Logf("session start %.2f s, live %.2f s", a.await("ready").Seconds, a.await("live").Seconds)
	a.open()
	p.reached(a, first.Commit)
	p.saved(a, dir)
	p.known(a, bob)
	p.forbidden(a, ada, bob)

	built := p.prebuilt()
	b := p.develop(bob, nobody, built, "cart", "--run", "./local :8080", "--isolation", "auto")
	b.await("live")
	t.Logf("session start with routing on %.2f s", b.await("ready").Seconds)
	b.open()
	b.answers(throughApp, "first bob")
	p.inCluster(b, first.Commit)
	p.together(a, b)
	p.killed(b, filepath.Join(built, "local"))

	second := p.deployed("Second", p.imageStage(), p.toDevelopment())
	p.serves(second.Commit)
	a.answers(throughApp, "second ada")
	p.carries(a)
	a.end()
	p.gone(a)
	p.otherModes(ada, dir, second.Commit)
	p.gone(b)
	if got, err := p.plain(throughApp); err != nil || !strings.HasPrefix(got, second.Commit) {
		t.Errorf("after all sessions cart answers %q, %v", got, err)
	}
}

// nobody is an ordinary user of every Linux host.
const nobody = 65534

// prebuilt is a folder with the local program that an ordinary user can read and run.
func (p *project) prebuilt() string {
	p.t.Helper()
	dir, err := os.MkdirTemp("", "tp-local-")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	build := exec.CommandContext(p.t.Context(), "go", "build", "-o", filepath.Join(dir, "local"), ".")
	build.Dir, build.Env = p.workspace(), append(os.Environ(), goEnv(p.t)...)
	if out, err := build.CombinedOutput(); err != nil {
		p.t.Fatalf("building the local program: %v: %s", err, out)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, nobody, nobody)); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// reached wants that the key, and nothing else, leads to the developer's program: through
// the chain of services, and from inside the cluster; and that the program reaches services
// by their names.
func (p *project) reached(a *developer, build string) {
	p.t.Helper()
	a.answers(throughApp, "first ada")
	for what, want := range map[string]string{
		throughApp: build,
		throughApp + "&baggage=route-as%3D" + a.session.Key:     "first ada",
		throughApp + "&baggage=route-as%3Dsomebody-else-000000": build,
	} {
		if got, err := p.plain(what); err != nil || !strings.HasPrefix(got, want) {
			p.t.Errorf("%s without a preview answers %q, %v; want %q", what, got, err, want)
		}
	}
	p.inCluster(a, build)
}

// inCluster wants that the local program reaches app as a pod does; where this host gives it
// no namespaces, the command has to say why, and addresses of its environment have to do.
func (p *project) inCluster(v *developer, build string) {
	p.t.Helper()
	p.reaches(v, build, "$APP_SERVICE_HOST:$APP_SERVICE_PORT")
	if why, plain := v.told("isolation"); plain {
		p.t.Log(why.Text)
		return
	}
	p.reaches(v, build, "app", "app."+p.name, "app."+p.name+".svc.cluster.local")
}

// reaches wants that the local program reaches app by each address.
func (p *project) reaches(a *developer, build string, addresses ...string) {
	p.t.Helper()
	for _, address := range addresses {
		got, err := a.get("/via?to=" + url.QueryEscape("http://cart/ask?to="+url.QueryEscape("http://"+address+"/")))
		if err != nil || !strings.HasPrefix(got, build) {
			p.t.Errorf("the local program asked %s and got %q, %v; want %s", address, got, err, build)
		}
	}
}

// saved saves the program's source, again and again, and logs how long its new answer takes.
func (p *project) saved(a *developer, dir string) {
	p.t.Helper()
	var took []time.Duration
	words := []string{"first", "red", "green", "blue", "second"}
	for i, word := range words[1:] {
		start := time.Now()
		say(p.t, dir, words[i], word)
		for {
			got, err := a.get(throughApp)
			if err == nil && strings.HasPrefix(got, word) {
				break
			}
			if err != nil || time.Since(start) > patience {
				p.t.Fatalf("after the save of %q the keyed request got %q, %v", word, got, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		took = append(took, time.Since(start).Round(time.Millisecond))
	}
	p.t.Logf("save to seen %v", took)
}

// known wants that ls, share and doctor know the session.
func (p *project) known(a *developer, bob person) {
	p.t.Helper()
	var list []dev.Session
	if err := p.read(&list, "dev", "list", "--project", p.name); err != nil || len(list) != 1 || list[0].ID != a.session.ID || list[0].Key != "" {
		p.t.Errorf("ls shows %+v, %v", list, err)
	}
	out, err := p.as(a.who, "dev", "share", a.session.ID, "--ttl", "10m")
	link, _, _ := strings.Cut(out, "\n")
	if err != nil || !strings.Contains(link, a.session.Key+".") {
		p.t.Errorf("share printed %q, %v", out, err)
	}
	visitor := &developer{p: p, who: bob, preview: strings.TrimSpace(link), front: p.visitor()}
	visitor.open()
	visitor.answers(throughApp, "second ada")
	if out, err := p.as(a.who, "dev", "doctor", a.session.ID, "--path", throughApp); err != nil {
		p.t.Errorf("doctor: %v\n%s", err, out)
	}
	if out, err := p.as(a.who, "dev", "logs", a.session.ID); err != nil || !strings.Contains(out, "a session pod is up") {
		p.t.Errorf("logs printed %q, %v", out, err)
	}
}

// forbidden wants what is not allowed to be refused.
func (p *project) forbidden(a *developer, ada, bob person) {
	p.t.Helper()
	if _, err := p.as(bob, "dev", "stop", a.session.ID); err == nil || !strings.Contains(err.Error(), "belongs to ada") {
		p.t.Errorf("somebody else stops the session: %v", err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/api/v1/dev/sessions/"+a.session.ID+"/tunnel", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + bob.token}, "Connection": {"Upgrade"}, "Upgrade": {"towpath-tunnel"}}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
		p.t.Errorf("somebody else's tunnel is answered %s", resp.Status)
	}
	if _, err := p.as(ada, "dev", "cart", "--attach", ":1", "--env", p.name+"/production"); err == nil || !strings.Contains(err.Error(), "is production") {
		p.t.Errorf("a session in production: %v", err)
	}
	p.eventually("the API server refuses a session's pod in production", func() error {
		_, err := p.kubectl("-n", p.name+"-production", "run", "intruder", "--image=example.com/none", "--labels=towpath.dev/session=x", "--dry-run=server")
		switch {
		case err == nil:
			return errors.New("it takes it")
		case !strings.Contains(err.Error(), "sessions are forbidden in this namespace"):
			return err
		}
		return nil
	})
}

// together has both developers and a stranger ask 200 times each, and wants no crossing.
func (p *project) together(a, b *developer) {
	p.t.Helper()
	var wg sync.WaitGroup
	ask := func(who string, get func(string) (string, error), want func(string) bool) {
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if got, err := get(throughApp); err != nil || !want(got) {
						p.t.Errorf("%s got %q, %v", who, got, err)
						return
					}
				}
			})
		}
	}
	ask("ada", a.get, func(s string) bool { return strings.HasPrefix(s, "second ada") })
	ask("bob", b.get, func(s string) bool { return strings.HasPrefix(s, "first bob") })
	ask("a stranger", p.plain, func(s string) bool { return !strings.Contains(s, "ada") && !strings.Contains(s, "bob") })
	wg.Wait()
}

// killed takes a developer's command line away without notice: his program ends with it, and
// his requests are told so instead of being answered by the deployed service.
func (p *project) killed(b *developer, program string) {
	p.t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	p.eventually("the program ends with towpath dev", func() error {
		all, err := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range all {
			if to, gone := os.Readlink(link); gone == nil && to == program {
				return errors.New(link + " runs it")
			}
		}
		return err
	})
	p.eventually("requests are told that nobody is there", func() error {
		got, err := b.get(throughApp)
		switch {
		case err == nil:
			p.t.Fatalf("without towpath dev its requests get %q", got)
		case strings.Contains(err.Error(), "502 Bad Gateway\n\nthe developer's machine is not connected"):
			return nil
		}
		return err
	})
}

// carries sends much up through front door, routers and tunnel.
func (p *project) carries(a *developer) {
	p.t.Helper()
	much := bytes.Repeat([]byte("towpath "), 512<<10)
	resp, err := a.front.Post(a.address("/via?to=http://cart/sum"), "application/octet-stream", bytes.NewReader(much))
	if err != nil {
		p.t.Fatal(err)
	}
	want := fmt.Sprintf("%d %x <nil>", len(much), sha256.Sum256(much))
	if got, err := said(resp); err != nil || got != want {
		p.t.Errorf("4 MiB went up as %q, %v; want %q", got, err, want)
	}
}

// otherModes has a program that runs already, behind a network that is cut once, and one
// that is built here and runs there.
func (p *project) otherModes(ada person, dir, build string) {
	p.t.Helper()
	local := httptest.NewServer(http.HandlerFunc(attached))
	defer local.Close()
	far, wire := p.behind()
	c := far.develop(ada, 0, dir, "app", "--attach", strings.TrimPrefix(local.URL, "http://"))
	c.await("attached")
	c.open()
	c.answers("/", "attached")
	p.socket(c)
	wire.cut()
	c.await("broken")
	c.answers("/", "attached")
	c.end()
	p.gone(c)

	p.plainly(ada, dir, build)

	s := p.develop(ada, 0, dir, "cart", "--sync", "go build -o cart .", "--binary", "cart")
	t := s.await("live")
	p.t.Logf("sync: live %.2f s", t.Seconds)
	s.open()
	s.answers(throughApp, "second")
	start := time.Now()
	say(p.t, dir, "second", "third")
	s.answers(throughApp, "third")
	p.t.Logf("sync: save to seen %.2f s", time.Since(start).Seconds())
	s.end()
	p.gone(s)
}

// plainly runs the program without isolation.
func (p *project) plainly(ada person, dir, build string) {
	p.t.Helper()
	address, err := freeAddress()
	if err != nil {
		p.t.Fatal(err)
	}
	_, port, _ := strings.Cut(address, ":")
	e := p.develop(ada, 0, dir, "cart", "--run", "go run . "+address, "--port", "80="+port, "--isolation", "env")
	e.await("live")
	e.open()
	e.answers(throughApp, "second ada")
	p.reaches(e, build, "$APP_SERVICE_HOST:$APP_SERVICE_PORT")
	e.end()
	p.gone(e)
}

// attached answers a WebSocket's message with itself, and other requests with a word.
func attached(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		fmt.Fprint(w, "attached")
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // It has answered.
	}
	defer conn.CloseNow()
	if kind, b, err := conn.Read(r.Context()); err == nil && conn.Write(r.Context(), kind, b) == nil {
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

// gone waits until nothing of a session is left.
func (p *project) gone(v *developer) {
	p.t.Helper()
	p.eventually("nothing of the session of "+v.who.name+" is left", func() error {
		out, err := p.kubectl("-n", p.name, "get", "pods,services,secrets,networkpolicies", "-l", "towpath.dev/session="+strings.ToLower(v.session.ID), "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New("there is " + out)
		}
		return err
	})
	if got, err := v.get(throughApp); err == nil {
		p.t.Errorf("the preview of a session that is over answers %q", got)
	}
}

// socket sends a message over a WebSocket and wants it back.
func (p *project) socket(v *developer) {
	p.t.Helper()
	conn, _, err := websocket.Dial(p.t.Context(), v.address("/echo"), &websocket.DialOptions{HTTPClient: v.front})
	if err != nil {
		p.t.Errorf("a WebSocket through the preview: %v", err)
		return
	}
	defer conn.CloseNow()
	if err := conn.Write(p.t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		p.t.Error(err)
	}
	if _, got, err := conn.Read(p.t.Context()); err != nil || string(got) != "hello" {
		p.t.Errorf("the WebSocket brought %q back, %v", got, err)
	}
}
