package pipeline_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store/storetest"
)

// running says that the named job runs and its step has printed at least one line.
func printed(path string, step int) func(*pipeline.Detail) bool {
	return func(d *pipeline.Detail) bool {
		j := find(d, path)
		return len(j.Steps) >= step && j.Steps[step-1].Lines > 0
	}
}

func TestSecretsAreMasked(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
steps:
- checkout: none
- bash: |
    echo "##vso[task.setvariable variable=pw;issecret=true]correct horse 'battery'"
    echo "##vso[task.setsecret]staple-4711"
    echo "##vso[task.setvariable variable=out;isOutput=true;issecret=true]hidden-output"
  name: s
- bash: |
    echo "plain $MINE"
    echo "env [$PW] [$S_OUT] [$SYSTEM_ACCESSTOKEN]"
    printf 'correct ho'; sleep 0.05; printf "rse 'battery'\n"
    set -x
    : "$MINE"
    set +x
    echo "$MINE" | base64
    echo "$MINE" >&2
    echo "token $TOKEN staple-4711" ; echo "$MINE" > no/such/"$MINE"
    echo "$OTHER"
    echo "##vso[task.logissue type=error]it was $MINE"
    printf "end without line feed $MINE"
    exit 1
  env:
    MINE: $(pw)
    TOKEN: $(System.AccessToken)
    OTHER: $(s.out)
`)
	want(t, w, d, plan.Failed, d.Result)
	all := w.everything(d) + d.Why
	for _, secret := range []string{"correct horse", "battery", "staple-4711", "hidden-output", jobToken, "Y29ycmVjdCBob3JzZ", agentToken} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in the logs:\n%s", secret, all)
		}
	}
	if !strings.Contains(all, "plain ***\n") || !strings.Contains(all, "env [] [] []\n") || !strings.Contains(all, "end without line feed ***\n") {
		t.Errorf("what is no secret was lost:\n%s", all)
	}
	if len(find(d, "__default.Job").Outputs) != 0 {
		t.Errorf("a secret output left the job: %v", find(d, "__default.Job").Outputs)
	}
}

func TestCommandsSplitOverWritesAndUnknownOnes(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
steps:
- checkout: none
- bash: |
    mkdir -p bin; printf '#!/bin/sh\necho found\n' > bin/tool; chmod +x bin/tool
    printf '##vso[task.setvar'; sleep 0.05; echo 'iable variable=a]b%3Bc%0Ad'
    echo "text before ##vso[task.prependpath]$PWD/bin"
    echo '##vso[task.setvariable variable=Build.BuildId]99'
    echo '##vso[nothing.known]x'
    echo '##vso[broken'
    echo '##[section]formatted'
- bash: echo "$A $(Build.BuildId)"; tool
`)
	want(t, w, d, plan.Succeeded, d.Result)
	want(t, w, d, "b;c\nd 1\nfound\n", w.text(d, "__default.Job", 2))
	got := w.text(d, "__default.Job", 1)
	for _, line := range []string{"read-only", "nothing.known", "Not understood", "##[section]formatted"} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in %q", line, got)
		}
	}
}

