package ssh_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	xssh "golang.org/x/crypto/ssh"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/source/ssh"
)

func TestUserKeys(t *testing.T) {
	w := newWorld(t, ssh.Limits{})
	c := w.client(w.userKey("wanda"))
	head := c.commit("README.md", "hello\n")
	if out := c.git("push", w.sshURL(repo), "main"); !strings.Contains(out, "Towpath made the repository shop/web") {
		t.Errorf("push said %s", out)
	}
	pushed := w.events(event.TypeCommitPushed)
	if len(pushed) != 1 || pushed[0].Actor != "user:wanda" || pushed[0].Subject != event.Of(event.KindCommit, head) {
		t.Errorf("the logbook says %+v", pushed)
	}
	r := w.client(w.userKey("rita"))
	for _, form := range []string{w.sshURL(repo), strings.TrimSuffix(w.sshURL(repo), ".git")} {
		r.git("fetch", "-q", form, "main")
		if got := r.git("rev-parse", "FETCH_HEAD"); got != head {
			t.Errorf("fetched %s, want %s", got, head)
		}
	}
	r.git("-c", "protocol.version=0", "fetch", "-q", w.sshURL(repo), "main")
	r.git("clone", "-q", "--depth=1", "--filter=blob:none", w.sshURL(repo), "shallow")
	r.git("reset", "-q", "--hard", head)
	r.commit("b", "b")
	r.refused("needs the role \"write\"", "push", w.sshURL(repo), "main")
	r.refused("There is no project", "fetch", w.sshURL("other/web"))
	r.refused("There is no repository", "fetch", w.sshURL("shop/none"))
	w.client(w.userKey("eve")).refused("There is no project", "fetch", w.sshURL(repo))
	stranger, _ := newKey(t)
	w.client(stranger).refused("Permission denied (publickey)", "fetch", w.sshURL(repo))
	w.client("").refused("Permission denied (publickey)", "fetch", w.sshURL(repo))
	w.client(w.userKey("rita")).refused("connect as the user git", "fetch", strings.Replace(w.sshURL(repo), "git@", "rita@", 1))
	if n := len(w.events(event.TypeCommitPushed)); n != 1 {
		t.Errorf("%d pushes are in the log, want 1", n)
	}
}

func TestDeployKeys(t *testing.T) {
	w := newWorld(t, ssh.Limits{})
	seed := w.client(w.userKey("wanda"))
	head := seed.commit("README.md", "hello\n")
	seed.git("push", "-q", w.sshURL(repo), "main")
	seed.git("push", "-q", w.sshURL("shop/other"), "main")

	reader, _ := w.deployKey(repo, false)
	r := w.client(reader)
	r.git("fetch", "-q", w.sshURL(repo), "main")
	r.git("reset", "-q", "--hard", head)
	r.commit("b", "b")
	r.refused("may read shop/web, and not push", "push", w.sshURL(repo), "main")
	r.refused("There is no repository shop/other", "fetch", w.sshURL("shop/other"))

	file, k := w.deployKey(repo, true)
	d := w.client(file)
	d.git("fetch", "-q", w.sshURL(repo), "main")
	d.git("reset", "-q", "--hard", head)
	d.commit("c", "c")
	d.git("push", "-q", w.sshURL(repo), "main")
	pushed := w.events(event.TypeCommitPushed)
	if got := pushed[len(pushed)-1]; got.Actor != "key:"+k.ID {
		t.Errorf("pushed by %s", got.Actor)
	}
	d.refused("There is no repository shop/other", "push", w.sshURL("shop/other"), "main")
	d.refused("There is no repository shop/fresh", "push", w.sshURL("shop/fresh"), "main")
	// A maintainer's right to rewrite the default branch is not a key's.
	d.git("reset", "-q", "--hard", head)
	d.commit("d", "d")
	d.refused("only a maintainer may drop commits", "push", "--force", w.sshURL(repo), "main")

	// Beside the transport it opens nothing.
	robot := identity.Actor{Kind: identity.KindKey, Name: k.ID, Cap: identity.Write, Key: identity.KeyClaims{Repo: repo, Write: true}}
	_, _, err := w.source.Locate(t.Context(), robot, repo)
	_, edited := w.source.Edit(t.Context(), robot, source.Edit{Repo: repo, Branch: "main", Path: "x"})
	updated := w.source.Update(t.Context(), robot, source.Update{Repo: repo, Door: source.DoorMerge, Pull: 1, Moves: []hook.Move{{Old: head, New: zero, Ref: "refs/heads/x"}}})
	for name, err := range map[string]error{"reading": err, "editing": edited, "updating": updated} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s with a deploy key: %v", name, err)
		}
	}

	check(t, w.ids.RemoveKey(t.Context(), actor("max"), k.ID))
	d.refused("Permission denied (publickey)", "fetch", w.sshURL(repo))
}

