//go:build prove

package e2e_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/work"
)

// seeded are the faults seeded by TestFaults: "some" are two that differ the most, "all" takes two
// minutes more.
var seeded = flag.String("faults", "some", "faults that TestFaults seeds: some or all")

// seed is a regression in the sample's cart, by the constant of its source that makes it.
type seed struct {
	name, from, to string
	some           bool   // seeded by default
	why            string // that the canary gives
}

func seeds() []seed {
	return []seed{
		{name: "errors", from: "const brokenShare = 0.0", to: "const brokenShare = 0.3", some: true, why: "of the canary's requests fail"},
		{name: "latency", from: "slowBy     = 0 * time.Millisecond", to: "slowBy     = 400 * time.Millisecond", why: "p95"},
		{name: "leak", from: "leakedRead = 0", to: "leakedRead = 2 << 20"},
		{name: "panic", from: "panicAt    = 0", to: "panicAt    = 25", some: true},
	}
}

// market is the sample, with the digests of what does not change.
type market struct {
	*project
	digests map[string]string
}

var stalls = []string{"web", "catalog", "pricing", "cart"}

// newMarket lays out the sample's sources with its compiled programs.
func newMarket(t *testing.T, name string) *market {
	t.Helper()
	m := &market{&project{installation: shared, t: t, name: name, dir: filepath.Join(t.TempDir(), "app")}, map[string]string{}}
	if err := os.CopyFS(m.dir, os.DirFS("../../examples/shop")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{".gitignore", ".dockerignore", "azure-pipelines.yml"} {
		if err := os.Remove(filepath.Join(m.dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	m.compile(stalls...)
	m.initGit()
	return m
}

// compile builds programs of the sample into bin.
func (m *market) compile(names ...string) {
	m.t.Helper()
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", "bin/"}
	for _, n := range names {
		args = append(args, "./cmd/"+n)
	}
	build := exec.CommandContext(m.t.Context(), "go", args...)
	build.Dir, build.Env = m.dir, append(os.Environ(), goEnv(m.t)...)
	if out, err := build.CombinedOutput(); err != nil {
		m.t.Fatalf("building the sample: %v: %s", err, out)
	}
}

// stages build the images named and deploy the chart; the others stay as they are.
func (m *market) stages(images ...string) string {
	out := "\n  - stage: Image\n    jobs:\n      - job: Image\n        steps:\n          - checkout: self\n            fetchDepth: 1\n"
	var values, variables strings.Builder
	for _, n := range stalls {
		digest := m.digests[n]
		if slices.Contains(images, n) {
			digest = "$(" + n + "Digest)"
			variables.WriteString("          " + n + "Digest: $[ stageDependencies.Image.Image.outputs['" + n + ".digest'] ]\n")
			out += "          - task: Docker@2\n            name: " + n + "\n            inputs:\n              command: buildAndPush\n              repository: " + m.name + "/" + n +
				"\n              Dockerfile: Dockerfile\n              buildContext: .\n              arguments: --build-arg SERVICE=" + n + "\n              tags: $(Build.BuildId)\n"
		}
		// A busy host tells its service proxy late that a pod leaves, and an error is an error.
		values.WriteString("\n                      " + n + ".digest=" + digest + "\n                      " + n + ".env.DRAIN=3s")
	}
	return out + `
  - stage: Production
    jobs:
      - deployment: Production
        environment: production
        variables:
` + variables.String() + `        strategy:
          runOnce:
            deploy:
              steps:
                - checkout: self
                  fetchDepth: 1
                - task: HelmDeploy@1
                  inputs:
                    connectionType: None
                    namespace: ` + m.name + `
                    command: upgrade
                    chartType: FilePath
                    chartPath: charts/shop
                    releaseName: shop
                    install: true
                    waitForExecution: true
                    arguments: --timeout 2m
                    overrideValues: |
                      registry=$(Towpath.Registry)
                      project=` + m.name + `
                      ingress.host=` + m.host() + values.String() + "\n"
}

// turn changes a constant of the cart's source, commits that after a change that is
// innocent, and pushes both.
func (m *market) turn(title, from, to string) (run pipeline.Detail, commits []string) {
	m.t.Helper()
	const file = "cmd/cart/main.go"
	source, err := os.ReadFile(filepath.Join(m.dir, file))
	if err != nil {
		m.t.Fatal(err)
	}
	if strings.Count(string(source), from) != 1 {
		m.t.Fatalf("%s is not as this test knows it: %q is not there once", file, from)
	}
	m.git("commit", "-q", "--allow-empty", "-m", "Innocent: before "+title)
	commits = append(commits, m.git("rev-parse", "HEAD"))
	m.write(file, strings.Replace(string(source), from, to, 1))
	m.compile("cart")
	run = m.ended(m.push(title, m.stages("cart")).Number)
	return run, append(commits, run.Commit)
}

// TestFaults seeds regressions into a service of the sample, one after the other: each is
// rejected and opens exactly one item with the commits that it came with, which closes by
// itself when the mend serves. One that comes back opens the same item again.
func TestFaults(t *testing.T) {
	t.Parallel()
	m := newMarket(t, "market")
	first := m.deployed("First", m.stages(stalls...))
	for name, digest := range first.Stages[0].Jobs[0].Outputs {
		if service, ok := strings.CutSuffix(name, ".digest"); ok {
			m.digests[service] = digest
		}
	}
	m.must("env", "edit", "production", "--project", m.name, "--strategy", quickSteps)
	stop := m.shoppers("/api/shop")
	defer stop()
	m.settles()
	serving := first.Commit
	for _, s := range seeds() {
		if !s.some && *seeded != "all" {
			continue
		}
		ok := t.Run(s.name, func(t *testing.T) {
			here := *m
			here.project = m.in(t)
			item := here.breaks(s, serving, 0)
			serving = here.mends(s, item)
			if s.name == "errors" {
				here.breaks(s, serving, item)
				serving = here.mends(s, item)
			}
		})
		if !ok {
			return // What serves is not what the next one expects.
		}
	}
}

// settles waits until a new installation of the chart refuses nobody any more: the host's
// service proxy may learn later than Helm that a pod is ready. What its first requests met is
// an item of its own, which closes by itself.
func (m *market) settles() {
	m.t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: m.toDoor()}
	m.eventually("a hundred requests in a row are answered", func() error {
		for range 100 {
			if err := get(m.t.Context(), client, "http://"+m.host()+"/api/shop"); err != nil {
				return err
			}
		}
		return nil
	})
	time.Sleep(5 * time.Second) // An item that is on its way says so to nobody.
}

// open names the items that are open.
func (m *market) open() string {
	m.t.Helper()
	return titles(slices.DeleteFunc(m.items(), func(i work.Item) bool { return !i.Ended.IsZero() }))
}

// breaks seeds a regression over the commit that serves and returns the item that it opens:
// one that there was not, or when it came back the one it had.
func (m *market) breaks(s seed, serving string, had int64) int64 {
	m.t.Helper()
	before := m.items()
	run, commits := m.turn("Seed "+s.name, s.from, s.to)
	if run.Result != plan.Failed {
		m.t.Fatalf("the run with the regression ended %s\n%s", run.Result, m.log(run.Number))
	}
	v := m.trial(run.Commit, canary.Rejected)
	m.t.Logf("rejected after %s at %d %%: %s", v.Finished.Sub(v.Started), v.Weight, v.Why)
	if !strings.Contains(v.Why, s.why) {
		m.t.Errorf("the canary was rejected because %q, want %q", v.Why, s.why)
	}
	number := had
	if had == 0 {
		// Another fault of an operation that had one before is its item's again.
		m.soon("an open item about it", func() bool {
			for _, i := range m.items() {
				if i.Ended.IsZero() && !slices.ContainsFunc(before, func(b work.Item) bool { return b.Number == i.Number }) {
					number = i.Number
				}
			}
			return number != 0
		})
	}
	item := m.becomes(number, true)
	want := len(before)
	if !slices.ContainsFunc(before, func(i work.Item) bool { return i.Number == number }) {
		want++
	}
	m.t.Cleanup(func() {
		if now := m.items(); len(now) != want && !m.t.Failed() {
			m.t.Errorf("there are %d items, want %d: %s", len(now), want, titles(now))
			for _, i := range now {
				m.t.Logf("item %d, made %s, is about release %+v", i.Number, i.Created.Format(time.TimeOnly), m.cause(i.Number).Evidence)
			}
		}
	})
	m.t.Logf("item %d, %s: %s", item.Number, item.Severity, item.Title)
	c := m.cause(number)
	var suspects []string
	for _, k := range c.Suspects {
		suspects = append(suspects, k.Hash)
	}
	slices.Sort(suspects)
	slices.Sort(commits)
	if c.From != serving || c.To != run.Commit || !slices.Equal(suspects, commits) {
		m.t.Errorf("it suspects %v from %s to %s, want %v from %s to %s", suspects, c.From, c.To, commits, serving, run.Commit)
	}
	return number
}

// mends takes a regression out again, waits until its item is closed, wants that there is
// no other, and returns the commit that serves.
func (m *market) mends(s seed, item int64) string {
	m.t.Helper()
	run, _ := m.turn("Mend "+s.name, s.to, s.from)
	if run.Result != plan.Succeeded {
		m.t.Fatalf("the run with the mend ended %s: %s\n%s", run.Result, run.Why, m.log(run.Number))
	}
	m.trial(run.Commit, canary.Promoted)
	d := m.becomes(item, false)
	if n := len(d.Comments); n == 0 {
		m.t.Errorf("item %d does not say why it closed", item)
	} else {
		m.t.Logf("item %d closed %s after the run: %s", item, d.Ended.Sub(run.Finished), firstLine(d.Comments[n-1].Body))
	}
	m.soon("no other item is open", func() bool { return m.open() == "" })
	return run.Commit
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func titles(items []work.Item) string {
	var out []string
	for _, i := range items {
		out = append(out, fmt.Sprintf("%d %s %q", i.Number, i.Insight.Source, i.Title))
	}
	return strings.Join(out, "; ")
}
