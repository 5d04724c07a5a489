//go:build prove

package engine_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// live is local runs of the built program with a real Podman.
type live struct {
	t         *testing.T
	dir, repo string
	program   string
	env       []string
}

// TestPodman needs root, podman in PATH, and TOWPATH_BIN with the built programs, whose runc it
// uses.
func TestPodman(t *testing.T) {
	bin := os.Getenv("TOWPATH_BIN")
	if bin == "" {
		t.Fatal("set TOWPATH_BIN to the folder with the built programs")
	}
	l := &live{t: t, dir: t.TempDir(), program: filepath.Join(bin, "towpath")}
	l.repo = filepath.Join(l.dir, "repo")
	conf := filepath.Join(l.dir, "containers.conf")
	l.write(conf, "[containers]\ndefault_ulimits=[]\n[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\nruntime=\"runc\"\n[engine.runtimes]\nrunc=[\""+filepath.Join(bin, "kube", "runc")+"\"]\n")
	l.env = append(os.Environ(), "CONTAINERS_CONF="+conf, "XDG_CACHE_HOME="+filepath.Join(l.dir, "cache"))
	l.images()
	l.command(l.dir, "git", "init", "--quiet", l.repo)
	given := filepath.Join(l.dir, "given")
	if err := os.Mkdir(given, 0o755); err != nil {
		t.Fatal(err)
	}
	l.write(filepath.Join(given, "from-the-machine"), "given by the machine\n")
	l.write(filepath.Join(l.repo, "good.yml"), strings.ReplaceAll(`
resources:
  containers:
  - {container: tools, image: 'localhost/towpath-tools:1', env: {FLAVOUR: strong}}
  - {container: web, image: 'localhost/towpath-web:1', ports: ['18080:8080']}
  - {container: mounted, image: 'localhost/towpath-tools:1', volumes: ['shared:/srv:ro']}
jobs:
- job: Inside
  container: tools
  services: {web: web}
  steps:
  - bash: cat get.sh good.yml >/dev/null && echo "a $FLAVOUR one" && bash get.sh web 8080 && echo kept > kept
  - bash: cat kept; bash get.sh localhost $(agent.services.web.ports.8080)
    target: host
- job: Volumes
  dependsOn: Inside
  container: {image: 'localhost/towpath-tools:1', volumes: ['shared:/shared', '/scratch', 'HOSTDIR:/given:ro']}
  steps:
  - bash: echo by the job >/shared/note; echo mine >/scratch/x && cat /given/from-the-machine; touch /given/x 2>/dev/null || echo read only
  - bash: echo "tools see $(cat /srv/note)"; test ! -e /scratch
    target: mounted
- job: Beside
  dependsOn: Inside
  services: {web: web}
  steps:
  - bash: bash get.sh localhost 18080; bash get.sh localhost 18080 >from-here
  - bash: echo "target $FLAVOUR got $(cat from-here)"
    target: tools
`, "HOSTDIR", given))
	l.write(filepath.Join(l.repo, "get.sh"), `for i in 1 2 3 4 5 6 7 8 9 10; do
  if exec 3<>/dev/tcp/$1/$2; then printf 'GET / HTTP/1.0\r\n\r\n' >&3; while read -r line <&3; do case $line in mild) echo "$1 is mild"; exit 0;; esac; done; fi
  sleep 0.5
done 2>/dev/null
exit 1
`)
	l.write(filepath.Join(l.repo, "bad.yml"), "jobs:\n- job: Lost\n  container: {image: 'localhost/towpath-tools:1'}\n  services: {db: {image: 'localhost/towpath-dies:1'}}\n  steps: [{bash: sleep 60}]\n")
	l.write(filepath.Join(l.repo, "long.yml"), "jobs:\n- job: Long\n  container: {image: 'localhost/towpath-tools:1'}\n  services: {web: {image: 'localhost/towpath-web:1'}}\n"+
		"  steps:\n  - bash: echo it has begun; sleep 60\n  - bash: echo cleaned up\n    condition: always()\n")

	out := l.run("good.yml", 0)
	for _, want := range []string{"a strong one", "web is mild", "kept", "localhost is mild", "target strong got localhost is mild", "given by the machine", "read only", "tools see by the job"} {
		if !strings.Contains(out, want) {
			t.Errorf("the run does not say %q:\n%s", want, out)
		}
	}
	l.none()
	if out := l.run("bad.yml", 1); !regexp.MustCompile(`container db .* ended with exit code 3: no password is set`).MatchString(out) {
		t.Errorf("the run does not say why its service ended:\n%s", out)
	}
	l.none()
	if out := l.broken("long.yml", syscall.SIGINT); !strings.Contains(out, "cleaned up") {
		t.Errorf("the step with always() did not run:\n%s", out)
	}
	l.none()
	l.broken("long.yml", syscall.SIGKILL)
	if l.left() == "" {
		t.Error("a run that is killed leaves nothing: what should the next one sweep?")
	}
	l.run("good.yml", 0)
	l.none()
}

