package pipeline_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

const attaching = `
steps:
- checkout: none
- bash: |
    echo "# Summary of $(Build.BuildId)" > sum.md
    echo "first" > a.txt
    echo "##vso[task.uploadsummary]sum.md"
    echo "##vso[task.uploadfile]a.txt"
    echo "second" > a.txt
    echo "##vso[task.uploadfile]a.txt"
    echo "##vso[artifact.associate artifactname=setup;artifacttype=filepath]//share/setup"
    echo "##vso[build.updatebuildnumber]release 7"
    echo "##vso[build.addbuildtag]Blue"
    echo "##vso[build.addbuildtag]blue"
    echo "##vso[build.addbuildtag]green"
    echo "##vso[task.setprogress value=40]half way"
    echo "##vso[task.logdetail id=1;name=part;type=x]begun"
- bash: |
    mkdir out && cd out
    echo '<coverage><class name="A"><lines><line hits="1"/><line hits="0"/></lines></class></coverage>' > cobertura.xml
    echo '<assemblies><assembly name="shop"><test name="t" result="Pass"/></assembly></assemblies>' > r.xml
    echo '<html/>' > no.xml
- task: PublishCodeCoverageResults@2
  inputs:
    summaryFileLocation: out/cobertura.xml
- task: PublishTestResults@2
  inputs:
    testResultsFormat: XUnit
    testResultsFiles: |
      out/r.xml
      out/no.xml
- bash: echo "$(Build.BuildNumber)"
`

// What steps add to a run is there for those who may read it.
func TestStepsAddToTheirRunL015L016(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(attaching)
	want(t, w, d, plan.Succeeded, d.Result)
	want(t, w, d, "release 7", d.Name)
	want(t, w, d, []string{"Blue", "green"}, d.Tags)
	want(t, w, d, "release 7\n", w.text(d, "__default.Job", 5))
	step := find(d, "__default.Job").Steps[0]
	if step.Progress != 40 || step.Operation != "half way" || len(step.Details) != 1 || step.Details[0].Message != "begun" {
		t.Errorf("%+v", step)
	}
	var names []string
	for _, a := range d.Attachments {
		names = append(names, a.Type+"/"+a.Name)
		got := w.attachment(d.Number, a.ID)
		switch a.Name {
		case "sum":
			want(t, w, d, "# Summary of 1\n", got)
		case "a.txt":
			want(t, w, d, "second\n", got)
		case "setup":
			want(t, w, d, "//share/setup", got)
		}
		if int(a.Bytes) != len(got) || a.Job != "__default.Job" || a.Step != 1 {
			t.Errorf("%+v is %q", a, got)
		}
	}
	want(t, w, d, []string{protocol.AttachmentSummary + "/sum", protocol.AttachmentFile + "/a.txt", "artifact.filepath/setup"}, names)
	if len(d.Coverage) != 1 || d.Coverage[0].Lines != 2 || d.Coverage[0].LinesCovered != 1 || d.Coverage[0].Format != "Cobertura" {
		t.Errorf("coverage %+v", d.Coverage)
	}
	if len(d.Tests) != 1 || d.Tests[0].Title != "shop" || d.Tests[0].Passed != 1 || !strings.Contains(w.text(d, "__default.Job", 4), "##[warning]Not read: ") {
		t.Errorf("tests %+v\n%s", d.Tests, w.everything(d))
	}
	var types []string
	for _, e := range w.events(event.OfRun(d.Number)) {
		types = append(types, e.Type)
	}
	for _, kind := range []string{event.TypeAttachmentAdded, event.TypeRunChanged, event.TypeCoveragePublished, event.TypeTestsPublished} {
		if !slices.Contains(types, kind) {
			t.Errorf("the logbook has no %s: %v", kind, types)
		}
	}
}

