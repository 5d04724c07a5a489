package pipeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// several is a repository with two pipelines: of pushes, and of pushes below docs.
func (w *world) several() (commit string) {
	w.t.Helper()
	return w.commitFiles(map[string]string{
		pipeline.File: "trigger: [main]\nsteps:\n- checkout: none\n- bash: echo first\n",
		"ci/docs.yml": "name: docs-$(Rev:r)\ntrigger:\n  branches: {include: [main]}\n  paths: {include: [docs]}\nschedules:\n- cron: 0 3 * * *\n  always: true\n" +
			"steps:\n- checkout: none\n- bash: echo \"$BUILD_DEFINITIONNAME\"\n",
	})
}

// commitFiles adds files to the repository beside those that are there, and tells nobody.
func (w *world) commitFiles(files map[string]string) string {
	w.t.Helper()
	work := filepath.Join(w.dir, "beside")
	if _, err := os.Stat(work); err != nil {
		w.run(w.dir, "init", "--quiet", "--initial-branch=main", work)
	}
	for name, content := range files {
		path := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	w.run(work, "add", ".")
	w.run(work, "commit", "--quiet", "--allow-empty", "-m", "a change")
	w.run(work, "push", "--quiet", w.git, "main")
	return w.run(work, "rev-parse", "HEAD")
}

// files are the files of the runs of the repository, oldest first.
func (w *world) files() string {
	var out []string
	for _, r := range w.ofRepo(repoName) {
		out = append(out, r.File)
	}
	return strings.Join(out, " ")
}

func (w *world) pushes(before, commit string) {
	w.t.Helper()
	w.say(event.Fact{Type: event.TypeCommitPushed, Subject: event.Of(event.KindCommit, commit),
		Payload: event.CommitPushed{V: 1, Repo: repoName, Ref: "refs/heads/main", Before: before, Commit: commit, Title: "a change"}})
}

func TestARepositoryHasSeveralPipelines(t *testing.T) { each(t, severalPipelines) }

func severalPipelines(t *testing.T, on func(*world)) {
	c := &shifted{Clock: clock.System()}
	w := newWorld(t, on, func(w *world) { w.clock = c })
	first := w.several()
	ctx := t.Context()
	d, err := w.svc.CreateDefinition(ctx, ada, "shop", pipeline.Definition{Name: "docs", Repo: "web", File: "/ci/docs.yml", Folder: "team/texts"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Key() != "shop/web:ci/docs.yml" || d.Folder != `\team\texts` || d.ID == 0 {
		t.Errorf("made %+v", d)
	}
	// Nothing below docs has changed, so that the push starts the other one alone.
	next := w.commitFiles(map[string]string{"README.md": "text"})
	w.pushes(first, next)
	w.until("the run of the first pipeline", func() bool { return w.files() == pipeline.File })
	// One below docs starts both, and each counts its own runs.
	docs := w.commitFiles(map[string]string{"docs/a.md": "text"})
	w.pushes(next, docs)
	w.until("a run of each", func() bool { return strings.Count(w.files(), " ") == 2 })
	list, err := w.svc.Runs(ctx, ada, pipeline.Filter{Repo: repoName, File: "ci/docs.yml"})
	if err != nil || len(list) != 1 || list[0].Name != "docs-1" {
		t.Fatalf("runs of docs: %v, %v", list, err)
	}
	run, err := w.svc.StartWith(ctx, ada, d.Key(), pipeline.Request{})
	if err != nil || run.Name != "docs-2" || run.File != "ci/docs.yml" {
		t.Fatalf("by hand: %+v, %v", run, err)
	}
	if again, err := w.svc.Rerun(ctx, ada, run.Number); err != nil || again.Name != "docs-3" || again.File != run.File {
		t.Errorf("again: %+v, %v", again, err)
	}
	// The schedule counts without a push of the file.
	c.forward(25 * time.Hour)
	w.until("the scheduled run", func() bool { return len(w.runs("Schedule")) == 1 })
	if r := w.runs("Schedule")[0]; r.File != "ci/docs.yml" {
		t.Errorf("the schedule ran %s", r.File)
	}
	all, err := w.svc.Definitions(ctx, ada, "shop")
	if err != nil || len(all) != 2 || all[0].Name != "docs" || all[1].Name != "web" || all[1].Last == nil || all[1].Last.File != pipeline.File {
		t.Errorf("pipelines: %+v, %v", all, err)
	}
}

func TestPipelinesAreRenamedDisabledAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.several()
	ctx := t.Context()
	d, err := w.svc.CreateDefinition(ctx, ada, "shop", pipeline.Definition{Name: "docs", Repo: repoName, File: "ci/docs.yml"})
	if err != nil {
		t.Fatal(err)
	}
	name, off := "Texts of all", true
	if got, err := w.svc.ChangeDefinition(ctx, ada, "shop", "DOCS", pipeline.DefinitionChange{Name: &name, Disabled: &off}); err != nil || got.Name != name || got.ID != d.ID || !got.Disabled {
		t.Fatalf("renamed to %+v, %v", got, err)
	}
	if _, err := w.svc.StartWith(ctx, ada, d.Key(), pipeline.Request{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a disabled pipeline starts: %v", err)
	}
	if r, err := w.svc.StartPull(ctx, pull(w.several())); err != nil || r.File != pipeline.File {
		t.Errorf("a pull request runs %+v, %v", r, err)
	}
	if n := len(w.ofRepo(repoName)); n != 1 {
		t.Errorf("%d runs, want that of the pipeline that is enabled", n)
	}
	group := check.Resource{Kind: check.Group, Project: "shop", Name: "keys"}
	if err := w.svc.Checks().Permit(ctx, ada, group, d.Key(), true); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{d.Key(): true, repoName: false, repoName + ":ci/other.yml": false} {
		if ok, err := w.svc.Checks().Permitted(ctx, w.db, group, key); err != nil || ok != want {
			t.Errorf("%s is permitted: %v, %v", key, ok, err)
		}
	}
	if err := w.svc.RemoveDefinition(ctx, ada, "shop", name); err != nil {
		t.Fatal(err)
	}
	if ok, err := w.svc.Checks().Permitted(ctx, w.db, group, d.Key()); err != nil || ok {
		t.Errorf("who makes the pipeline again has its permissions: %v, %v", ok, err)
	}
	if _, err := w.svc.StartWith(ctx, ada, d.Key(), pipeline.Request{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a deleted pipeline starts: %v", err)
	}
	if err := w.svc.RemoveDefinition(ctx, ada, "shop", "web"); !fault.Is(err, fault.Conflict) {
		t.Errorf("the pipeline of %s is deleted: %v", pipeline.File, err)
	}
}

func TestWhatIsNoPipelineIsRefused(t *testing.T) {
	w := newWorld(t)
	w.commitFiles(map[string]string{pipeline.File: "steps: []", "ok.yml": "steps:\n- bash: true\n", "broken.yml": "steps: 7", "two.yml": "steps:\n- bash: true\n"})
	if _, err := w.svc.CreateDefinition(t.Context(), ada, "shop", pipeline.Definition{Name: "ok", Repo: "web", File: "ok.yml"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		d    pipeline.Definition
		kind fault.Kind
	}{
		{"a file outside", pipeline.Definition{Name: "x", Repo: "web", File: "../x.yml"}, fault.Invalid},
		{"no YAML", pipeline.Definition{Name: "x", Repo: "web", File: "x.json"}, fault.Invalid},
		{"no file", pipeline.Definition{Name: "x", Repo: "web", File: "no.yml"}, fault.NotFound},
		{"a broken file", pipeline.Definition{Name: "x", Repo: "web", File: "broken.yml"}, fault.Invalid},
		{"a number", pipeline.Definition{Name: "7", Repo: "web", File: "two.yml"}, fault.Invalid},
		{"a path as the name", pipeline.Definition{Name: "a/b", Repo: "web", File: "two.yml"}, fault.Invalid},
		{"the same name", pipeline.Definition{Name: "OK", Repo: "web", File: "two.yml"}, fault.Conflict},
		{"the same file", pipeline.Definition{Name: "x", Repo: "web", File: "ok.yml"}, fault.Conflict},
		{"another project", pipeline.Definition{Name: "x", Repo: "else/web", File: "two.yml"}, fault.Invalid},
	} {
		if _, err := w.svc.CreateDefinition(t.Context(), ada, "shop", c.d); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := w.svc.CreateDefinition(t.Context(), identity.Actor{}, "shop", pipeline.Definition{Name: "x", Repo: "web", File: "two.yml"}); err == nil {
		t.Error("nobody makes a pipeline")
	}
}

const follows = `
trigger: none
resources:
  pipelines:
  - pipeline: up
    source: Texts
    trigger: true
steps:
- checkout: none
- bash: echo "$RESOURCES_PIPELINE_UP_PIPELINENAME by $BUILD_TRIGGEREDBY_DEFINITIONNAME"
`

func TestJ005PipelinesFollowEachOtherByName(t *testing.T) {
	w := newWorld(t)
	w.agent()
	w.several()
	ctx := t.Context()
	d, err := w.svc.CreateDefinition(ctx, ada, "shop", pipeline.Definition{Name: "Texts", Repo: "web", File: "ci/docs.yml"})
	if err != nil {
		t.Fatal(err)
	}
	w.commitFiles(map[string]string{"ci/after.yml": follows})
	if _, err := w.svc.CreateDefinition(ctx, ada, "shop", pipeline.Definition{Name: "After", Repo: "web", File: "ci/after.yml"}); err != nil {
		t.Fatal(err)
	}
	r, err := w.svc.StartWith(ctx, ada, d.Key(), pipeline.Request{})
	if err != nil {
		t.Fatal(err)
	}
	w.until("the run that follows", func() bool { return len(w.runs("ResourceTrigger")) == 1 })
	got := w.ends(w.runs("ResourceTrigger")[0].Number)
	if got.Result != plan.Succeeded || got.File != "ci/after.yml" || got.TriggeredBy != r.Number {
		t.Fatalf("followed by %+v", got.Run)
	}
	if log := w.everything(got); !strings.Contains(log, "Texts by Texts") {
		t.Errorf("the log says %s", log)
	}
}
