package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// rest is what a run rests on in tests.
type rest struct {
	mu   sync.Mutex
	runs map[int64]string
}

func (r *rest) Needed(context.Context) (map[int64]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[int64]string{}
	for n, why := range r.runs {
		out[n] = why
	}
	return out, nil
}

const leaving = `
steps:
- checkout: none
- bash: |
    mkdir out && echo TEXT > out/file
    echo '<testsuite name="s"><testcase name="t"/></testsuite>' > r.xml
- publish: out
  artifact: drop
- task: PublishTestResults@2
  inputs: {testResultsFormat: JUnit, testResultsFiles: r.xml}
`

// TestJ009Retention ages seven runs of a branch of which one is deployed, one is kept by hand,
// and two are the newest.
func TestJ009RunsGoWhenTheirTimeHasCome(t *testing.T) { each(t, age) }

func age(t *testing.T, on func(*world)) {
	c := &shifted{Clock: clock.System()}
	deployed := &rest{runs: map[int64]string{}}
	w := newWorld(t, on, func(w *world) { w.clock, w.needs = c, deployed })
	w.agent()
	var numbers []int64
	for i := range 6 {
		text := "the same"
		if i == 0 {
			text = "only of the first"
		}
		d := w.finish(strings.Replace(leaving, "TEXT", text, 1))
		if len(d.Artifacts) != 1 || len(d.Tests) != 1 {
			t.Fatalf("%+v", d)
		}
		numbers = append(numbers, d.Number)
	}
	if err := w.svc.SetRetention(t.Context(), ada, "shop", []pipeline.RetentionRule{{Branch: "release/*", Days: 999}, {Repo: "web", Branch: "m*", Days: 7, Keep: 2}}); err != nil {
		t.Fatal(err)
	}
	deployed.mu.Lock()
	deployed.runs[numbers[1]] = "release shop/production/1"
	deployed.mu.Unlock()
	if err := w.svc.Keep(t.Context(), ada, numbers[2], "release 1.0"); err != nil {
		t.Fatal(err)
	}
	first, err := w.svc.Show(t.Context(), ada, numbers[0])
	if err != nil {
		t.Fatal(err)
	}
	third, err := w.svc.Show(t.Context(), ada, numbers[2])
	if err != nil || third.Kept != "kept by user:ada release 1.0" {
		t.Errorf("kept: %q %v", third.Kept, err)
	}
	retain := func() {
		t.Helper()
		if err := w.svc.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	there := func(want ...int64) {
		t.Helper()
		var got []int64
		for _, r := range w.ofRepo(repoName) {
			got = append(got, r.Number)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the runs %v are there, want %v", got, want)
		}
	}
	c.forward(6 * 24 * time.Hour)
	retain()
	there(numbers...)
	c.forward(2 * 24 * time.Hour)
	if list, err := w.svc.Expired(t.Context(), ada, "shop"); err != nil || len(list) != 2 {
		t.Errorf("%d runs may go: %v", len(list), err)
	}
	retain()
	there(numbers[1], numbers[2], numbers[4], numbers[5])

	if _, err := w.svc.Show(t.Context(), ada, numbers[0]); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "removed on") {
		t.Errorf("the removed run: %v", err)
	}
	if _, err := w.svc.Show(t.Context(), identity.Actor{Kind: identity.KindUser, Name: ""}, numbers[0]); !fault.Is(err, fault.NotFound) || strings.Contains(err.Error(), "removed on") {
		t.Errorf("a stranger learns: %v", err)
	}
	w.says(first)
	w.blobs(first.Artifacts[0], third.Artifacts[0])
	if _, err := os.Stat(filepath.Join(w.opts.Data, "logs", "runs", fmt.Sprint(numbers[0]))); !os.IsNotExist(err) {
		t.Errorf("the logs of the removed run: %v", err)
	}
	if err := w.svc.Unkeep(t.Context(), ada, numbers[2]); err != nil {
		t.Fatal(err)
	}
	retain()
	there(numbers[1], numbers[4], numbers[5])
}

// says checks what the logbook keeps of a removed run.
func (w *world) says(d *pipeline.Detail) {
	w.t.Helper()
	var gone event.RunRemoved
	kinds := map[string]bool{}
	for _, e := range w.events(event.OfRun(d.Number)) {
		kinds[e.Type] = true
		if e.Type == event.TypeRunRemoved {
			if err := e.Into(&gone); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if len(gone.Artifacts) != 1 || gone.Artifacts[0].Digest != d.Artifacts[0].Digest || gone.Commit != d.Commit || len(gone.Results) != 1 {
		w.t.Errorf("the logbook says of it: %+v", gone)
	}
	if !kinds[event.TypeRunQueued] || !kinds[event.TypeArtifactPublished] || !kinds[event.TypeRunFinished] {
		w.t.Errorf("the evidence of the run has gone with it: %v", kinds)
	}
}

// blobs checks that the bytes of one artifact are gone and those of the other are not.
func (w *world) blobs(gone, there protocol.Artifact) {
	w.t.Helper()
	find := func(digest string) int {
		hex := digest[strings.IndexByte(digest, ':')+1:]
		n := 0
		err := filepath.WalkDir(filepath.Join(w.opts.Data, "blobs"), func(path string, d os.DirEntry, err error) error {
			if err == nil && strings.Contains(path, hex) {
				n++
			}
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
		return n
	}
	if find(gone.Digest) != 0 || find(there.Digest) == 0 {
		w.t.Errorf("of the artifact that went %d, of the one that is used still %d", find(gone.Digest), find(there.Digest))
	}
}

func TestJ009WhoMaySayHowLongRunsStay(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		role    identity.Role
		project string
		ok      bool
	}{{identity.Write, "shop", false}, {identity.Maintain, "shop", true}, {identity.Maintain, "", false}, {identity.Admin, "", true}} {
		who := identity.Actor{Kind: identity.KindUser, Name: "eve", Cap: tt.role}
		err := w.svc.SetRetention(t.Context(), who, tt.project, []pipeline.RetentionRule{{Days: 3}})
		if (err == nil) != tt.ok {
			t.Errorf("role %v of %q: %v", tt.role, tt.project, err)
		}
	}
	if err := w.svc.SetRetention(t.Context(), ada, "shop", []pipeline.RetentionRule{{Days: 0}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no days: %v", err)
	}
	own, all, err := w.svc.Retention(t.Context(), ada, "shop")
	if err != nil || len(own) != 1 || len(all) != 1 || all[0].Days != 3 {
		t.Errorf("%+v %+v %v", own, all, err)
	}
}
