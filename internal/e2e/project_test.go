package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// project is a project with one repository, app, whose pipeline deploys it.
type project struct {
	*installation
	t    *testing.T
	name string
	dir  string // working tree
}

// newProject lays out a working tree; the first push makes the project.
func newProject(t *testing.T, s *installation, name string) *project {
	t.Helper()
	return newProjectIn(t, s, name, filepath.Join(t.TempDir(), "app"))
}

// newProjectIn is newProject with the working tree in a folder given.
func newProjectIn(t *testing.T, s *installation, name, dir string) *project {
	t.Helper()
	p := &project{installation: s, t: t, name: name, dir: dir}
	if err := os.CopyFS(p.dir, os.DirFS("testdata/repo")); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(s.app)
	if err != nil {
		t.Fatal(err)
	}
	p.write("app", string(program))
	p.initGit()
	return p
}

// initGit makes the working tree a repository of the project.
func (p *project) initGit() {
	p.t.Helper()
	p.git("init", "-q", "-b", "main")
	p.git("config", "user.name", "End to End")
	p.git("config", "user.email", "e2e@towpath.local")
	p.git("remote", "add", "origin", p.url+"/"+p.name+"/app.git")
}

func (p *project) write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) git(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "git", args...)
	cmd.Dir = p.dir
	cmd.Env = append(p.env(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=http."+p.url+"/.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Bearer "+p.token)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("git %s: %v: %s", args[0], err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

// host is where the project's app is served.
func (p *project) host() string { return p.name + ".localhost" }

// imageStage builds and pushes the project's image, tagged with the run's number.
func (p *project) imageStage() string {
	return `
  - stage: Image
    jobs:
      - job: Image
        steps:
          - checkout: self
            fetchDepth: 1
          - task: Docker@2
            name: app
            inputs:
              command: buildAndPush
              repository: ` + p.name + `/app
              Dockerfile: Dockerfile
              buildContext: .
              arguments: --build-arg BUILD_ID=$(Build.SourceVersion)
              tags: $(Build.BuildId)
`
}

// helmStage deploys the chart to the environment production, with the image given and
// more values, "key=value".
func (p *project) helmStage(image string, values ...string) string {
	all := append([]string{"image=" + image, "host=" + p.host()}, values...)
	return `
  - stage: Production
    jobs:
      - deployment: Production
        environment: production
        variables:
          digest: $[ stageDependencies.Image.Image.outputs['app.digest'] ]
        strategy:
          runOnce:
            deploy:
              steps:
                - checkout: self
                  fetchDepth: 1
                - task: HelmDeploy@1
                  inputs:
                    connectionType: None
                    namespace: ` + p.name + `
                    command: upgrade
                    chartType: FilePath
                    chartPath: chart
                    releaseName: app
                    install: true
                    waitForExecution: true
                    arguments: --timeout 2m
                    overrideValues: |
                      ` + strings.Join(all, "\n                      ") + "\n"
}

// within bounds how long a stage that is meant to fail is waited for.
func within(limit, stage string) string {
	return strings.Replace(stage, "--timeout 2m", "--timeout "+limit, 1)
}

// manifestStage applies manifests/app.yaml to an environment.
func manifestStage(environment, containers string) string {
	return `
  - stage: Manifests
    jobs:
      - deployment: Manifests
        environment: ` + environment + `
        strategy:
          runOnce:
            deploy:
              steps:
                - checkout: self
                  fetchDepth: 1
                - task: KubernetesManifest@1
                  inputs:
                    action: deploy
                    manifests: manifests/app.yaml
                    rolloutStatusTimeout: 30
                    containers: ` + containers + "\n"
}

// byDigest is the image of this run, by digest.
func (p *project) byDigest() string { return "$(Towpath.Registry)/" + p.name + "/app@$(digest)" }

// byTag is the image of this run, by tag.
func (p *project) byTag() string { return "$(Towpath.Registry)/" + p.name + "/app:$(Build.BuildId)" }

// push commits a pipeline of the stages given, pushes it, and returns its run.
func (p *project) push(title string, stages ...string) pipeline.Run {
	p.t.Helper()
	p.write("azure-pipelines.yml", "trigger: [main]\nstages:"+strings.Join(stages, ""))
	p.git("add", "-A")
	p.git("commit", "-q", "--allow-empty", "-m", title)
	p.git("push", "-q", "origin", "main")
	commit := p.git("rev-parse", "HEAD")
	var run pipeline.Run
	p.eventually("a run of "+title, func() error {
		var all []pipeline.Run
		if err := p.read(&all, "run", "list", "--project", p.name); err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(r pipeline.Run) bool { return r.Commit == commit })
		if i < 0 {
			return errors.New("there is none")
		}
		run = all[i]
		return nil
	})
	return run
}

func (p *project) eventually(what string, try func() error) {
	p.t.Helper()
	if err := until(what, try); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end of a run.
func (p *project) ended(number int64) pipeline.Detail {
	p.t.Helper()
	var run pipeline.Detail
	p.eventually(fmt.Sprintf("the end of run %d", number), func() error {
		run = pipeline.Detail{}
		if err := p.read(&run, "run", "show", fmt.Sprint(number)); err != nil {
			return err
		}
		if run.Status != plan.Completed {
			return fmt.Errorf("it is %s", run.Status)
		}
		return nil
	})
	return run
}

// deployed pushes, waits, and wants success.
func (p *project) deployed(title string, stages ...string) pipeline.Detail {
	p.t.Helper()
	run := p.ended(p.push(title, stages...).Number)
	if run.Result != plan.Succeeded {
		p.t.Fatalf("run %d of %q ended %s: %s\n%s", run.Number, title, run.Result, run.Why, p.log(run.Number))
	}
	return run
}

// refused pushes, waits, and wants a failure; it returns what people read about it.
func (p *project) refused(title string, stages ...string) (pipeline.Detail, string) {
	p.t.Helper()
	run := p.ended(p.push(title, stages...).Number)
	if run.Result != plan.Failed {
		p.t.Fatalf("run %d of %q ended %s, not failed\n%s", run.Number, title, run.Result, p.log(run.Number))
	}
	return run, run.Why + "\n" + p.log(run.Number)
}

func (p *project) log(run int64) string {
	out, err := p.command(nil, "run", "logs", fmt.Sprint(run))
	if err != nil {
		return err.Error()
	}
	return out
}

// environment is what `towpath env show` prints.
type environment struct {
	deploy.Environment
	Releases []deploy.Release `json:"releases"`
}

func (p *project) environment(name string) environment {
	p.t.Helper()
	var env environment
	if err := p.read(&env, "env", "show", name, "--project", p.name); err != nil {
		p.t.Fatal(err)
	}
	return env
}

// latest is the newest release of production, whatever its result.
func (p *project) latest() deploy.Release {
	p.t.Helper()
	env := p.environment("production")
	if len(env.Releases) == 0 {
		p.t.Fatal("production has no release")
	}
	return env.Releases[0]
}

// kubectl runs `towpath kubectl`.
func (p *project) kubectl(args ...string) (string, error) {
	return p.command(nil, append([]string{"kubectl"}, args...)...)
}

// pods lists the pods of a namespace that are not on their way out, by uid.
func (p *project) pods(namespace string) map[string]string {
	p.t.Helper()
	out, err := p.kubectl("-n", namespace, "get", "pods", "-o", "json")
	if err != nil {
		p.t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Metadata struct {
				UID, Name         string
				DeletionTimestamp *time.Time
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		p.t.Fatal(err)
	}
	pods := map[string]string{}
	for _, i := range list.Items {
		if i.Metadata.DeletionTimestamp == nil {
			pods[i.Metadata.UID] = i.Metadata.Name
		}
	}
	return pods
}

// history is the status of each revision in Helm's own history, oldest first.
func (p *project) history() []string {
	p.t.Helper()
	out, err := p.kubectl("-n", p.name, "get", "secrets", "-l", "owner=helm,name=app", "--sort-by=.metadata.creationTimestamp",
		"-o", `jsonpath={range .items[*]}{.metadata.labels.status}{"\n"}{end}`)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Fields(out)
}

// ask asks for the project's app at the front door: which build answers.
func (p *project) ask(ctx context.Context, door string) (build string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+door+"/", nil)
	if err != nil {
		return "", err
	}
	req.Host = p.host()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", resp.Status, b)
	}
	build, _, _ = strings.Cut(string(b), " ")
	return build, nil
}

// serves waits until a commit's build answers.
func (p *project) serves(commit string) {
	p.t.Helper()
	p.eventually("the build of "+commit+" serves", func() error {
		got, err := p.ask(p.t.Context(), p.door)
		if err == nil && got != commit {
			err = fmt.Errorf("build %s answers", got)
		}
		return err
	})
}

// traffic is a visitor that asks again and again.
type traffic struct {
	mu     sync.Mutex
	builds map[string]int
	failed []string
	stop   context.CancelFunc
	done   chan struct{}
}

// visit sends the project's app a steady stream of requests.
func (p *project) visit() *traffic {
	ctx, stop := context.WithCancel(p.t.Context())
	v := &traffic{builds: map[string]int{}, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(v.done)
		for ctx.Err() == nil {
			build, err := p.ask(ctx, p.door)
			v.mu.Lock()
			switch {
			case err == nil:
				v.builds[build]++
			case ctx.Err() == nil:
				v.failed = append(v.failed, time.Now().Format("15:04:05.000 ")+err.Error())
			}
			v.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return v
}

// end stops the visitor and wants that no request failed and that only the builds given
// answered, each at least once.
func (v *traffic) end(t *testing.T, builds ...string) {
	t.Helper()
	v.stop()
	<-v.done
	if len(v.failed) > 0 {
		t.Errorf("%d requests failed, the first: %s", len(v.failed), v.failed[0])
	}
	for _, b := range builds {
		if v.builds[b] == 0 {
			t.Errorf("build %s never answered: %v", b, v.builds)
		}
	}
	if len(v.builds) != len(builds) {
		t.Errorf("answers came from builds %v, want %v", v.builds, builds)
	}
}