// An attachment is for those who may read its project.
func TestAttachmentsAreForReaders(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(attaching)
	id := d.Attachments[0].ID
	for name, c := range map[string]struct {
		actor identity.Actor
		id    string
	}{"nobody": {identity.Actor{}, id}, "another id": {ada, "01J"}} {
		if _, _, err := w.svc.OpenAttachment(context.Background(), c.actor, d.Number, c.id); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := w.svc.OpenAttachment(context.Background(), ada, d.Number+1, id); !fault.Is(err, fault.NotFound) {
		t.Errorf("another run: %v", err)
	}
}

// attachment is the content of an attachment.
func (w *world) attachment(run int64, id string) string {
	w.t.Helper()
	_, body, err := w.svc.OpenAttachment(context.Background(), ada, run, id)
	if err != nil {
		w.t.Fatal(err)
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

// TestPredefinedVariables prints variables in a run of a push, as macros and as the
// environment has them (X049), and in a deployment.
func TestPredefinedVariables(t *testing.T) {
	groups := []struct {
		name   string
		values map[string]string // of macros; "*" is anything that is not empty
	}{
		{"P001 Agent", map[string]string{
			"Agent.BuildDirectory": "*/1", "Agent.HomeDirectory": "*", "Agent.Id": "*", "Agent.JobName": "Build it", "Agent.JobStatus": "Succeeded",
			"Agent.MachineName": "*", "Agent.Name": "test", "Agent.OS": "Linux", "Agent.OSArchitecture": "*", "Agent.TempDirectory": "*/1/_temp",
			"Agent.ToolsDirectory": "*/tools", "Agent.WorkFolder": "*", "Agent.Version": "0", "Agent.IsSelfHosted": "1", "Agent.ContainerMapping": "{}", "Agent.Diagnostic": "false",
		}},
		{"P002 Build", map[string]string{
			"Build.ArtifactStagingDirectory": "*/1/a", "Build.StagingDirectory": "*/1/a", "Build.BinariesDirectory": "*/1/b", "Build.BuildId": "1", "Build.BuildNumber": "*.1",
			"Build.BuildUri": "vstfs:///Build/Build/1", "Build.ContainerId": "1", "Build.DefinitionName": "web", "Build.DefinitionVersion": "1", "Build.QueuedBy": "ada", "Build.QueuedById": "ada",
			"Build.Repository.Clean": "False", "Build.Repository.LocalPath": "*/1/s", "Build.Repository.ID": "shop/web", "Build.Repository.Name": "shop/web", "Build.Repository.Provider": "TfsGit",
			"Build.Repository.Uri": "*/shop/web.git", "Build.Repository.Git.SubmoduleCheckout": "False", "Build.RequestedFor": "ada", "Build.RequestedForId": "ada", "Build.RequestedForEmail": "",
			"Build.SourceBranch": "refs/heads/main", "Build.SourceBranchName": "main", "Build.SourcesDirectory": "*/1/s", "Build.SourceVersion": "*", "Build.SourceVersionMessage": "a change",
		}},
		{"P003 the reason of a push", map[string]string{"Build.Reason": "IndividualCI"}},
		{"P004 Common and Pipeline", map[string]string{"Common.TestResultsDirectory": "*/1/TestResults", "Pipeline.Workspace": "*/1"}},
		{"P006 System", map[string]string{
			"System.ArtifactsDirectory": "*/1/a", "System.CollectionId": "*", "System.CollectionUri": "*/", "System.DefaultWorkingDirectory": "*/1/s", "System.DefinitionId": "1",
			"System.HostType": "build", "System.JobAttempt": "1", "System.JobDisplayName": "Build it", "System.JobId": "*", "System.JobName": "B", "System.PhaseAttempt": "1",
			"System.PhaseDisplayName": "Build it", "System.PhaseName": "B", "System.PlanId": "1", "System.StageAttempt": "1", "System.StageDisplayName": "First", "System.StageName": "S",
			"System.TeamProject": "shop", "System.TeamProjectId": "shop", "System.ServerType": "Hosted", "System.Culture": "en-US", "System.WorkFolder": "*", "System.AccessToken": "***",
		}},
		{"P008 resources", map[string]string{
			"resources.container.img.registry": "r.example.com:5000", "resources.container.img.repository": "a/b", "resources.container.img.tag": "1.2", "resources.container.img.image": "r.example.com:5000/a/b:1.2",
			"resources.repositories.lib.name": "shop/lib", "resources.repositories.lib.type": "git", "resources.repositories.lib.ref": "refs/heads/x", "resources.repositories.lib.url": "*/shop/lib.git",
		}},
	}
	var script strings.Builder
	for _, g := range groups {
		for name := range g.values {
			script.WriteString("    echo '" + name + "=$(" + name + ")'\n")
		}
	}
	w := newWorld(t)
	w.agent()
	d := w.finish(`
resources:
  containers: [{container: img, image: "r.example.com:5000/a/b:1.2"}]
  repositories: [{repository: lib, type: git, name: shop/lib, ref: refs/heads/x}]
variables:
  my.dotted name: x
  secretive: y
stages:
- stage: S
  displayName: First
  jobs:
  - job: B
    displayName: Build it
    steps:
    - bash: |
` + strings.ReplaceAll(script.String(), "    echo", "        echo") + `
    - bash: |
        env
        cd "$(Pipeline.Workspace)" && ls -d s a b TestResults _temp
- stage: D
  jobs:
  - deployment: R
    environment: prod.web
    strategy:
      canary:
        increments: [25]
        deploy:
          steps:
          - bash: echo '$(Environment.Name) $(Environment.ResourceName) $(Strategy.Name) $(Strategy.Action) $(Strategy.Increment)'
`)
	got := map[string]string{}
	for line := range strings.Lines(w.text(d, "S.B", 2)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[name] = value
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for name, want := range g.values {
				// Which of the agent's places the job got is the agent's choice.
				want = strings.Replace(want, "*/1", "*/"+got["Agent.Id"], 1)
				end, any := strings.CutPrefix(want, "*")
				any = any && want != "***"
				value, there := got[name]
				if !there || any && (!strings.HasSuffix(value, end) || value == "" || strings.HasPrefix(value, "$(")) || !any && value != want {
					t.Errorf("%s is %q, want %q", name, value, want)
				}
			}
		})
	}
	env := w.text(d, "S.B", 3)
	for name, lines := range map[string][]string{
		"X049 dots and spaces become underscores": {"MY_DOTTED_NAME=x", "BUILD_REPOSITORY_NAME=shop/web"},
		"X048 reserved prefixes are not exported": {"!SECRETIVE="},
		"P009 TF_BUILD":               {"TF_BUILD=True"},
		"L032 the token is not in it": {"!SYSTEM_ACCESSTOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, line := range lines {
				line, not := strings.CutPrefix(line, "!")
				if has := strings.Contains("\n"+env, "\n"+line); has == not {
					t.Errorf("%q: %v\n%s", line, has, env)
				}
			}
		})
	}
	t.Run("P007 the folders of a job", func(t *testing.T) {
		if !folders(env) {
			t.Error(env)
		}
	})
	t.Run("P005 D004 D010 Environment and Strategy", func(t *testing.T) {
		first := find(d, "D.R").Steps
		n := slices.IndexFunc(first, func(s pipeline.Step) bool { return s.Task == "Bash@3" })
		want(t, w, d, "prod web canary deploy 25\n", w.text(d, "D.R", first[n].Number))
	})
}

// folders reports whether ls has shown the folders of a job, in whatever order.
func folders(text string) bool {
	lines := strings.Split(text, "\n")
	for _, dir := range []string{"s", "a", "b", "TestResults", "_temp"} {
		if !slices.Contains(lines, dir) {
			return false
		}
	}
	return true
}