func pids(text string) []int {
	var out []int
	for f := range strings.FieldsSeq(text) {
		if n, err := strconv.Atoi(f); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func TestCancelKillsTheTree(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline(`
jobs:
- job: one
  steps:
  - checkout: none
  - bash: |
      (setsid sleep 1000 & echo $!)
      bash -c 'sleep 1000 & echo $!; wait' &
      echo $$
      sleep 1000
  - bash: echo still cleaning
    condition: always()
    displayName: cleanup
  - bash: echo never
- job: two
  dependsOn: one
  steps: [{bash: echo two}]
- job: three
  dependsOn: one
  condition: always()
  steps: [{checkout: none}, {bash: echo three}]
`)
	d := w.wait(commit, printed("__default.one", 1))
	for len(pids(w.text(d, "__default.one", 1))) < 3 {
		d = w.wait(commit, printed("__default.one", 1))
	}
	if err := w.svc.Cancel(context.Background(), ada, d.Number); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	want(t, w, d, map[string]plan.Result{
		"": plan.Canceled, "__default": plan.Canceled, "__default.one": plan.Canceled, "__default.two": plan.Canceled, "__default.three": plan.Succeeded,
	}, results(d))
	want(t, w, d, "cancelled by user:ada", d.Why)
	want(t, w, d, "still cleaning\n", w.text(d, "__default.one", 2))
	for _, pid := range pids(w.text(d, "__default.one", 1))[:3] {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there: %v", pid, err)
		}
	}
}

func TestDaemonDoesNotHoldTheJob(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
steps:
- checkout: none
- bash: |
    sleep 1000 &
    echo $! | tee $(Agent.TempDirectory)/pid
    (setsid bash -c 'while :; do echo noise; sleep 0.01; done' &)
- bash: kill -0 $(cat $(Agent.TempDirectory)/pid) && echo lives on
`)
	want(t, w, d, plan.Succeeded, d.Result)
	if got := w.text(d, "__default.Job", 2); got != "lives on\n" {
		t.Errorf("log %q", got)
	}
	pid := pids(w.text(d, "__default.Job", 1))[0]
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the background process outlives the job: %v", err)
	}
}

func TestAgentThatIsKilledEndsTheRun(t *testing.T) {
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted=%v", back), func(t *testing.T) {
			w := newWorld(t, func(w *world) {
				w.opts.Lease = 2 * time.Second
				if back {
					w.opts.Lease = time.Minute
				}
			})
			first := w.agentProcess()
			commit := w.pipeline("steps:\n- checkout: none\n- bash: echo $$; sleep 1000\n- bash: echo after\n  condition: always()\n")
			d := w.wait(commit, printed("__default.Job", 1))
			pid := pids(w.text(d, "__default.Job", 1))[0]
			if err := first.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = first.Wait()
			if back {
				second := w.agentProcess()
				defer func() {
					_ = second.Process.Kill()
					_ = second.Wait()
				}()
			}
			d = w.wait(commit, over)
			want(t, w, d, plan.Failed, d.Result)
			if !strings.HasPrefix(d.Why, "__default.Job: agent lost") {
				t.Errorf("why %q", d.Why)
			}
			want(t, w, d, []string{"Bash Failed", "Bash Skipped"}, stepResults(find(d, "__default.Job")))
			for range 1000 {
				if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("process %d of the job outlives its agent", pid)
		})
	}
}

func TestServerRestartInTheMiddleOfARun(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline(`
jobs:
- job: a
  steps:
  - checkout: none
  - bash: |
      for i in $(seq 1 30000); do echo "line $i"; done
      echo "##vso[task.setvariable variable=v;isOutput=true]kept"
      while [ ! -e /tmp/go-$(Build.SourceVersion) ]; do sleep 0.05; done
      for i in $(seq 30001 60000); do echo "line $i"; done
    name: s
- job: b
  dependsOn: a
  variables: {v: "$[ dependencies.a.outputs['s.v'] ]"}
  steps: [{checkout: none}, {bash: echo "got $(v)"}]
`)
	w.wait(commit, printed("__default.a", 1))
	w.down()
	flag := "/tmp/go-" + commit
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(flag)
	time.Sleep(300 * time.Millisecond)
	w.up()
	d := w.wait(commit, over)
	want(t, w, d, plan.Succeeded, d.Result)
	n := 0
	for from := int64(0); ; {
		p, err := w.svc.ReadLog(context.Background(), ada, d.Number, "__default.a", 1, from, 10000)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Lines) == 0 {
			break
		}
		for _, l := range p.Lines {
			if n++; l.Text != fmt.Sprintf("line %d", n) {
				t.Fatalf("line %d is %q", n, l.Text)
			}
		}
		from += int64(len(p.Lines))
	}
	want(t, w, d, 60000, n)
	want(t, w, d, "got kept\n", w.text(d, "__default.b", 1))
	if report, err := w.log.Verify(context.Background(), nil); err != nil || !report.OK {
		t.Errorf("the logbook does not verify: %+v %v", report, err)
	}
}

// Every line of a step that prints a million arrives, in order, also at one who follows
// the log live.
func TestMillionLines(t *testing.T) {
	w := newWorld(t)
	w.agent()
	const n = 1_000_000
	commit := w.pipeline(fmt.Sprintf("steps:\n- checkout: none\n- bash: seq -f 'this is line %%.0f' 0 %d\n", n-1))
	d := w.wait(commit, printed("__default.Job", 1))
	next := int64(0)
	err := w.svc.Follow(context.Background(), ada, d.Number, "__default.Job", 1, 0, func(lines []pipeline.Line) error {
		for _, l := range lines {
			if l.N != next || l.Text != "this is line "+strconv.FormatInt(next, 10) {
				return fmt.Errorf("line %d is %d %q", next, l.N, l.Text)
			}
			next++
		}
		return nil
	})
	if err != nil || next != n {
		t.Fatalf("%d lines, %v", next, err)
	}
	d = w.wait(commit, over)
	want(t, w, d, plan.Succeeded, d.Result)
}

func TestLogIsCutOffWithWords(t *testing.T) {
	w := newWorld(t, func(w *world) { w.opts.LogLimit = 1 << 20 })
	w.agent()
	d := w.finish("steps:\n- checkout: none\n- bash: seq 1 1000000; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end\n")
	want(t, w, d, plan.Succeeded, d.Result)
	p, err := w.svc.ReadLog(context.Background(), ada, d.Number, "__default.Job", 1, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err = w.svc.ReadLog(context.Background(), ada, d.Number, "__default.Job", 1, p.Total-1, 1)
	if err != nil || len(p.Lines) != 1 || p.Lines[0].Text != "##[warning]The log of this step is over 1 MiB: the rest is not kept." {
		t.Errorf("last line %+v %v", p.Lines, err)
	}
}

func TestArtifactsGoRound(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
stages:
- stage: Build
  jobs:
  - job: b
    steps:
    - checkout: none
    - bash: |
        mkdir -p out/deep; echo one > out/a.txt; echo two > out/deep/b.sh; chmod 755 out/deep/b.sh; ln -s a.txt out/link; : > out/empty
    - publish: out
      artifact: drop
    - task: PublishPipelineArtifact@1
      inputs: {targetPath: out/a.txt, artifact: single}
    - publish: ../../../../../etc
      artifact: escape
      continueOnError: true
      displayName: escape
    - bash: ln -s /etc s
    - publish: s
      artifact: linked
      continueOnError: true
      displayName: linked
- stage: Use
  condition: always()
  jobs:
  - job: u
    steps:
    - checkout: none
    - download: current
      artifact: drop
    - bash: cd $(Pipeline.Workspace)/drop && cat a.txt link && stat -c '%A %s' deep/b.sh empty
    - task: DownloadPipelineArtifact@2
      inputs: {artifact: single, path: $(Build.BinariesDirectory)}
    - bash: cat $(Build.BinariesDirectory)/a.txt
  - deployment: ship
    environment: e
    strategy: {runOnce: {deploy: {steps: [{bash: cat $(Pipeline.Workspace)/single/a.txt}]}}}
`)
	want(t, w, d, plan.SucceededWithIssues, d.Result)
	want(t, w, d, "one\none\n-rwxr-xr-x 4\n-rw-r--r-- 0\n", w.text(d, "Use.u", 2))
	want(t, w, d, "one\n", w.text(d, "Use.u", 4))
	want(t, w, d, "one\n", w.text(d, "Use.ship", 2))
	want(t, w, d, 2, len(d.Artifacts))
	a, body, err := w.svc.OpenArtifact(context.Background(), ada, d.Number, "DROP")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	files := 0
	for tr := tar.NewReader(body); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeDir {
			files++
		}
	}
	want(t, w, d, 4, files)
	want(t, w, d, 4, a.Files)
}

