package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/local/engine"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// client stands for the client of an engine: it notes what it was asked, and what it was given.
const client = `#!/bin/sh
echo "$*" >>"$HOME/asked"
case "$1" in
info) echo false ;;
image) case "$5" in here*|*/web:1) echo sha256:1 ;; *) exit 1 ;; esac ;;
pull)
	case "$3" in *gone*) echo 'Error: manifest unknown' >&2; exit 125 ;; esac
	cat "$REGISTRY_AUTH_FILE" >"$HOME/auth" 2>/dev/null ;;
run) env >"$HOME/env"; wc -l <"$HOME/asked" ;;
wait) exec sleep 60 ;;
ps) [ -e "$HOME/left" ] && echo c1 c2 ;;
volume) [ "$2" = ls ] && cat "$HOME/volumes" 2>/dev/null ;;
inspect) cat "$HOME/left" ;;
esac
exit 0
`

// fake puts the client into a folder and returns the environment that finds it.
func fake(t *testing.T) (home string, env []string) {
	t.Helper()
	home = t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "podman"), []byte(client), 0o755); err != nil {
		t.Fatal(err)
	}
	return home, []string{"PATH=" + home + ":/usr/bin:/bin", "HOME=" + home, "SECRET=not for the client"}
}

func asked(t *testing.T, home string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(home, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

type idle struct{}

func (idle) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func pods(t *testing.T) (*engine.Pods, string, string) {
	t.Helper()
	home, env := fake(t)
	e, err := engine.Find(t.Context(), "", env)
	if err != nil || e.Name() != "podman" {
		t.Fatalf("Find = %+v, %v", e, err)
	}
	dir := t.TempDir()
	p := engine.NewPods(e, engine.Config{
		Dir: dir, Shared: "/cache", Path: "/bin", Program: "/bin/true", Note: func(string) {},
		Agent: func(engine.Place) (engine.Agent, error) { return idle{}, nil },
	})
	return p, home, dir
}

// TestCreate shows how the containers of a job are started: one whose program is ours first, the
// others in its network, secrets in no argument, and how they go: the first one last.
func TestCreate(t *testing.T) {
	p, home, dir := pods(t)
	spec := pool.PodSpec{
		Name: "a", Token: "t", Pulls: []pool.Pull{{Server: "https://images.example.com", User: "u", Password: "open sesame"}},
		Containers: []protocol.Container{
			{Name: "job", Role: protocol.RoleJob, Alias: "tools", Image: "images.example.com/tools:1", Env: map[string]string{"KEY": "hush", "PATH": "/opt"}, Memory: "20Mi", CPU: "500m", Root: true,
				Volumes: []protocol.Volume{{Name: "volume-1", Path: "/data"}, {Source: "/bin", Path: "/host", ReadOnly: true}}},
			{Name: "host", Role: protocol.RoleHost, Alias: "host", Image: engine.Here},
			{Name: "service-db", Role: protocol.RoleService, Alias: "DB", Image: "web:1", Ports: []protocol.Port{{Host: 18080, Container: 8080}}, Volumes: []protocol.Volume{{Name: "volume-1", Path: "/srv"}}},
		},
	}
	if err := p.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if list, err := p.List(t.Context()); err != nil || len(list) != 1 || list[0].Over {
		t.Fatalf("List = %+v, %v", list, err)
	}
	if err := p.Delete(t.Context(), "", "a"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range asked(t, home) {
		if !strings.HasPrefix(l, "wait ") {
			got = append(got, l)
		}
	}
	label := ""
	if at := strings.Index(got[3], "--label "); at > 0 {
		label = got[3][at : strings.Index(got[3][at:], " --security-opt")+at]
	}
	self := strings.ReplaceAll(strings.Trim(strings.SplitN(label, "=", 2)[1], "'\""), " ", "-")
	shared := "towpath-" + self + "-1-volume-1"
	work, run := filepath.Join(dir, "1", "work"), filepath.Join(dir, "1", "run")
	want := []string{
		"info --format {{.Host.Security.Rootless}}",
		"image inspect --format {{.Id}} images.example.com/tools:1",
		"pull --quiet images.example.com/tools:1",
		"run --detach --pull never " + label + " --security-opt no-new-privileges --add-host db:127.0.0.1 --publish 127.0.0.1:18080:8080 --memory 20971520 --cpus 0.5 --env KEY --env PATH=/opt --volume " + shared + ":/data --volume /bin:/host:ro" +
			" --user 0:0 --security-opt label=disable --volume /bin/true:/towpath/bin/towpath:ro --volume " + work + ":" + work + " --volume " + run + ":" + run + " --volume /cache:/cache" +
			" --entrypoint /towpath/bin/towpath images.example.com/tools:1 warden listen " + run + "/job.sock",
		"exec --user 0:0 4 chmod 1777 /data",
		"image inspect --format {{.Id}} web:1",
		"image inspect --format {{.Id}} docker.io/library/web:1",
		"run --detach --pull never " + label + " --security-opt no-new-privileges --network container:4 --volume " + shared + ":/srv docker.io/library/web:1",
		"rm --force --volumes --time 0 8",
		"rm --force --volumes --time 0 4",
		"volume rm --force " + shared,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the client was asked (-want +got):\n%s", diff)
	}
	auth, err := os.ReadFile(filepath.Join(home, "auth"))
	if err != nil || !strings.Contains(string(auth), `"password":"open sesame"`) {
		t.Errorf("the file of the pull has %q, %v", auth, err)
	}
	if env, err := os.ReadFile(filepath.Join(home, "env")); err != nil || strings.Contains(string(env), "SECRET") {
		t.Errorf("the client's environment has what is not for it: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "pull-*")); err != nil || len(left) > 0 {
		t.Errorf("what opens the registry stays in %v, %v", left, err)
	}
}

func TestNoSuchImage(t *testing.T) {
	p, home, _ := pods(t)
	err := p.Create(t.Context(), pool.PodSpec{Name: "a", Containers: []protocol.Container{{Name: "job", Role: protocol.RoleJob, Image: "gone:1"}}})
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "cannot be pulled: manifest unknown; check its name") {
		t.Errorf("Create = %v", err)
	}
	if list, err := p.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("List = %+v, %v: %v", list, err, asked(t, home))
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Create(t.Context(), pool.PodSpec{Name: "late"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Create after Close = %v", err)
	}
}

// TestSweep shows that what another process left goes, and what one that lives has made stays.
func TestSweep(t *testing.T) {
	home, env := fake(t)
	e, err := engine.Find(t.Context(), "podman", env)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	lines := "mine " + strings.Fields(string(stat))[0] + " " + f[19] + "\nother " + strings.Fields(string(stat))[0] + " 1\ngone 4194305 7\nodd x\n"
	if err := os.WriteFile(filepath.Join(home, "left"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	pid := strings.Fields(string(stat))[0]
	volumes := "towpath-" + pid + "-" + f[19] + "-1-volume-1\ntowpath-" + pid + "-1-1-volume-1\ntowpath-4194305-7-1x-volume-2\ntowpath-data\nmine\ntowpath-a-b-c-volume-1\n"
	if err := os.WriteFile(filepath.Join(home, "volumes"), []byte(volumes), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := asked(t, home)
	want := []string{"rm --force --volumes --time 0 other", "rm --force --volumes --time 0 gone", "volume ls --quiet", "volume rm --force towpath-" + pid + "-1-1-volume-1 towpath-4194305-7-1x-volume-2"}
	if diff := cmp.Diff(want, got[len(got)-4:]); diff != "" {
		t.Errorf("the last that the client was asked (-want +got):\n%s", diff)
	}
}

func TestFind(t *testing.T) {
	_, err := engine.Find(t.Context(), "", []string{"PATH=" + t.TempDir()})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "docker is not installed; podman is not installed") {
		t.Errorf("Find = %v", err)
	}
	if _, err := engine.Find(t.Context(), "lxc", nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("Find = %v", err)
	}
}

// TestWhatTheMachineHasNot wants that a folder of the machine that is not there is an error, before an
// engine makes it.
func TestWhatTheMachineHasNot(t *testing.T) {
	p, home, _ := pods(t)
	for source, says := range map[string]string{"/nowhere/at/all": "make it", "/nowhere/docker.sock": "start Docker"} {
		err := p.Create(t.Context(), pool.PodSpec{Name: "a", Containers: []protocol.Container{
			{Name: "job", Role: protocol.RoleJob, Image: "here:1", Volumes: []protocol.Volume{{Source: source, Path: "/in"}}},
		}})
		if _, next := fault.Public(err); !fault.Is(err, fault.Invalid) || !strings.Contains(next, says) {
			t.Errorf("%s: %v", source, err)
		}
	}
	for _, l := range asked(t, home) {
		if strings.HasPrefix(l, "run ") {
			t.Errorf("the client was asked: %s", l)
		}
	}
}