// images makes images with the bash of this host, and with a server.
func (l *live) images() {
	root := filepath.Join(l.dir, "root")
	l.command(l.dir, "mkdir", "-p", root+"/tmp")
	for _, program := range []string{"/bin/bash", "/bin/sh", "/bin/cat", "/bin/sleep"} {
		files := []string{program}
		for _, m := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(l.command(l.dir, "ldd", program), -1) {
			files = append(files, m[1])
		}
		l.command("/", "cp", append([]string{"--parents", "--dereference", "-t", root}, files...)...)
	}
	build := exec.Command("go", "build", "-o", root+"/server", "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		l.t.Fatalf("building the server: %v\n%s", err, out)
	}
	tar := filepath.Join(l.dir, "root.tar")
	l.command(root, "tar", "-c", "-f", tar, ".")
	for name, command := range map[string]string{"tools": `["/bin/bash"]`, "web": `["/server"]`, "dies": `["/server","no password is set"]`} {
		image := "localhost/towpath-" + name + ":1"
		l.command(l.dir, "podman", "import", "--quiet", "--change", "CMD "+command, "--change", "ENV PATH=/bin:/usr/bin", tar, image)
		l.t.Cleanup(func() { l.command("/", "podman", "rmi", "--force", image) })
	}
}

func (l *live) write(name, text string) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l *live) command(dir, name string, args ...string) string {
	l.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, l.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (l *live) start(file string) (*exec.Cmd, *bytes.Buffer) {
	var out bytes.Buffer
	cmd := exec.Command(l.program, "pipeline", "run", file, "--container-engine", "podman")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = l.repo, l.env, &out, &out
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	return cmd, &out
}

// run runs a file and returns what was said.
func (l *live) run(file string, want int) string {
	l.t.Helper()
	cmd, out := l.start(file)
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != want {
		l.t.Errorf("%s ended with %d, want %d:\n%s", file, got, want, out)
	}
	return out.String()
}

// broken ends a run by a signal once both its containers are there.
func (l *live) broken(file string, by syscall.Signal) string {
	l.t.Helper()
	cmd, out := l.start(file)
	for deadline := time.Now().Add(time.Minute); strings.Count(l.left(), "\n") < 2; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("the containers of %s do not come:\n%s", file, out)
		}
	}
	time.Sleep(2 * time.Second) // The step begins, of which nobody outside is told.
	if err := cmd.Process.Signal(by); err != nil {
		l.t.Fatal(err)
	}
	_ = cmd.Wait()
	return out.String()
}

func (l *live) left() string {
	return l.command(l.dir, "podman", "ps", "--all", "--quiet", "--filter", "label=dev.towpath.local-run")
}

func (l *live) none() {
	l.t.Helper()
	if ids := l.left(); ids != "" {
		l.t.Errorf("containers are left: %s", ids)
	}
	if volumes := l.command(l.dir, "podman", "volume", "ls", "--quiet"); strings.Contains(volumes, "towpath-") {
		l.t.Errorf("volumes are left: %s", volumes)
	}
}