const report = `<testsuite name="unit"><testcase name="good" time="0.1"/><testcase name="bad"><failure message="want 1, got 2">at x_test.go:7</failure></testcase></testsuite>`

func TestTestResults(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.push("azure-pipelines.yml", `
steps:
- task: PublishTestResults@2
  inputs: {testResultsFormat: JUnit, testResultsFiles: '**/TEST-*.xml', testRunTitle: Unit, failTaskOnFailedTests: true}
  displayName: strict
- task: PublishTestResults@2
  condition: always()
  inputs: {testResultsFiles: none.xml}
  displayName: missing
`, "a/TEST-one.xml", report, "TEST-two.xml", "<html/>")
	d := w.wait(commit, over)
	want(t, w, d, plan.Failed, d.Result)
	want(t, w, d, []string{"Checkout self Succeeded", "strict Failed", "missing Succeeded"}, stepResults(find(d, "__default.Job")))
	want(t, w, d, "__default.Job: strict: 1 of 2 tests failed", d.Why)
	tests, err := w.svc.Tests(context.Background(), ada, d.Number)
	if err != nil || len(tests) != 1 {
		t.Fatalf("%+v %v", tests, err)
	}
	tests[0].ID, tests[0].Digest = "", ""
	want(t, w, d, pipeline.TestRun{
		Job: "__default.Job", Title: "Unit", Total: 2, Passed: 1, Failed: 1, Seconds: 0.1,
		Failures: []pipeline.Failure{{Suite: "unit", Name: "bad", Message: "want 1, got 2", Details: "at x_test.go:7"}},
	}, tests[0])
	published := false
	for _, e := range w.events(event.OfRun(d.Number)) {
		published = published || e.Type == event.TypeTestsPublished
	}
	if !published {
		t.Error("no event about the tests")
	}
}

