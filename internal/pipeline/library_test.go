package pipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
)

const secretText = "hunter2-is-not-a-password"

// shelf is a world with the groups plain (open) and vaulted (closed, with a secret).
func shelf(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.agent()
	lib := w.svc.Library()
	for _, g := range []struct {
		name   string
		values []library.Value
		open   bool
	}{
		{"plain", []library.Value{{Name: "region", Value: "eu"}, {Name: "tier", Value: "group"}, {Name: "Build.Reason", Value: "forged"}}, true},
		{"Vaulted", []library.Value{{Name: "token", Value: secretText, Secret: true}, {Name: "host", Value: "db.example.com"}}, false},
	} {
		if _, err := lib.CreateGroup(t.Context(), ada, "shop", g.name, "", g.values, g.open); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) permit(name string, allowed bool) {
	w.t.Helper()
	r := check.Resource{Kind: check.Group, Project: "shop", Name: name}
	if err := w.svc.Checks().Permit(w.t.Context(), ada, r, repoName, allowed); err != nil {
		w.t.Fatal(err)
	}
}

const grouped = `
variables:
- group: plain
- group: vaulted
- name: tier
  value: file
- name: derived
  value: $[ format('[{0}]', variables.token) ]
steps:
- checkout: none
- bash: |
    echo "reason=$BUILD_REASON region=$REGION tier=$TIER host=$HOST_ derived=$DERIVED"
    echo "exported=[${TOKEN:-none}]"
    echo "given=$GIVEN length=${#GIVEN}"
  env: {GIVEN: $(token), HOST_: $(host)}
`

// TestJ002 is the way of a group from the library into the steps.
func TestJ002GroupsReachSteps(t *testing.T) {
	w := shelf(t)
	commit := w.pipeline(grouped)
	_, hold := w.held(commit)
	if hold.Resource.Kind != check.Group || !strings.EqualFold(hold.Resource.Name, "vaulted") {
		t.Fatalf("the run is held by %+v", hold)
	}
	w.permit("vaulted", true)
	d := w.wait(commit, over)
	if d.Result != plan.Succeeded {
		t.Fatalf("the run ended %s: %s", d.Result, d.Why)
	}
	log := w.everything(d)
	for _, want := range []string{"reason=IndividualCI region=eu tier=file host=db.example.com derived=[]", "exported=[none]", "given=*** length=25"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if got := w.lent(d); got != 1 {
		t.Errorf("%d events say that secrets were lent, want 1", got)
	}
	w.nowhere(secretText)
}

// nowhere fails when a text is in the clear anywhere in the data folder.
func (w *world) nowhere(text string) {
	w.t.Helper()
	err := filepath.WalkDir(w.opts.Data, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(raw), text) {
			w.t.Errorf("%s holds the secret in the clear", path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// refusal waits until the file of a commit is refused, and returns why.
func (w *world) refusal(commit string) string {
	w.t.Helper()
	for range 600 {
		for _, e := range w.events(event.Of(event.KindCommit, commit)) {
			var p event.RunRefused
			if e.Type == event.TypeRunRefused && e.Into(&p) == nil {
				return strings.Join(p.Errors, "\n")
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatal("the file was not refused")
	return ""
}

// lent counts the events that say that secrets were given to jobs of a run.
func (w *world) lent(d *pipeline.Detail) int {
	n := 0
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			for _, e := range w.events(event.Of(event.KindJob, fmt.Sprintf("%d/%s", d.Number, j.Path))) {
				if e.Type == event.TypeLibraryLent {
					n++
				}
			}
		}
	}
	return n
}

func TestJ002APermissionThatIsTakenBackCounts(t *testing.T) {
	w := shelf(t)
	w.permit("vaulted", true)
	if d := w.wait(w.pipeline(grouped), over); d.Result != plan.Succeeded {
		t.Fatalf("the run ended %s: %s", d.Result, d.Why)
	}
	w.permit("vaulted", false)
	if _, hold := w.held(w.pipeline(grouped)); hold.Resource.Kind != check.Group {
		t.Errorf("the second run is held by %+v", hold)
	}
}

func TestJ002AnUnknownGroupIsRefused(t *testing.T) {
	w := shelf(t)
	commit := w.pipeline("variables: [{group: theirs}]\nsteps: [{checkout: none}]\n")
	if why := w.refusal(commit); !strings.Contains(why, "there is no such group in project shop") {
		t.Errorf("the run was refused: %s", why)
	}
}

func TestJ002WhoMayDoWhat(t *testing.T) {
	w := shelf(t)
	lib := w.svc.Library()
	reader := identity.Actor{Kind: identity.KindUser, Name: "rita", Cap: identity.Read}
	got, err := lib.Group(t.Context(), reader, "shop", "VAULTED")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range got.Variables {
		if v.Secret && v.Value != "" {
			t.Errorf("a reader reads the secret %s", v.Name)
		}
	}
	for _, a := range []identity.Actor{reader, writer} {
		if _, err := lib.CreateGroup(t.Context(), a, "shop", "mine", "", nil, true); !fault.Is(err, fault.Denied) {
			t.Errorf("%s makes a group: %v", a, err)
		}
		if _, err := lib.ChangeGroup(t.Context(), a, "shop", "plain", library.Change{Remove: []string{"region"}}); !fault.Is(err, fault.Denied) {
			t.Errorf("%s changes a group: %v", a, err)
		}
		if err := lib.RemoveGroup(t.Context(), a, "shop", "plain"); !fault.Is(err, fault.Denied) {
			t.Errorf("%s removes a group: %v", a, err)
		}
	}
	for name, v := range map[string]library.Value{
		"no name": {Value: "x"}, "a name of an option": {Name: "-x", Value: "x"}, "short": {Name: "s", Value: "abc", Secret: true},
		"no text": {Name: "x", Value: "\x00"}, "long": {Name: "x", Value: strings.Repeat("x", 64<<10+1)},
	} {
		if _, err := lib.ChangeGroup(t.Context(), ada, "shop", "plain", library.Change{Set: []library.Value{v}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What was secret does not become readable by being set without the mark.
	changed, err := lib.ChangeGroup(t.Context(), ada, "shop", "vaulted", library.Change{Set: []library.Value{{Name: "TOKEN", Value: "now plain"}}})
	if err != nil {
		t.Fatal(err)
	}
	if v := changed.Variables[0]; v.Secret || v.Value != "now plain" {
		t.Errorf("the variable is %+v", v)
	}
	if err := lib.RemoveGroup(t.Context(), ada, "shop", "vaulted"); err != nil {
		t.Fatal(err)
	}
	if _, err := lib.Group(t.Context(), ada, "shop", "vaulted"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a group that was removed: %v", err)
	}
}

func TestJ002APullRequestGetsNoSecrets(t *testing.T) {
	w := shelf(t)
	w.permit("vaulted", true)
	head := w.push("azure-pipelines.yml", "trigger: none\n"+grouped)
	r, err := w.svc.StartPull(t.Context(), pipeline.PullOrder{Repo: repoName, Number: 7, Title: "a change", Source: "refs/heads/fix", Target: "refs/heads/main", Head: head, Merge: head, Requester: "mallory"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Number == 0 {
		t.Fatal("the pull request has no run")
	}
	d := w.wait(head, over)
	log := w.everything(d)
	if !strings.Contains(log, "region=eu") || !strings.Contains(log, "given=$(token) length=8") {
		t.Errorf("the log is:\n%s", log)
	}
	if got := w.lent(d); got != 0 {
		t.Errorf("%d events say that secrets were lent", got)
	}
}

const lending = `
steps:
- checkout: none
- task: DownloadSecureFile@1
  name: key
  inputs: {secureFile: signing.key}
- bash: |
    cat "$(key.secureFilePath)" | wc -c
    stat -c %a "$(key.secureFilePath)"
`

func TestJ003SecureFilesReachJobs(t *testing.T) {
	w := newWorld(t)
	w.agent()
	content := strings.Repeat("line of a private key\n", 40_000) // more than one sealed part
	if _, err := w.svc.Library().UploadFile(t.Context(), ada, "shop", "signing.key", strings.NewReader(content), false); err != nil {
		t.Fatal(err)
	}
	commit := w.pipeline(lending)
	if _, hold := w.held(commit); hold.Resource.Kind != check.File {
		t.Fatalf("the run is held by %+v", hold)
	}
	if err := w.svc.Checks().Permit(t.Context(), ada, check.Resource{Kind: check.File, Project: "shop", Name: "signing.key"}, repoName, true); err != nil {
		t.Fatal(err)
	}
	d := w.wait(commit, over)
	log := w.everything(d)
	if d.Result != plan.Succeeded || !strings.Contains(log, "880000") || !strings.Contains(log, "600") {
		t.Errorf("the run ended %s:\n%s", d.Result, log)
	}
	w.nowhere("line of a private key")
	left, err := filepath.Glob(filepath.Join(w.dir, "*", "*", "_temp", "signing.key"))
	if err != nil || len(left) > 0 {
		t.Errorf("the file stays behind: %v %v", left, err)
	}
	head := w.push("azure-pipelines.yml", lending)
	if _, err := w.svc.StartPull(t.Context(), pipeline.PullOrder{Repo: repoName, Number: 8, Title: "a change", Source: "refs/heads/fix", Target: "refs/heads/main", Head: head, Merge: head, Requester: "mallory"}); err != nil {
		t.Fatal(err)
	}
	var judged *pipeline.Detail
	w.until("the run of the pull request", func() bool {
		list, err := w.svc.Runs(t.Context(), ada, pipeline.Filter{Repo: repoName, Pull: 8})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 && list[0].Status == plan.Completed {
			judged = w.ends(list[0].Number)
		}
		return judged != nil
	})
	if log := w.everything(judged); judged.Result != plan.Failed || !strings.Contains(log, "pull request gets nothing that is secret") {
		t.Errorf("the pull request ended %s:\n%s", judged.Result, log)
	}
}

func TestJ003NamesAndSizes(t *testing.T) {
	w := newWorld(t)
	lib := w.svc.Library()
	for _, name := range []string{"../x", "-x", ".hidden", "a/b", ""} {
		if _, err := lib.UploadFile(t.Context(), ada, "shop", name, strings.NewReader("x"), false); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := lib.UploadFile(t.Context(), ada, "shop", "big", strings.NewReader(strings.Repeat("x", library.MaxFile+1)), false); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a file that is too large: %v", err)
	}
	if _, err := lib.UploadFile(t.Context(), writer, "shop", "mine", strings.NewReader("x"), false); !fault.Is(err, fault.Denied) {
		t.Errorf("a writer keeps a file: %v", err)
	}
}

func TestJ004Connections(t *testing.T) {
	w := newWorld(t)
	lib := w.svc.Library()
	for _, tt := range []struct {
		name string
		c    library.Connection
		want string
	}{
		{"azurerm", library.Connection{Name: "a", Type: "azurerm", URL: "https://x"}, "no connections of the type azurerm"},
		{"another type", library.Connection{Name: "a", Type: "ftp", URL: "https://x"}, "no type of a connection"},
		{"a password in the address", library.Connection{Name: "a", Type: library.Generic, URL: "https://u:p@x"}, "without a password"},
		{"a plain password", library.Connection{Name: "a", Type: library.Generic, URL: "https://x", Parameters: []library.Value{{Name: "Password", Value: "x"}}}, "is a secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := lib.CreateConnection(t.Context(), ada, "shop", tt.c, false); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	got, err := lib.CreateConnection(t.Context(), ada, "shop", library.Connection{Name: "Hub", Type: library.DockerRegistry, URL: "https://images.example.com",
		Parameters: []library.Value{{Name: "username", Value: "robot"}, {Name: "password", Value: secretText, Secret: true}}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Parameters[1]; !v.Secret || v.Value != "" {
		t.Errorf("the password is %+v", v)
	}
	lent, err := lib.LendConnection(t.Context(), w.db, "shop", "hub")
	if err != nil || lent.Auth["password"] != secretText || lent.Scheme != "UsernamePassword" {
		t.Errorf("lent %v, %v", lent.Scheme, err)
	}
	w.nowhere(secretText)
}