// A key that is taken away during a connection opens no further session of it.
func TestRemovedKeyOnAnOpenConnection(t *testing.T) {
	w := newWorld(t, ssh.Limits{})
	seed := w.client(w.userKey("wanda"))
	seed.commit("README.md", "hello\n")
	seed.git("push", "-q", w.sshURL(repo), "main")
	signer, _ := w.signer("rita")
	conn := w.dial(signer)
	if out, _ := output(conn, "git-upload-pack '/shop/web.git'"); !strings.Contains(out, "refs/heads/main") {
		t.Fatalf("the refs are %q", out)
	}
	keys, err := w.ids.Keys(t.Context(), actor("rita"))
	check(t, err)
	check(t, w.ids.RemoveKey(t.Context(), actor("rita"), keys[0].ID))
	if out, err := output(conn, "git-upload-pack '/shop/web.git'"); err == nil || !strings.Contains(out, "This SSH key is not known here") {
		t.Errorf("after removal: %v, %q", err, out)
	}
}

// The identity is the key that completed authentication, not one that was only asked about
// (CVE-2024-45337). OpenSSH asks about a key whose private half it then cannot read.
func TestOfferedKeyIsNobody(t *testing.T) {
	w := newWorld(t, ssh.Limits{})
	mine, theirs := w.userKey("rita"), w.userKey("max")
	c := w.client(mine)
	offered := filepath.Join(t.TempDir(), "offered")
	public, err := os.ReadFile(theirs + ".pub")
	check(t, err)
	check(t, os.WriteFile(offered+".pub", public, 0o600))
	check(t, os.WriteFile(offered, []byte("no private key\n"), 0o600))
	host, port, err := net.SplitHostPort(w.address)
	check(t, err)
	for name, order := range map[string][]string{"before": {"-i", offered, "-i", mine}, "alone": {"-i", offered}} {
		c.key = theirs // sshArgs adds it last; it is cut off again.
		args := c.sshArgs()
		args = append(args[:len(args)-2], order...)
		out, err := c.run("ssh", append(args, "-v", "-p", port, "git@"+host)...)
		if err == nil || !strings.Contains(out, "Server accepts key: "+offered) {
			t.Fatalf("%s: the other's key was not asked about: %s", name, out)
		}
		if strings.Contains(out, "hello max") || strings.Contains(out, "hello rita") != (name == "before") {
			t.Errorf("%s: ssh said %s", name, out)
		}
	}
	// A signature by another key than the one that is shown ends the connection.
	signer, _ := w.signer("rita")
	_, shown := w.signer("max")
	_, err = xssh.Dial("tcp", w.address, w.clientConfig(xssh.PublicKeys(disguised{signer, shown})))
	if err == nil {
		t.Error("a signature by another key was taken")
	}
}

// disguised is a signer that shows another's public key.
type disguised struct {
	xssh.Signer
	shown xssh.PublicKey
}

func (d disguised) PublicKey() xssh.PublicKey { return d.shown }

func (w *world) signer(user string) (xssh.Signer, xssh.PublicKey) {
	w.t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	check(w.t, err)
	signer, err := xssh.NewSignerFromKey(private)
	check(w.t, err)
	_, err = w.ids.AddKey(w.t.Context(), actor(user), "made by a test", string(xssh.MarshalAuthorizedKey(signer.PublicKey())))
	check(w.t, err)
	return signer, signer.PublicKey()
}

func (w *world) clientConfig(auth ...xssh.AuthMethod) *xssh.ClientConfig {
	return &xssh.ClientConfig{User: "git", Auth: auth, HostKeyCallback: xssh.FixedHostKey(w.host.PublicKey()), Timeout: 20 * time.Second}
}

