package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// toolsOf packs programs of this host as the root of an image: those that are named alone in
// /bin, those with a path where that is. It is an archive because libraries hold test keys,
// which no push may bring.
func toolsOf(t *testing.T, archive string, programs ...string) {
	t.Helper()
	files := map[string]string{} // where they come from, by where they go to
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		to := name
		if !filepath.IsAbs(name) {
			to = "/bin/" + name
		}
		files[to] = path
		out, err := exec.Command("ldd", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(out), -1) {
			files[strings.TrimPrefix(lib, "/usr")] = lib
		}
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	tw := tar.NewWriter(zip)
	for _, to := range slices.Sorted(maps.Keys(files)) {
		raw, err := os.ReadFile(files[to])
		if err == nil {
			err = tw.WriteHeader(&tar.Header{Name: strings.TrimPrefix(to, "/"), Mode: 0o755, Size: int64(len(raw)), Typeflag: tar.TypeReg})
		}
		if err == nil {
			_, err = tw.Write(raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zip.Close(), os.WriteFile(archive, packed.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// inPods is a project whose image has a shell, git and a server of HTTP.
type inPods struct {
	*project
	image string // by tag, once it is built
}

// withTools gives the image of a project a shell and git beside its program.
func (p *project) withTools() {
	p.t.Helper()
	toolsOf(p.t, filepath.Join(p.dir, "tools.tar.gz"), "bash", "cat", "id", "env", "grep", "ls", "sleep", "/usr/bin/git", "/usr/lib/git-core/git-remote-http")
	p.write("Dockerfile", "FROM scratch\nARG BUILD_ID\nADD tools.tar.gz /\nCOPY --chmod=0755 app /app\nENV PATH=/bin:/usr/bin TOOLS=mine BUILD_ID=$BUILD_ID\nUSER 65532:65532\nENTRYPOINT [\"/app\"]\n")
}

// TestAJobRunsInAPod builds an image with a shell in its first run and uses it in the others: the
// agent is injected, the steps work in the workspace, services answer, and no step finds the
// token of the agent. Pods that are lost end their jobs with a reason, and none is left.
func TestAJobRunsInAPod(t *testing.T) {
	t.Parallel()
	p := &inPods{project: newProject(t, shared, "inpods")}
	p.withTools()
	p.write("get.sh", getScript)
	p.image = shared.registry() + "/inpods/app:" + fmt.Sprint(p.deployed("an image with tools", p.imageStage()).Number)
	run := p.push("jobs in pods", "\n  - stage: Pod\n    jobs:", p.insideJobs(), p.serviceJob(), p.lostJobs(), p.side())
	p.losesPod(run)
	p.ended(run.Number)
	log := p.log(run.Number)
	for name, c := range map[string]struct {
		result plan.Result
		says   []string
	}{
		"Y016 Y147 Y175 Y178 Inside": {plan.SucceededWithIssues, []string{"hello from 1001 with mine in /towpath/work/agent/1/s", "job: Inside", "nothing found", "cleaned up"}},
		"After":                      {plan.Succeeded, []string{"it is blue and kept; 0 files"}},
		"Y070 Y071 Y182 Y183 Y279-Y282 Services": {plan.Succeeded, []string{"target has mild", "from the target", "##[warning]##vso [build.addbuildtag] is not allowed in this step due to policy restrictions",
			"##[warning]Setting variable 'forbidden' has been disabled by the task or build definition.", "allowed yes, forbidden $(forbidden), here []", "through a volume", "to read alone"}},
	} {
		t.Run(name, func(t *testing.T) {
			job := p.jobOf(run.Number, "Pod."+name[strings.LastIndexByte(name, ' ')+1:])
			if job.Result != c.result {
				t.Errorf("the job ended %s: %s", job.Result, job.Why)
			}
			for _, want := range c.says {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q", want)
				}
			}
		})
	}
	for name, wants := range map[string][]string{
		"Removed":  {"agent lost: "},
		"Hungry":   {"the container job ran out of", "towpath pool edit POOL --memory"},
		"Unpulled": {"The pod of the job cannot start: container job: ", "inpods/nothing:1", "; check the name "},
	} {
		if got := p.jobOf(run.Number, "Pod."+name); got.Result != plan.Failed || !containsAll(got.Why, wants) {
			t.Errorf("%s ended %s with %q, want %q", name, got.Result, got.Why, wants)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
	p.warms()
	p.isCancelled()
	p.isKept()
	p.eventually("the pods are gone", func() error {
		out, err := p.byKubectl("get", "pods", "-n", "towpath-agents", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New(out)
		}
		return err
	})
}

func containsAll(text string, wants []string) bool {
	return !slices.ContainsFunc(wants, func(w string) bool { return !strings.Contains(text, w) })
}

// insideJobs are a job in a container and one that takes what it gives.
func (p *inPods) insideJobs() string {
	return `
      - job: Inside
        container: {image: ` + p.image + `, env: {GREETING: hello}}
        workspace: {clean: all}
        steps:
          - checkout: self
            fetchDepth: 1
          - bash: cat azure-pipelines.yml; ls -d .git
          - bash: echo "$GREETING from $(id -u) with $TOOLS in $PWD"; echo kept > kept
          - bash: cat kept; echo "##vso[task.setvariable variable=colour;isoutput=true]blue"
            name: paint
          - bash: |
              cat /towpath/token/token && exit 1
              env | grep -E 'twk_[A-Z0-9]{20}' && exit 1
              cat /proc/[0-9]*/environ | grep -aE 'twk_[A-Z0-9]{20}' && exit 1
              grep -raE 'twk_[A-Z0-9]{20}' /towpath && exit 1
              ls /towpath/run/*.sock && exit 1
              echo nothing found
          - publish: kept
            artifact: drop
          - bash: sleep 1; false
            continueOnError: true
          - bash: echo cleaned up
            condition: always()
      - job: After
        dependsOn: Inside
        container: ` + p.image + `
        variables: {colour: "$[ dependencies.Inside.outputs['paint.colour'] ]"}
        steps:
          - checkout: none
          - download: current
            artifact: drop
          - bash: echo "it is $(colour) and $(cat $(Pipeline.Workspace)/drop/kept); $(ls | grep -c .) files"`
}

// getScript asks until it is answered: a service begins in its own time.
const getScript = `# get.sh HOST PORT WORD
for i in {1..600}; do
  if exec 3<>/dev/tcp/$1/$2; then
    printf 'GET / HTTP/1.0\r\n\r\n' >&3 && answer=$(cat <&3) && [ -n "$answer" ] && { echo "$answer" | grep "$3"; exit; }
  fi 2>/dev/null
  sleep 0.2
done
echo "nobody answers at $1:$2"
exit 1
`

// serviceJob has services, and steps in the container side.
func (p *inPods) serviceJob() string {
	return `
      - job: Services
        container: {image: ` + p.image + `, volumes: ['shared:/shared:ro', /scratch]}
        services:
          web: side
          other: {image: ` + p.image + `, env: {BUILD_ID: other, PORT: "8081"}, ports: [8081]}
        steps:
          - checkout: self
            fetchDepth: 1
          - bash: bash get.sh web 8080 mild && bash get.sh localhost 8080 mild
            displayName: by name
          - bash: bash get.sh localhost 90 mild
            displayName: by the port that is mapped
          - bash: bash get.sh localhost $(agent.services.other.ports.8081) other
            displayName: by the port that is chosen
          - bash: echo "target has $FLAVOUR"; echo from the target > shared; echo through a volume > /srv/note
            target: side
          - bash: |
              cat shared
              echo "##vso[build.addbuildtag]no"
              echo "##vso[task.setvariable variable=allowed]yes"
              echo "##vso[task.setvariable variable=forbidden]yes"
            target: {container: side, commands: restricted, settableVariables: [allowed]}
          - bash: |
              echo 'allowed $(allowed), forbidden $(forbidden)', "here [$FLAVOUR]"
          - bash: cat /shared/note && echo mine >/scratch/mine && { echo no >/shared/no || echo to read alone; }`
}

// side is the container that services and targets name.
func (p *inPods) side() string {
	return "\nresources:\n  containers:\n    - container: side\n      image: " + p.image + "\n      env: {FLAVOUR: mild, BUILD_ID: mild}\n      ports: [\"90:8080\"]\n      volumes: [\"shared:/srv\"]\n"
}

// lostJobs are jobs whose pods end before them, or never begin.
func (p *inPods) lostJobs() string {
	return `
      - job: Removed
        container: ` + p.image + `
        steps: [{checkout: none}, {bash: sleep 600}]
      - job: Hungry
        container: {image: ` + p.image + `, options: --memory 48m}
        steps: [{checkout: none}, {bash: 'x=0123456789; while true; do x=$x$x; done'}]
      - job: Unpulled
        container: ` + p.registry() + `/inpods/nothing:1
        steps: [{checkout: none}, {bash: echo never}]
`
}

// losesPod removes the pod of a job that runs.
func (p *inPods) losesPod(run pipeline.Run) {
	agent := ""
	p.eventually("the job that will lose its pod runs", func() error {
		if agent = p.jobOf(run.Number, "Pod.Removed").Agent; agent == "" {
			return errors.New("it does not run")
		}
		return nil
	})
	at := time.Now()
	if out, err := p.byKubectl("delete", "pod", "-n", "towpath-agents", agent, "--force", "--grace-period=0"); err != nil {
		p.t.Fatal(out, err)
	}
	p.eventually("the job ends", func() error {
		if got := p.jobOf(run.Number, "Pod.Removed"); got.Status != plan.Completed {
			return errors.New("it does not")
		}
		return nil
	})
	p.t.Logf("the job of a pod that was removed had ended after %.1f s", time.Since(at).Seconds())
}

// isCancelled cancels a job whose last step is to run all the same.
func (p *inPods) isCancelled() {
	run := p.push("a job that is cancelled", `
  - stage: Pod
    jobs:
      - job: Long
        container: `+p.image+`
        steps:
          - checkout: none
          - bash: echo it has begun; sleep 600
          - bash: echo never
          - bash: echo cleaned up
            condition: always()
`)
	p.eventually("its step runs", func() error {
		if !strings.Contains(p.log(run.Number), "it has begun") {
			return errors.New("it does not")
		}
		return nil
	})
	if _, err := p.command(nil, "run", "cancel", fmt.Sprint(run.Number)); err != nil {
		p.t.Fatal(err)
	}
	d, log := p.ended(run.Number), p.log(run.Number)
	if d.Result != plan.Canceled || !strings.Contains(log, "cleaned up") || strings.Contains(log, "never") {
		p.t.Errorf("the run that was cancelled ended %s\n%s", d.Result, log)
	}
}

// isKept looks around in the pod of a job that failed: in the container of the step that failed,
// as its user, with its environment. The pod goes when the job is released.
func (p *inPods) isKept() {
	run := p.push("a job that is kept", `
  - stage: Pod
    jobs:
      - job: Fails
        container: `+p.image+`
        steps:
          - checkout: none
          - bash: echo left by the step > left; false
            env: {MARK: of the step}
`)
	p.ended(run.Number)
	p.must("run", "rerun", fmt.Sprint(run.Number), "--failed", "--keep-on-failure=10m")
	p.eventually("the job is kept", func() error {
		if job := p.jobOf(run.Number, "Pod.Fails"); job.Kept == nil {
			return fmt.Errorf("it is %s %s", job.Status, job.Result)
		}
		return nil
	})
	cmd := p.typed("cat left; echo \"mark=$MARK user=$(id -u) tools=$TOOLS\"; ls /towpath/token\nenv | grep -aE 'twk_[A-Z0-9]{20}' || echo no token\n", "run", "attach", fmt.Sprint(run.Number))
	out, err := cmd.CombinedOutput()
	if err != nil || !containsAll(string(out), []string{"left by the step", "mark=of the step user=1001 tools=mine", "no token"}) {
		p.t.Errorf("the terminal of the kept job: %v\n%s", err, out)
	}
	p.must("run", "release", fmt.Sprint(run.Number))
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
