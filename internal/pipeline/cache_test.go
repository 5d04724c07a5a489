package pipeline_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// caching keeps a folder under the lock file; what it finds in it comes first.
const caching = `
steps:
- task: Cache@2
  inputs:
    key: '"npm" | "$(Agent.OS)" | lock/**/*.json,!lock/not.json'
    restoreKeys: |
      npm | "$(Agent.OS)"
      npm
    path: $(Pipeline.Workspace)/.npm
    cacheHitVar: HIT
- bash: echo "hit $(HIT) found $(cat "$(Pipeline.Workspace)/.npm/sub/word" 2>/dev/null)"
- bash: mkdir -p "$(Pipeline.Workspace)/.npm/sub" && echo "$(Build.SourceVersion)" > "$(Pipeline.Workspace)/.npm/sub/word"
`

// said is what the second step printed.
func said(w *world, d *pipeline.Detail) string {
	return strings.TrimSpace(w.text(d, "__default.Job", 3))
}

func TestCacheKeepsAndRestoresK027(t *testing.T) {
	w := newWorld(t)
	w.agent()
	run := func(lock string, more ...string) (*pipeline.Detail, string) {
		commit := w.push(append([]string{"azure-pipelines.yml", caching, "lock/a/p.json", lock, "lock/not.json", lock + "x"}, more...)...)
		d := w.wait(commit, over)
		want(t, w, d, plan.Succeeded, d.Result)
		return d, commit
	}
	d, first := run("one")
	want(t, w, d, "hit false found", said(w, d))
	if log := w.text(d, "__default.Job", 2); !strings.Contains(log, "Kept 2 entries") || !strings.Contains(log, "for refs/heads/main") {
		t.Errorf("the cache says\n%s", log)
	}
	// Another commit with the same lock file; what is excluded does not count.
	d, _ = run("one", "lock/not.json", "changed")
	want(t, w, d, "hit true found "+first, said(w, d))
	if log := w.text(d, "__default.Job", 2); strings.Contains(log, "Kept") {
		t.Errorf("an exact hit was kept again:\n%s", log)
	}
	// Another lock file: the newest of the first prefix that has one.
	d, third := run("two")
	want(t, w, d, "hit inexact found "+first, said(w, d))
	d, _ = run("two")
	want(t, w, d, "hit true found "+third, said(w, d))
	d = w.finish(strings.ReplaceAll(strings.ReplaceAll(caching, "lock/**/*.json,!lock/not.json", "missing/*.json"), "npm |", "npn |"))
	want(t, w, d, plan.Failed, d.Result)
	if !strings.Contains(d.Why, "no file matches missing/*.json") {
		t.Errorf("a pattern without files: %s", d.Why)
	}
}

func TestCacheOfAFailedJobIsNotKeptK027(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.wait(w.push("azure-pipelines.yml", caching+"- bash: exit 1\n", "lock/a.json", "x"), over)
	want(t, w, d, plan.Failed, d.Result)
	d = w.wait(w.push("azure-pipelines.yml", caching, "lock/a.json", "x"), over)
	want(t, w, d, "hit false found", said(w, d))
}

func TestCacheEvictsWhatIsNotUsedK027(t *testing.T) {
	w := newWorld(t, func(w *world) { w.opts.CacheLimit = 700 })
	w.agent()
	run := func(lock string) string {
		d := w.wait(w.push("azure-pipelines.yml", strings.Replace(caching, "restoreKeys: |\n      npm | \"$(Agent.OS)\"\n      npm\n", "restoreKeys: none\n", 1), "lock/a.json", lock), over)
		want(t, w, d, plan.Succeeded, d.Result)
		return strings.Fields(said(w, d))[1]
	}
	var hits []string
	for _, lock := range []string{"a", "b", "c", "d", "e", "e", "a"} {
		hits = append(hits, run(lock))
	}
	if got := strings.Join(hits, " "); got != "false false false false false true false" {
		t.Errorf("hits: %s", got)
	}
}

// A pull request is a change that nobody has reviewed: it may read what its target has kept,
// and what it keeps itself reaches neither its target nor another pull request.
func TestAPullRequestPoisonsNoCacheK027(t *testing.T) {
	w := newWorld(t)
	w.agent()
	file := "trigger: none\n" + caching
	judge := func(number int64) (string, string) {
		merge := w.push("azure-pipelines.yml", file, "lock/a.json", "same")
		p := pull(merge)
		p.Number = number
		if _, err := w.svc.StartPull(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		return said(w, w.wait(merge, over)), merge
	}
	build := func() (string, string) {
		commit := w.push("azure-pipelines.yml", file, "lock/a.json", "same")
		if _, err := w.svc.Start(t.Context(), ada, repoName, "", nil); err != nil {
			t.Fatal(err)
		}
		return said(w, w.wait(commit, over)), commit
	}
	got, evil := judge(7)
	if got != "hit false found" {
		t.Errorf("the first finds %q", got)
	}
	if got, _ := judge(7); got != "hit true found "+evil {
		t.Errorf("the pull request does not find its own: %q", got)
	}
	if got, _ := judge(8); got != "hit false found" {
		t.Errorf("another pull request finds %q", got)
	}
	got, good := build()
	if got != "hit false found" {
		t.Errorf("the default branch was poisoned: %q", got)
	}
	if got, _ := judge(9); got != "hit true found "+good {
		t.Errorf("a pull request does not read what its target keeps: %q", got)
	}
}