func (w *world) dial(signer xssh.Signer) *xssh.Client {
	w.t.Helper()
	c, err := xssh.Dial("tcp", w.address, w.clientConfig(xssh.PublicKeys(signer)))
	check(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// output runs a command, or asks for a shell when there is none.
func output(c *xssh.Client, command string) (string, error) {
	s, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	var b lockedBuffer
	s.Stdout, s.Stderr = &b, &b
	if command == "" {
		if err = s.Shell(); err == nil {
			err = s.Wait()
		}
	} else {
		err = s.Run(command)
	}
	return b.String(), err
}

func TestNothingButGit(t *testing.T) {
	w := newWorld(t, ssh.Limits{})
	c := w.client(w.userKey("wanda"))
	c.commit("README.md", "hello\n")
	c.git("push", "-q", w.sshURL(repo), "main")
	host, port, err := net.SplitHostPort(w.address)
	check(t, err)
	base := append(c.sshArgs(), "-p", port)
	mark := filepath.Join(t.TempDir(), "ran")
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"shell", []string{"git@" + host}, "hello wanda, your key works; there is no shell here, only Git: git clone ssh://git@"},
		{"shell with a terminal", []string{"-tt", "git@" + host}, "hello wanda"},
		{"command", []string{"git@" + host, "touch " + mark}, "only git clone, fetch and push"},
		{"behind a command", []string{"git@" + host, "git-upload-pack '/shop/web.git'; touch " + mark}, "only git clone"},
		{"within a command", []string{"git@" + host, "git-upload-pack '/shop/$(touch " + mark + ").git'"}, "only git clone"},
		{"archive", []string{"git@" + host, "git-upload-archive '/shop/web.git'"}, "only git clone"},
		{"option", []string{"git@" + host, "git-upload-pack --timeout=1 '/shop/web.git'"}, "only git clone"},
		{"option as name", []string{"git@" + host, "git-upload-pack '--upload-pack=touch'"}, "only git clone"},
		{"outside", []string{"git@" + host, "git-upload-pack '/shop/../../etc'"}, "only git clone"},
		{"subsystem", []string{"-s", "git@" + host, "sftp"}, "subsystem request failed"},
		{"forwarding here", []string{"-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "git@" + host}, "remote port forwarding failed"},
		{"forwarding from here", []string{"-W", "127.0.0.1:22", "git@" + host}, "Towpath serves Git here, and forwards nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := c.run("ssh", append(append([]string{}, base...), tt.args...)...)
			if err == nil || !strings.Contains(out, tt.says) {
				t.Errorf("ssh said %q (%v), want %q", out, err, tt.says)
			}
		})
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a command was run")
	}
}

// Of the environment only GIT_PROTOCOL is taken, and only in git's own form.
func TestEnvironment(t *testing.T) {
	w := newWorld(t, ssh.Limits{})
	signer, _ := w.signer("rita")
	conn := w.dial(signer)
	for _, tt := range []struct {
		name, value string
		ok          bool
	}{
		{"GIT_PROTOCOL", "version=2", true}, {"GIT_PROTOCOL", "version=2:x=../..", false}, {"GIT_PROTOCOL", "version=2\nGIT_DIR=/", false},
		{"LD_PRELOAD", "/tmp/x.so", false}, {"GIT_DIR", "/", false}, {"PATH", "/tmp", false},
	} {
		s, err := conn.NewSession()
		check(t, err)
		if err := s.Setenv(tt.name, tt.value); (err == nil) != tt.ok {
			t.Errorf("%s=%q: %v", tt.name, tt.value, err)
		}
		_ = s.Close()
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, ssh.Limits{Connections: 3, PerAddress: 2, Sessions: 2, Handshake: 300 * time.Millisecond, Wait: 300 * time.Millisecond})
	signer, _ := w.signer("rita")
	silent, err := net.Dial("tcp", w.address)
	check(t, err)
	defer silent.Close()
	conn := w.dial(signer)
	if _, err := xssh.Dial("tcp", w.address, w.clientConfig(xssh.PublicKeys(signer))); err == nil {
		t.Error("a third connection of one address was let in")
	}
	for range 2 {
		_, err := conn.NewSession()
		check(t, err)
	}
	if _, err := conn.NewSession(); err == nil || !strings.Contains(err.Error(), "too many sessions") {
		t.Errorf("a third session: %v", err)
	}
	// Who says nothing is closed: the one before its handshake, the other without a command.
	check(t, silent.SetReadDeadline(time.Now().Add(30*time.Second)))
	buf := make([]byte, 256)
	for err = nil; err == nil; {
		_, err = silent.Read(buf)
	}
	if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
		t.Error("a connection that says nothing stays open")
	}
	closed := make(chan error, 1)
	go func() { closed <- conn.Wait() }()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("a connection without a command stays open")
	}
}

// A transfer that stands still ends, also with a client that never lets go.
func TestTransferThatStandsStill(t *testing.T) {
	w := newWorld(t, ssh.Limits{Idle: 300 * time.Millisecond})
	seed := w.client(w.userKey("wanda"))
	seed.commit("README.md", "hello\n")
	seed.git("push", "-q", w.httpURL("wanda", repo), "main")
	signer, _ := w.signer("wanda")
	for _, command := range []string{"git-upload-pack '/shop/web.git'", "git-receive-pack '/shop/web.git'"} {
		conn := w.dial(signer)
		s, err := conn.NewSession()
		check(t, err)
		_, err = s.StdinPipe() // which stays open
		check(t, err)
		check(t, s.Start(command))
		ended := make(chan struct{})
		go func() {
			_ = conn.Wait() // That it ends is the point, not how.
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Errorf("%s goes on", command)
		}
	}
	seed.commit("README.md", "again\n")
	seed.git("push", "-q", w.httpURL("wanda", repo), "main") // Nothing is left locked.
}

