package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline"
)

// toolsOf lays out the root of an image with bash and a few programs of this host.
func toolsOf(t *testing.T, root string, programs ...string) {
	t.Helper()
	files := map[string]bool{}
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = true
		out, err := exec.Command("ldd", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(out), -1) {
			files[lib] = true
		}
	}
	for path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, strings.TrimPrefix(path, "/usr"))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, raw, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAJobRunsInAPod builds an image with a shell in its first stage and runs the second in
// it: the agent is injected, the steps work in the workspace, a service answers by its alias,
// and no step finds the token of the agent.
func TestAJobRunsInAPod(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "inpods")
	toolsOf(t, filepath.Join(p.dir, "tools"), "bash", "cat", "id", "env", "grep", "ls", "sleep", "sh")
	p.write("Dockerfile", "FROM scratch\nARG BUILD_ID\nCOPY --chmod=0755 tools /\nENV PATH=/bin:/usr/bin TOOLS=mine\n")
	run := p.push("a job in a pod", p.imageStage(), `
  - stage: Pod
    dependsOn: Image
    jobs:
      - job: Inside
        container:
          image: $(Towpath.Registry)/inpods/app:$(Build.BuildId)
          env: {GREETING: hello}
        steps:
          - checkout: none
          - bash: echo "$GREETING from $(id -u) with $TOOLS in $PWD"; echo kept > kept
          - bash: cat kept
          - bash: |
              cat /towpath/token/token && exit 1
              env | grep -E 'twk_[A-Z0-9]{20}' && exit 1
              cat /proc/[0-9]*/environ | grep -aE 'twk_[A-Z0-9]{20}' && exit 1
              grep -raE 'twk_[A-Z0-9]{20}' /towpath && exit 1
              ls /towpath/run/*.sock && exit 1
              echo nothing found
          - bash: sleep 1; false
          - bash: echo cleaned up
            condition: always()
      - job: Killed
        container: $(Towpath.Registry)/inpods/app:$(Build.BuildId)
        steps:
          - checkout: none
          - bash: sleep 600
`)
	agent := ""
	p.eventually("the job that will lose its pod runs", func() error {
		if agent = p.jobOf(run.Number, "Pod.Killed").Agent; agent == "" {
			return errors.New("it does not run")
		}
		return nil
	})
	if out, err := p.byKubectl("delete", "pod", "-n", "towpath-agents", agent, "--force", "--grace-period=0"); err != nil {
		t.Fatal(out, err)
	}
	d := p.ended(run.Number)
	log := p.log(run.Number)
	for _, want := range []string{"hello from 1001 with mine in /towpath/work/agent/1/s", "kept", "nothing found", "cleaned up"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if got := p.jobOf(run.Number, "Pod.Killed"); !strings.HasPrefix(got.Why, "agent lost: ") {
		t.Errorf("the job whose pod was killed ended with %q", got.Why)
	}
	if t.Failed() {
		t.Logf("run %s: %s\n%s", d.Result, d.Why, log)
	}
	p.eventually("the pod is gone", func() error {
		out, err := p.byKubectl("get", "pods", "-n", "towpath-agents", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New(out)
		}
		return err
	})
}

// jobOf is a job of a run as it is now.
func (p *project) jobOf(run int64, path string) pipeline.Job {
	p.t.Helper()
	var d pipeline.Detail
	if err := p.read(&d, "run", "show", fmt.Sprint(run)); err != nil {
		p.t.Fatal(err)
	}
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			if j.Path == path {
				return j
			}
		}
	}
	p.t.Fatalf("run %d has no job %s", run, path)
	return pipeline.Job{}
}
