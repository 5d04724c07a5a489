package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/source/pull"
)

// reviewStage deploys the chart to the environment review, or to a review app of it, with more
// steps behind.
func (p *project) reviewStage(more string) string {
	return `
  - stage: Review
    jobs:
      - deployment: Review
        environment: review
        variables:
          digest: $[ stageDependencies.Image.Image.outputs['app.digest'] ]
        strategy:
          runOnce:
            deploy:
              steps:
                - checkout: self
                  fetchDepth: 1
                - reviewApp: app
                - task: HelmDeploy@1
                  inputs:
                    connectionType: None
                    command: upgrade
                    chartType: FilePath
                    chartPath: chart
                    releaseName: app
                    waitForExecution: true
                    arguments: --timeout 2m
                    overrideValues: |
                      image=` + p.byDigest() + `
                      host=run-$(Build.BuildId).` + p.host() + "\n" + more
}

// runOf waits for the newest run of a pull request's head.
func (p *project) runOf(number int64, more ...int64) pipeline.Detail {
	p.t.Helper()
	var found int64
	p.eventually(fmt.Sprintf("a run of pull request %d", number), func() error {
		var all []pipeline.Run
		if err := p.read(&all, "run", "list", "--project", p.name); err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(r pipeline.Run) bool { return r.Pull == number && !slices.Contains(more, r.Number) })
		if i < 0 {
			return errors.New("there is none")
		}
		found = all[i].Number
		return nil
	})
	return p.ended(found)
}

// TestReviewApps shows a pull request in a namespace of its own: real pods, a URL, rights there
// and nowhere else, and nothing of it left when the pull request is over.
func TestReviewApps(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "shown")
	p.push("Begin", "\n  - stage: Nothing\n    jobs: [{job: Nothing, steps: [{bash: echo nothing}]}]\n")
	p.must("env", "create", "review", "--project", p.name)
	p.must("env", "edit", "review", "--review-apps", "on", "--project", p.name)
	base := p.deployed("Base", p.imageStage(), p.reviewStage(""))
	if env := p.environment("review"); env.Current == nil || env.Current.Run != base.Number || env.Current.Namespace != "shown-review" {
		t.Fatalf("the run of the branch did not deploy to review itself: %+v", env.Current)
	}
	standing := p.pods("shown-review")

	// The change, with an attempt to reach what stands beside it.
	p.git("checkout", "-q", "-b", "change")
	p.write("beside.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: planted, namespace: shown-review}\n")
	p.write("azure-pipelines.yml", "trigger: [main]\nstages:"+p.imageStage()+p.reviewStage(`                - task: KubernetesManifest@1
                  continueOnError: true
                  inputs: {action: deploy, manifests: beside.yaml}
                - task: Kubernetes@1
                  continueOnError: true
                  inputs: {command: get, arguments: secrets, namespace: shown-review}
                - task: Kubernetes@1 # as files for the service have it
                  inputs:
                    command: apply
                    useConfigurationFile: true
                    configurationType: inline
                    inline: '{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "$(Environment.ResourceName)"}}'
                - task: Kubernetes@1
                  name: got
                  inputs: {command: get, arguments: service, namespace: $(Environment.ResourceName)}
                - bash: test -n "$(got.KubectlOutput)"
                  failOnStderr: true
`))
	p.git("add", "-A")
	p.git("commit", "-q", "-m", "Change")
	p.git("push", "-q", "origin", "change")
	var made pull.Pull
	if err := p.read(&made, "pull", "create", "--project", p.name, "--repo", "app", "--source", "change", "--title", "Change"); err != nil {
		t.Fatal(err)
	}
	run := p.runOf(made.Number)
	text := p.log(run.Number)
	if run.Result != plan.SucceededWithIssues {
		t.Fatalf("run %d of the pull request ended %s: %s\n%s", run.Number, run.Result, run.Why, text)
	}
	for _, words := range []string{"Review app review.app-pr-1 is made: namespace shown-review-app-pr-1", "Review app review.app-pr-1 deploys to namespace shown-review-app-pr-1, not to shown-review", "The object Namespace is left out: the platform makes shown-review-app-pr-1"} {
		if !strings.Contains(text, words) {
			t.Errorf("the log does not say %q:\n%s", words, text)
		}
	}
	if out, err := p.kubectl("-n", "shown-review", "get", "configmap", "planted"); err == nil {
		t.Errorf("the run of a pull request planted an object beside its review app: %s", out)
	}
	env := p.environment("review.app-pr-1")
	if env.Current == nil || env.Current.Run != run.Number || len(env.Current.Hosts) != 1 || env.Review == nil || env.Review.Pull != made.Number {
		t.Fatalf("the review app: %+v, serves %+v", env.Review, env.Current)
	}
	if len(p.pods("shown-review-app-pr-1")) == 0 {
		t.Error("the review app has no pods")
	}
	p.eventually("an answer of the review app", func() error {
		at, err := url.Parse(env.Current.Hosts[0])
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+at.Port()+"/", http.NoBody)
		if err != nil {
			return err
		}
		req.Host = at.Hostname()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	if now := p.pods("shown-review"); !maps.Equal(now, standing) {
		t.Errorf("the pods of the environment changed: %v, were %v", now, standing)
	}

	// Ended by hand; the next run makes it again.
	p.must("env", "end", "review.app-pr-1", "--project", p.name)
	p.must("run", "rerun", fmt.Sprint(run.Number))
	again := p.runOf(made.Number, run.Number)
	if text := p.log(again.Number); !strings.Contains(text, "is made again") {
		t.Errorf("the review app was not made again:\n%s", text)
	}

	// Merged: nothing of it is left, and what it showed is in the environment itself.
	p.git("checkout", "-q", "main")
	p.must("pull", "merge", fmt.Sprint(made.Number), "--project", p.name, "--repo", "app")
	p.eventually("the end of the review app", func() error {
		var env struct{ deploy.Environment }
		if err := p.read(&env, "env", "show", "review.app-pr-1", "--project", p.name); err != nil {
			return err
		}
		if env.Review.Ended.IsZero() || env.Current != nil {
			return fmt.Errorf("it is there: %+v, serves %+v", env.Review, env.Current)
		}
		if out, err := p.kubectl("get", "namespace", "shown-review-app-pr-1"); err == nil {
			return fmt.Errorf("its namespace is there: %s", out)
		}
		return nil
	})
	if out := p.must("env", "list", "--project", p.name); strings.Contains(out, "review.app-pr-1") {
		t.Errorf("the list still has it:\n%s", out)
	}
	if out := p.must("log", "list", "--project", p.name, "--type", "environment.ended"); !strings.Contains(out, "environment.ended") {
		t.Errorf("the logbook does not tell of it:\n%s", out)
	}
}