func TestPushOptionsOverSSH(t *testing.T) {
	w := newWorld(t, ssh.Limits{})
	c := w.client(w.userKey("wanda"))
	c.commit("README.md", "hello\n")
	c.git("push", "-q", "-o", "ci.skip", w.sshURL(repo), "main")
	c.commit("README.md", "again\n")
	args := []string{"push"}
	for range 17 {
		args = append(args, "-o", "x")
	}
	c.refused("more than 16 push options", append(args, w.sshURL(repo), "main")...)
	c.refused("longer than 256 bytes", "push", "-o", strings.Repeat("x", 257), w.sshURL(repo), "main")
}

func TestHostKey(t *testing.T) {
	dir := t.TempDir()
	first, err := ssh.HostKey(dir)
	check(t, err)
	again, err := ssh.HostKey(dir)
	check(t, err)
	if d := cmp.Diff(first.PublicKey().Marshal(), again.PublicKey().Marshal()); d != "" {
		t.Error("the host key changed")
	}
	files, err := os.ReadDir(dir)
	check(t, err)
	if len(files) != 1 {
		t.Fatalf("the folder holds %v", files)
	}
	file := filepath.Join(dir, files[0].Name())
	info, err := os.Stat(file)
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the host key has the mode %v", info.Mode())
	}
	check(t, os.Chmod(file, 0o644))
	if _, err := ssh.HostKey(dir); !fault.Is(err, fault.Invalid) {
		t.Errorf("a host key that others can read: %v", err)
	}
}

func TestParseCommand(t *testing.T) {
	want := func(service string) source.Address {
		return source.Address{Project: "shop", Repo: "web", Action: service}
	}
	for command, address := range map[string]source.Address{
		`git-upload-pack '/shop/web.git'`:  want("git-upload-pack"),
		`git-receive-pack '/shop/web.git'`: want("git-receive-pack"),
		`git upload-pack '/shop/web.git'`:  want("git-upload-pack"),
		`git-upload-pack 'shop/web.git'`:   want("git-upload-pack"),
		`git-upload-pack '/shop/web'`:      want("git-upload-pack"),
		`git-upload-pack /shop/web.git`:    want("git-upload-pack"),
	} {
		if got, ok := ssh.ParseCommand(command); !ok || got != address {
			t.Errorf("%s: %+v, %v", command, got, ok)
		}
	}
	for _, command := range []string{
		"", "git", "git-upload-pack", "git-upload-pack ", "git-upload-pack ''", "git-upload-pack '/shop/web.git", "git-upload-pack '/shop/web.git' x",
		"git-upload-pack  '/shop/web.git'", " git-upload-pack '/shop/web.git'", "git-upload-pack '/shop/web.git';id", "git-upload-pack /shop/web.git;id",
		"git-upload-pack '/shop/'\\''web.git'", "git-upload-pack '/shop/we'\\!'b.git'", "git-upload-pack \"/shop/web.git\"", "git-upload-pack '/shop/../web.git'",
		"git-upload-pack '-x'", "git-upload-pack '/~/web.git'", "git-upload-archive '/shop/web.git'", "git-shell", "git-upload-pack '/shop/web.git'\n",
		"git-upload-pack '/shop//web.git'", "git-upload-pack '//shop/web.git'", "git-upload-pack '/shop/web.git/info/refs'", "info/refs '/shop/web.git'",
		"git-upload-pack '" + strings.Repeat("a", 2000) + "'",
	} {
		if got, ok := ssh.ParseCommand(command); ok {
			t.Errorf("%q was taken as %+v", command, got)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add(`git-upload-pack '/shop/web.git'`)
	f.Add(`git receive-pack '/shop/we'\''b.git'`)
	f.Fuzz(func(t *testing.T, command string) {
		a, ok := ssh.ParseCommand(command)
		if !ok {
			return
		}
		if p, r, err := source.SplitName(a.Project + "/" + a.Repo); err != nil || p != a.Project || r != a.Repo {
			t.Errorf("%q gives %+v: %v", command, a, err)
		}
		if a.Action != "git-upload-pack" && a.Action != "git-receive-pack" {
			t.Errorf("%q gives the service %q", command, a.Action)
		}
	})
}

// into decodes a payload.
func into[T any](t testing.TB, e event.Event) (v T) {
	t.Helper()
	check(t, json.Unmarshal(e.Payload, &v))
	return v
}