// fakeTasks records what the server is asked to run.
type fakeTasks struct {
	calls chan string
}

func (f fakeTasks) Run(ctx context.Context, c pipeline.TaskCall, out func(string)) (map[string]string, error) {
	var names []string
	tr := tar.NewReader(c.Context)
	for {
		h, err := tr.Next()
		if err != nil {
			break
		}
		names = append(names, h.Name)
	}
	token, err := c.Token(ctx, "towpath-cluster")
	if err != nil {
		return nil, err
	}
	out("working on " + c.Task)
	out("token " + token)
	f.calls <- fmt.Sprint(c.Task, " ", c.Job.Environment, " ", token, " ", names, " ", c.Inputs["Dockerfile"], c.Inputs["chartPath"], c.Inputs["valueFile"], c.Inputs["releaseName"], c.Inputs["manifests"])
	if c.Inputs["releaseName"] == "broken" {
		return nil, fault.New(fault.Unavailable, "The cluster is away.").WithNext("start it")
	}
	outputs := map[string]string{"digest": "sha256:abc"}
	if c.Task == "Docker@2" {
		outputs["image"] = "localhost:7080/shop/web:1"
	}
	return outputs, nil
}

func TestServerTasks(t *testing.T) {
	tasks := fakeTasks{make(chan string, 10)}
	w := newWorld(t, func(w *world) { w.tasks = tasks })
	w.agent()
	commit := w.push("azure-pipelines.yml", `
stages:
- stage: Build
  jobs:
  - job: b
    steps:
    - task: Docker@2
      name: img
      inputs: {command: buildAndPush, repository: shop/web, Dockerfile: web/Dockerfile, tags: $(Build.BuildId)}
    - bash: echo "$(img.digest)"
- stage: Ship
  jobs:
  - deployment: d
    environment: production
    variables: {dig: "$[ stageDependencies.Build.b.outputs['img.digest'] ]"}
    strategy:
      runOnce:
        deploy:
          steps:
          - checkout: self
          - task: HelmDeploy@1
            inputs: {command: upgrade, chartType: FilePath, chartPath: chart, releaseName: shop-$(dig), valueFile: chart/values.yaml}
          - task: KubernetesManifest@1
            inputs: {action: deploy, manifests: k8s/*.yaml}
          - task: HelmDeploy@1
            inputs: {command: upgrade, chartType: FilePath, chartPath: chart, releaseName: broken}
`, "web/Dockerfile", "FROM scratch", "web/main.go", "package x", "web/.dockerignore", "*.md\n", "web/README.md", "no", "chart/Chart.yaml", "name: x",
		"chart/values.yaml", "a: 1", "k8s/b.yaml", "b", "k8s/a.yaml", "a")
	d := w.wait(commit, over)
	want(t, w, d, plan.Failed, d.Result)
	close(tasks.calls)
	var got []string
	for c := range tasks.calls {
		got = append(got, c)
	}
	group := "towpath-cluster:towpath:deploy:shop:production"
	want(t, w, d, []string{
		"Docker@2  towpath-cluster: [.dockerignore Dockerfile main.go] Dockerfile",
		"HelmDeploy@1 production " + group + " [chart/Chart.yaml chart/values.yaml values/0.yaml] chartvalues/0.yamlshop-sha256:abc",
		"KubernetesManifest@1 production " + group + " [manifests/000-a.yaml manifests/001-b.yaml] manifests",
		"HelmDeploy@1 production " + group + " [chart/Chart.yaml chart/values.yaml] chartbroken",
	}, got)
	want(t, w, d, "Ship.d: Package and deploy Helm charts: The cluster is away. (start it)", d.Why)
	want(t, w, d, "sha256:abc\n", w.text(d, "Build.b", 3))
	want(t, w, d, []pipeline.Image{{Job: "Build.b", Step: "img", Name: "localhost:7080/shop/web:1", Digest: "sha256:abc"}}, d.Images)
	if text := w.everything(d); strings.Contains(text, group) {
		t.Errorf("the task's token is in the log:\n%s", text)
	}
}

