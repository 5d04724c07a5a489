package hook_test

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/source/hook"
)

const zeros, ones = "0000000000000000000000000000000000000000", "1111111111111111111111111111111111111111"

// listen answers on a socket with reply and keeps what was asked.
func listen(t *testing.T, reply hook.Reply) (socket string, asked chan hook.Request) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	asked = make(chan hook.Request, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- hook.Serve(l, func(r hook.Request) hook.Reply {
			asked <- r
			return reply
		})
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return socket, asked
}

func TestMainAsks(t *testing.T) {
	for _, ok := range []bool{true, false} {
		socket, asked := listen(t, hook.Reply{OK: ok, Message: "words\n"})
		env := map[string]string{
			hook.EnvSocket: socket, hook.EnvSecret: "s3", "GIT_QUARANTINE_PATH": "/q", "GIT_OBJECT_DIRECTORY": "/o", "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/a",
			"GIT_PUSH_OPTION_COUNT": "2", "GIT_PUSH_OPTION_0": "ci.skip", "GIT_PUSH_OPTION_1": "a b=c", "GIT_PUSH_OPTION_2": "not counted",
		}
		var said bytes.Buffer
		in := zeros + " " + ones + " refs/heads/a b\n" + ones + " " + zeros + " refs/tags/x\n"
		code := hook.Main(hook.PreReceive, strings.NewReader(in), &said, func(k string) string { return env[k] })
		if (code == 0) != ok || said.String() != "words\n" {
			t.Errorf("status %d, said %q", code, said.String())
		}
		want := hook.Request{
			Secret: "s3", Hook: "pre-receive", Quarantine: "/q", Objects: "/o", Alternates: "/a",
			Moves:   []hook.Move{{Old: zeros, New: ones, Ref: "refs/heads/a b"}, {Old: ones, New: zeros, Ref: "refs/tags/x"}},
			Options: []string{"ci.skip", "a b=c"},
		}
		if d := cmp.Diff(want, <-asked); d != "" {
			t.Error(d)
		}
	}
}

func TestPushOptionsThatAreRefused(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"no count":   {"GIT_PUSH_OPTION_COUNT": "many"},
		"below zero": {"GIT_PUSH_OPTION_COUNT": "-1"},
		"too many":   {"GIT_PUSH_OPTION_COUNT": "17"},
		"huge count": {"GIT_PUSH_OPTION_COUNT": "99999999999999999999"},
		"too long":   {"GIT_PUSH_OPTION_COUNT": "1", "GIT_PUSH_OPTION_0": strings.Repeat("x", hook.MaxOption+1)},
		"not UTF-8":  {"GIT_PUSH_OPTION_COUNT": "1", "GIT_PUSH_OPTION_0": "\xff"},
	} {
		socket, asked := listen(t, hook.Reply{OK: true})
		env[hook.EnvSocket] = socket
		var said bytes.Buffer
		code := hook.Main(hook.PreReceive, strings.NewReader(zeros+" "+ones+" refs/heads/a\n"), &said, func(k string) string { return env[k] })
		if code == 0 || !strings.Contains(said.String(), "push option") || len(asked) != 0 {
			t.Errorf("%s: status %d, said %q", name, code, said.String())
		}
	}
}

func TestMainRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ in, socket, says string }{
		"no server":     {zeros + " " + ones + " refs/heads/a\n", "/nonexistent/s", "does not answer"},
		"no socket":     {zeros + " " + ones + " refs/heads/a\n", "", "run by the Towpath server only"},
		"no move":       {"x\n", "/nonexistent/s", "no move of a ref"},
		"too many refs": {strings.Repeat(zeros+" "+ones+" refs/heads/a\n", hook.MaxMoves+1), "/nonexistent/s", "more than"},
		"not UTF-8":     {zeros + " " + ones + " refs/heads/\xff\n", "/nonexistent/s", "not UTF-8"},
		"endless line":  {strings.Repeat("a", 1<<20), "/nonexistent/s", "reading the refs"},
	} {
		var said bytes.Buffer
		code := hook.Main(hook.PreReceive, strings.NewReader(tt.in), &said, func(k string) string {
			return map[string]string{hook.EnvSocket: tt.socket}[k]
		})
		if code == 0 || !strings.Contains(said.String(), tt.says) {
			t.Errorf("%s: status %d, said %q", name, code, said.String())
		}
	}
}

// A server that breaks off in the middle is a refusal.
func TestMainRefusesWhenTheServerBreaksOff(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(`{"ok":tru`))
			conn.Close()
		}
	}()
	var said bytes.Buffer
	env := map[string]string{hook.EnvSocket: socket}
	if code := hook.Main(hook.PreReceive, strings.NewReader(""), &said, func(k string) string { return env[k] }); code == 0 {
		t.Error("accepted")
	}
	if !strings.Contains(said.String(), "broke off") {
		t.Errorf("said %q", said.String())
	}
}

func TestInvoked(t *testing.T) {
	for argv0, want := range map[string]bool{"/data/run/hooks/pre-receive": true, "post-receive": true, "towpath": false, "/pre-receive/towpath": false, "update": false, "": false} {
		if name, ok := hook.Invoked(argv0); ok != want {
			t.Errorf("Invoked(%q) = %q, %v", argv0, name, ok)
		}
	}
}

func FuzzReadMoves(f *testing.F) {
	f.Add(zeros + " " + ones + " refs/heads/main\n")
	f.Fuzz(func(t *testing.T, in string) {
		moves, err := hook.ReadMoves(strings.NewReader(in))
		if err != nil {
			return
		}
		for _, m := range moves {
			if m.Ref == "" || strings.Contains(m.Old+m.New, " ") || strings.Contains(m.Ref, "\n") {
				t.Errorf("%+v", m)
			}
		}
	})
}
