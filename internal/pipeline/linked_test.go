package pipeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// other makes a further bare repository with files (path, content, …) and returns its commit.
func (w *world) other(name string, files ...string) string {
	w.t.Helper()
	bare, work := filepath.Join(w.dir, name+".git"), filepath.Join(w.dir, name+"-work")
	w.run(w.dir, "init", "--quiet", "--bare", "--initial-branch=main", bare)
	w.run(w.dir, "init", "--quiet", "--initial-branch=main", work)
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(work, files[i]), []byte(files[i+1]), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	w.run(work, "add", ".")
	w.run(work, "commit", "--quiet", "-m", "templates")
	w.run(work, "push", "--quiet", bare, "main")
	return w.run(work, "rev-parse", "HEAD")
}

const templated = `
resources:
  repositories:
  - repository: shared
    type: git
    name: NAME
    ref: refs/heads/main
  - repository: unused
    type: github
    name: somebody/else
    endpoint: hub
steps:
- checkout: self
- checkout: shared
- template: hello.yml@shared
  parameters: {who: reader}
- bash: ls; cat shared/note.txt web/azure-pipelines.yml
`

const hello = "parameters: [{name: who, type: string}]\nsteps: [{bash: 'echo hello ${{ parameters.who }}'}]\n"

func TestT003TemplatesOfAnotherRepositoryArePinned(t *testing.T) {
	w := newWorld(t)
	w.agent()
	pinned := w.other("shared", "hello.yml", hello, "note.txt", "from the shared repository\n")
	d := w.finish(strings.ReplaceAll(templated, "NAME", "shared"))
	if d.Result != plan.Succeeded {
		t.Fatalf("the run ended %s: %s\n%s", d.Result, d.Why, w.everything(d))
	}
	log := w.everything(d)
	for _, want := range []string{"hello reader", "from the shared repository", "Checking out shop/shared at " + pinned} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	var queued event.Run
	for _, e := range w.events(event.OfRun(d.Number)) {
		if e.Type == event.TypeRunQueued {
			if err := e.Into(&queued); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(queued.Repositories) != 1 || queued.Repositories[0] != (event.LinkedRepo{Alias: "shared", Repo: "shop/shared", Ref: "refs/heads/main", Commit: pinned}) {
		t.Errorf("the logbook says of the repositories: %+v", queued.Repositories)
	}
}

func TestT002RepositoriesThatMayNotBeUsed(t *testing.T) {
	w := newWorld(t)
	w.other("theirs", "hello.yml", hello, "note.txt", "secret of another project\n")
	for _, tt := range []struct{ name, yaml, want string }{
		{"of another project", strings.ReplaceAll(templated, "NAME", "vault/theirs"), "towpath check permit repository/theirs shop/web --project vault"},
		{"not there", strings.ReplaceAll(templated, "NAME", "nothing"), "has no refs/heads/main"},
		{"of another type", strings.ReplaceAll(strings.ReplaceAll(templated, "type: git\n", "type: github\n    endpoint: x\n"), "NAME", "a/b"), "type github lies outside of this installation"},
		{"checked out only", "resources: {repositories: [{repository: r, type: git, name: vault/theirs}]}\nsteps: [{checkout: r}]\n", "that shop/web may use"},
		{"X023 inline", "steps: [{checkout: 'git://vault/theirs@main'}]\n", "that shop/web may use"},
		{"Y190 used only", "resources: {repositories: [{repository: r, type: git, name: vault/theirs}]}\njobs: [{job: a, uses: {repositories: [r]}, steps: [{checkout: none}]}]\n", "that shop/web may use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if why := w.refusal(w.pipeline(tt.yaml)); !strings.Contains(why, tt.want) {
				t.Errorf("refused: %s\nwant %q in it", why, tt.want)
			}
		})
	}
}

func TestARepositoryOfAnotherProjectWantsAPermissionByName(t *testing.T) {
	w := newWorld(t)
	r := check.Resource{Kind: check.Repository, Project: "vault", Name: "theirs"}
	may := func(want bool) {
		t.Helper()
		got, err := w.svc.Checks().Permitted(t.Context(), w.db, r, repoName)
		if err != nil || got != want {
			t.Errorf("the pipeline may use the repository: %v, %v; want %v", got, err, want)
		}
	}
	may(false)
	permit := func(pipeline string) {
		t.Helper()
		if err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
			return w.svc.Checks().PermitIn(t.Context(), tx, ada, r, pipeline, true)
		}); err != nil {
			t.Fatal(err)
		}
	}
	permit(check.Everyone) // of its own project
	may(false)
	permit(repoName)
	may(true)
}

func TestX023ACheckoutNamesARepositoryItself(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.other("shared", "note.txt", "from the shared repository\n")
	d := w.finish("steps:\n- checkout: self\n- checkout: git://shop/shared@refs/heads/main\n- bash: cat shared/note.txt; ls web\n")
	log := w.everything(d)
	if d.Result != plan.Succeeded || !strings.Contains(log, "from the shared repository") || !strings.Contains(log, "Checking out shop/shared at "+commit) {
		t.Errorf("the run ended %s: %s\n%s", d.Result, d.Why, log)
	}
}

// TestY190UsesOpensARepositoryToTheJobAlone wants that the identity of a job clones what the job says it
// uses, and that of the job beside it does not.
func TestY190UsesOpensARepositoryToTheJobAlone(t *testing.T) {
	var mu sync.Mutex
	got := map[string]string{}
	w := newWorld(t, func(w *world) {
		w.issued = func(c identity.JobClaims) {
			mu.Lock()
			defer mu.Unlock()
			got[c.Job] = c.Clones
		}
	})
	w.agent()
	w.other("theirs", "note.txt", "of another project\n")
	r := check.Resource{Kind: check.Repository, Project: "vault", Name: "theirs"}
	if err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
		return w.svc.Checks().PermitIn(t.Context(), tx, ada, r, repoName, true)
	}); err != nil {
		t.Fatal(err)
	}
	commit := w.push("azure-pipelines.yml", `
trigger: [main]
resources: {repositories: [{repository: r, type: git, name: vault/theirs}]}
jobs:
- job: uses
  uses: {repositories: [R]}
  steps: [{checkout: none}, {bash: echo uses}]
- job: not
  steps: [{checkout: none}, {bash: echo not}]
`)
	if _, err := w.svc.Start(t.Context(), ada, repoName, "refs/heads/main", nil); err != nil {
		t.Fatal(err)
	}
	if d := w.wait(commit, over); d.Result != plan.Succeeded {
		t.Fatalf("the run ended %s: %s\n%s", d.Result, d.Why, w.everything(d))
	}
	mu.Lock()
	defer mu.Unlock()
	if got["uses"] != "vault/theirs" || got["not"] != "" || len(got) != 2 {
		t.Errorf("the jobs may clone %q", got)
	}
}
