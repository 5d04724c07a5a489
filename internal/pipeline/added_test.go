package pipeline_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// taskLibrary is the npm package of the service's task library, pinned.
const taskLibrary = "azure-pipelines-task-lib@5.281.0"

// secureFiles is the one with which the service's tasks download secure files; it brings the
// client of its API along.
const secureFiles = "azure-pipelines-tasks-securefiles-common@2.272.0"

// program reports whether a program that a test needs is here, and says so if not.
func program(t *testing.T, name string) bool {
	if _, err := exec.LookPath(name); err != nil {
		t.Logf("NOT RUN: %s is not here", name)
		return false
	}
	return true
}

// zipped packs folders on top of each other.
func zipped(t *testing.T, under ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(under); i += 2 {
		err := fs.WalkDir(os.DirFS(under[i+1]), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			to, err := w.Create(under[i] + name)
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(filepath.Join(under[i+1], name))
			if err == nil {
				_, err = to.Write(raw)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// workbench is a world with an agent, the connections hub and other, the group tokens and
// the secure file cert.pem, all open to the pipelines of the project.
func workbench(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.agent()
	ctx, lib := t.Context(), w.svc.Library()
	for _, c := range []library.Connection{
		{Name: "Hub", Type: library.Generic, URL: "https://hub.example.com/api", Parameters: []library.Value{
			{Name: "username", Value: "deployer"}, {Name: "password", Value: "hub-secret-1234", Secret: true}, {Name: "region", Value: "eu"},
		}},
		{Name: "other", Type: library.Generic, URL: "https://other.example.com", Parameters: []library.Value{{Name: "password", Value: "other-secret-5678", Secret: true}}},
	} {
		if _, err := lib.CreateConnection(ctx, ada, "shop", c, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lib.CreateGroup(ctx, ada, "shop", "tokens", "", []library.Value{{Name: "my.token", Value: secretText, Secret: true}}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := lib.UploadFile(ctx, ada, "shop", "cert.pem", strings.NewReader("a certificate"), true); err != nil {
		t.Fatal(err)
	}
	return w
}

const probed = `
variables:
- group: tokens
- name: plain.word
  value: word
steps:
- checkout: none
- task: probe@1
  name: first
  displayName: The first
  inputs: {To: north, SCRIPT: dir/run.sh, Spaced Name: x, hub: hub, certificate: cert.pem, COUNT: "7"}
- bash: echo "the output is $(first.probeResult), the other [$ELSEWHERE]"
- task: 7f1d7b0c-6a36-4a2f-8d0e-3f5b0a3c1e10@1
  inputs: {target: south, fail: true}
- bash: echo never
- task: Probe@1
  condition: failed()
  inputs: {target: west}
`

// TestTheProtocolOfTasks runs a task that says what it is given, three times in one job.
func TestTheProtocolOfTasks(t *testing.T) {
	if !program(t, "node") {
		return
	}
	w := workbench(t)
	if _, err := w.svc.Gallery().Add(t.Context(), ada, "shop", zipped(t, "", "testdata/tasks/probe")); err != nil {
		t.Fatal(err)
	}
	d := w.finish(probed)
	log := w.everything(d)
	if d.Result != plan.Failed || !strings.Contains(d.Why, "as it was asked to") {
		t.Errorf("the run ended %s: %s\n%s", d.Result, d.Why, log)
	}
	for _, c := range []struct{ name, want string }{
		{"K001 aliases, defaults, paths, names in any case", `inputs ["north","7","true","dir/run.sh",".","x"]`},
		{"K002 url, scheme, parameters and data of a connection", "endpoint https://hub.example.com/api UsernamePassword UsernamePassword deployer 15 15 eu eu"},
		{"K002 what opens it is hidden", "the secret itself is ***"},
		{"K002 no connection that the step does not name", "others 0 0"},
		{"K002 the connection to the server", "system true OAuth true"},
		{"K003 secure files", "file cert.pem 64"},
		{"K003 secrets apart from the environment", "secrets 25 true true"},
		{"K003 lists of variables", "public word true false"},
		{"K003 task variables", "task variables from the pre stage of north 16"},
		{"K001 what the agent says of itself", "agent 3 true The first true"},
		{"K004 the title of a stage", `pre of north as "Pre-job: The first"`},
		{"K004 after the job, also after a failure", "post of north: from the pre stage of north, status Failed Failed"},
		{"K005 by its GUID", `inputs ["south","3","true"`},
		{"L001 restricted by the task itself", "Setting variable 'elsewhere' has been disabled by the task or build definition."},
		{"L013 restricted by the task itself", "##vso [task.uploadsummary] is not allowed in this step due to policy restrictions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(log, c.want) {
				t.Errorf("the log lacks %q", c.want)
			}
		})
	}
	if strings.Contains(log, "other-secret") || strings.Contains(log, "hub-secret") || !strings.Contains(log, "the output is yes, the other []") {
		t.Error(log)
	}
	w.nowhere("hub-secret-1234")
	if t.Failed() {
		t.Log(log)
	}
	t.Run("K004 the order of the stages", func(t *testing.T) { checkOrder(t, d) })
}

// checkOrder looks at the steps: pre stages in their order, then the steps, then post stages
// in reverse.
func checkOrder(t *testing.T, d *pipeline.Detail) {
	t.Helper()
	var got []string
	for _, s := range d.Stages[0].Jobs[0].Steps {
		got = append(got, s.DisplayName+" "+string(s.Result))
	}
	want := "Pre-job: The first Succeeded, Pre-job: Probe Succeeded, Pre-job: Probe Succeeded, The first Succeeded, Bash Succeeded, Probe Failed, Bash Skipped, Probe Succeeded, " +
		"Post-job: Probe Succeeded, Post-job: Probe Succeeded, Post-job: The first Succeeded"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// TestWhoMayUseAddedTasks has a task that a project does not have, one that was removed, and
// an agent that asks for the files of a task that its job does not run.
func TestWhoMayUseAddedTasksK005(t *testing.T) {
	w := newWorld(t)
	if got := w.refusal(w.pipeline("steps:\n- task: Probing@1\n")); !strings.Contains(got, "The task 'Probing@1' is unknown") {
		t.Error(got)
	}
	bob := identity.Actor{Kind: identity.KindUser, Name: "bob", Cap: identity.Write}
	data := zipped(t, "", "testdata/tasks/probe")
	if _, err := w.svc.Gallery().Add(t.Context(), bob, "shop", data); !fault.Is(err, fault.Denied) {
		t.Errorf("a writer adds a task: %v", err)
	}
	if _, err := w.svc.Gallery().Add(t.Context(), ada, "shop", data); err != nil {
		t.Fatal(err)
	}
	if got := w.refusal(w.pipeline("steps:\n- task: Prob@1\n  inputs: {target: x}\n")); !strings.Contains(got, "Probe@1") {
		t.Errorf("the nearest task is not named: %s", got)
	}
	if got := w.refusal(w.pipeline("steps:\n- task: Probe@1\n")); !strings.Contains(got, "needs the input 'target'") {
		t.Error(got)
	}
	commit := w.pipeline("steps:\n- checkout: none\n- task: Probe@1\n  inputs: {target: x}\n")
	w.wait(commit, func(d *pipeline.Detail) bool { return d.Stages[0].Jobs[0].Status == "Queued" })
	if err := w.svc.Gallery().Remove(t.Context(), ada, "shop", "Probe"); err != nil {
		t.Fatal(err)
	}
	w.agent()
	if d := w.wait(commit, over); !strings.Contains(d.Why, "was removed after the run began") {
		t.Errorf("the run ended %s: %s", d.Result, d.Why)
	}
}

// TestTaskLibraryK006 runs a task that is built on the service's own library from npm.
func TestTaskLibraryK006(t *testing.T) {
	if !program(t, "node") || !program(t, "npm") {
		return
	}
	modules := filepath.Join(installed(t, taskLibrary), "node_modules")
	w := workbench(t)
	if _, err := w.svc.Gallery().Add(t.Context(), ada, "shop", zipped(t, "", "testdata/tasks/library", "node_modules/", modules)); err != nil {
		t.Fatal(err)
	}
	d := w.wait(w.push("data/a.txt", "a", "data/skip.txt", "b", "azure-pipelines.yml", `
variables:
- group: tokens
- {name: plain.word, value: word}
steps:
- task: OnTheLibrary@0
  name: lib
  inputs: {called: me, loud: TRUE, file: data/a.txt, hub: Hub, list: "one\ntwo"}
- bash: echo "plain=$(plainOut) output=$(lib.outcome) hidden=[$HIDDENOUT] mapped=${#MAPPED}"
  env: {MAPPED: $(hiddenOut)}
- task: OnTheLibrary@0
  inputs: {called: fails, file: data/a.txt, hub: Hub}
`), over)
	log := w.everything(d)
	if d.Result != plan.Failed || !strings.Contains(d.Why, "the task was asked to fail with ***") {
		t.Errorf("the run ended %s: %s", d.Result, d.Why)
	}
	for _, want := range []string{
		`inputs ["me",true,"a.txt",true,false,["one","two"]]`, "endpoint https://hub.example.com/api UsernamePassword deployer 15 15", "environment 0", "variables 25 word 1",
		"task variables before the job 18", "ran a tool true", "exit code 3", `found ["a.txt"] b.ts`, "##[warning]look out", "done with issues",
		"plain=plain value output=output of me hidden=[] mapped=18", "after the job: before the job Failed",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
	steps := d.Stages[0].Jobs[0].Steps
	if steps[3].Result != plan.SucceededWithIssues || d.Stages[0].Jobs[0].Outputs["lib.outcome"] != "output of me" {
		t.Errorf("%+v, %v", steps[3], d.Stages[0].Jobs[0].Outputs)
	}
	if len(d.Attachments) == 0 {
		t.Error("there is no summary")
	}
	w.nowhere("secret-of-the-task")
}

// TestSecureFilesOfTasksK003 runs a task that downloads a secure file as those of the service do,
// with its library and its client; what was not lent is not to be had with anything of it.
func TestSecureFilesOfTasksK003(t *testing.T) {
	if !program(t, "node") || !program(t, "npm") {
		return
	}
	modules := filepath.Join(installed(t, secureFiles), "node_modules")
	w := workbench(t)
	if _, err := w.svc.Gallery().Add(t.Context(), ada, "shop", zipped(t, "", "testdata/tasks/keeper", "node_modules/", modules)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.Library().UploadFile(t.Context(), ada, "shop", "other.pem", strings.NewReader("another one"), true); err != nil {
		t.Fatal(err)
	}
	out, go1 := filepath.Join(w.dir, "out"), filepath.Join(w.dir, "go")
	if err := errors.Join(os.Mkdir(out, 0o777), os.Chmod(out, 0o777)); err != nil {
		t.Fatal(err)
	}
	commit := w.pipeline(`
jobs:
- job: keeps
  steps:
  - checkout: none
  - task: Keeper@1
    inputs: {certificate: CERT.pem}
  - bash: |
      echo "left [$(ls $(Agent.TempDirectory) | grep -c pem)]"
      cp $(Agent.TempDirectory)/ticket ` + out + `/ticket && echo waits
      while [ ! -e ` + go1 + ` ]; do sleep 0.05; done
`)
	d := w.wait(commit, printed("__default.keeps", 2))
	var ticket []byte
	for range 200 {
		if ticket, _ = os.ReadFile(filepath.Join(out, "ticket")); len(ticket) == 64 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	self := identity.Actor{Kind: identity.KindRun, Name: "1", Cap: identity.Admin, Job: identity.JobClaims{Project: "shop", Run: d.Number, Stage: "__default", Job: "keeps"}}
	beside, abroad := self, self
	beside.Job.Job, abroad.Job.Project = "sells", "deck"
	asks := func(a identity.Actor, project, file, ticket string) error {
		_, content, err := w.svc.TicketFile(t.Context(), a, project, file, ticket)
		if err == nil && string(content) != "a certificate" {
			t.Errorf("it holds %q", content)
		}
		return err
	}
	if err := asks(self, "shop", "cert.PEM", string(ticket)); err != nil {
		t.Errorf("its own: %v", err)
	}
	for what, err := range map[string]error{
		"without a ticket":              asks(self, "shop", "cert.pem", ""),
		"with a ticket that is made up": asks(self, "shop", "cert.pem", strings.Repeat("0", 64)),
		"of another file":               asks(self, "shop", "other.pem", string(ticket)),
		"for another job":               asks(beside, "shop", "cert.pem", string(ticket)),
		"for another project":           asks(abroad, "shop", "cert.pem", string(ticket)),
		"for a person":                  asks(ada, "shop", "cert.pem", string(ticket)),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := w.svc.Library().RemoveFile(t.Context(), ada, "shop", "cert.pem"); err != nil {
		t.Fatal(err)
	}
	if err := asks(self, "shop", "cert.pem", string(ticket)); !fault.Is(err, fault.NotFound) {
		t.Errorf("once the file is gone: %v", err)
	}
	if err := os.WriteFile(go1, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	log := w.everything(d)
	for _, want := range []string{"kept as cert.pem with a certificate", "still there false", "left [0]"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, string(ticket)) {
		t.Errorf("the ticket %q stands in the log", ticket)
	}
	if err := asks(self, "shop", "cert.pem", string(ticket)); !fault.Is(err, fault.NotFound) {
		t.Errorf("after the end of the job: %v", err)
	}
}

// installed brings an npm package into the user's cache and returns the folder.
func installed(t *testing.T, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "towpath", "npm", strings.ReplaceAll(name, "@", "-"))
	module, _, _ := strings.Cut(name, "@")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", module, "package.json")); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix", dir, name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("installing %s: %v: %s", name, err, out)
	}
	return dir
}