// The SQL says the same on both engines: one run that uses all of it.
func TestEveryEngine(t *testing.T) {
	scenario := func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		w.agent()
		commit := w.push("azure-pipelines.yml", `
variables: {n: "$[ counter('x', 5) ]"}
jobs:
- job: m
  strategy: {maxParallel: 1, matrix: {one: {v: 1}, two: {v: 2}, three: {v: 3}}}
  steps:
  - checkout: none
  - bash: echo "##vso[task.setvariable variable=o;isOutput=true]$(v)"
    name: s
- job: after
  dependsOn: m
  variables: {got: "$[ dependencies.m.outputs['three.s.o'] ]"}
  steps:
  - checkout: self
  - task: PublishTestResults@2
    inputs: {testResultsFiles: r.xml}
  - publish: r.xml
    artifact: r
  - bash: echo "$(got) $(n)"; sleep 1000
`, "r.xml", report)
		d := w.wait(commit, printed("__default.after", 4))
		if err := w.svc.Cancel(context.Background(), ada, d.Number); err != nil {
			t.Fatal(err)
		}
		d = w.wait(commit, over)
		want(t, w, d, plan.Canceled, d.Result)
		if got := w.text(d, "__default.after", 4); !strings.HasPrefix(got, "3 5\n") {
			t.Errorf("log %q", got)
		}
		want(t, w, d, 1, len(d.Artifacts))
		tests, err := w.svc.Tests(context.Background(), ada, d.Number)
		if err != nil || len(tests) != 1 || len(tests[0].Failures) != 1 {
			t.Errorf("tests %+v %v", tests, err)
		}
		if agents, err := w.svc.Agents(context.Background(), ada); err != nil || len(agents) != 1 || agents[0].Name != "test" {
			t.Errorf("agents %+v %v", agents, err)
		}
		for _, merge := range []string{commit, w.push("azure-pipelines.yml", "trigger: none\nsteps: [{checkout: none}]\n")} {
			one, err := w.svc.StartPull(context.Background(), pull(merge))
			if err != nil {
				t.Fatal(err)
			}
			again, err := w.svc.StartPull(context.Background(), pull(merge))
			if err != nil || again.Number != one.Number {
				t.Errorf("run %d and %d of one merge: %v", one.Number, again.Number, err)
			}
		}
		if runs, err := w.svc.Runs(context.Background(), ada, pipeline.Filter{Repo: repoName, Pull: 7}); err != nil || len(runs) != 2 {
			t.Errorf("runs of the pull request: %+v %v", runs, err)
		}
	}
	t.Run("sqlite", func(t *testing.T) { scenario(t, func(*world) {}) })
	if server := os.Getenv(storetest.Env); server != "" {
		t.Run("postgres", func(t *testing.T) {
			dsn := storetest.Postgres(t, server)
			scenario(t, func(w *world) { w.dsn = dsn })
		})
	}
}
