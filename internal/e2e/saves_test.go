//go:build prove

package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// savesFlag is how often TestSaves saves; with more than one it measures every mode, which
// takes minutes.
var savesFlag = flag.Int("saves", 1, "saves of each service in each mode")

// heavy makes a program as large as services become that talk with much: what it links is
// the Kubernetes client and Helm.
const heavy = `package main

import (
	_ "helm.sh/helm/v4/pkg/action"
	_ "k8s.io/client-go/kubernetes"
)
`

// TestSaves saves a program's source and wants the keyed requests to see it, whatever its
// size and wherever it runs.
func TestSaves(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "saves")
	p.chained()
	p.deployed("First", p.imageStage(), p.toDevelopment())
	ada := p.person("ada-saves", "maintain")
	modes := map[string][]string{
		"--run":  {"--run", "go run .", "--isolation", "auto"},
		"--sync": {"--sync", "go build -o cart .", "--binary", "cart"},
	}
	small, large := p.workspace(), p.heavyWorkspace()
	if *savesFlag > 1 {
		for mode, args := range modes {
			p.saves(ada, "small "+mode, small, args)
			p.saves(ada, "large "+mode, large, args)
		}
		return
	}
	p.saves(ada, "large --sync", large, modes["--sync"])
}

// heavyWorkspace is a workspace whose program links much. Its modules are those of this one,
// which are there already.
func (p *project) heavyWorkspace() string {
	p.t.Helper()
	dir := p.workspace()
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			p.t.Fatal(err)
		}
		text := strings.Replace(string(b), "module towpath.dev/towpath", "module local", 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "heavy.go"), []byte(heavy), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// saves starts a session, saves again and again, and logs how long each took to be seen.
func (p *project) saves(who person, what, dir string, args []string) {
	p.t.Helper()
	start := time.Now()
	v := p.develop(who, 0, dir, "cart", args...)
	p.t.Logf("%s: session start %.2f s", what, v.await("ready").Seconds)
	v.await("live")
	v.open()
	v.answers(throughApp, "first")
	p.t.Logf("%s: the program answers after %.2f s", what, time.Since(start).Seconds())
	var took []time.Duration
	word := "first"
	for i := range *savesFlag {
		next := fmt.Sprintf("save-%03d", i) // No word begins another.
		saved := time.Now()
		say(p.t, dir, word, next)
		v.answers(throughApp, next)
		took = append(took, time.Since(saved).Round(time.Millisecond))
		word = next
	}
	say(p.t, dir, word, "first")
	slices.Sort(took)
	p.t.Logf("%s: %d saves seen, p50 %v, p95 %v", what, len(took), took[len(took)/2], took[min(len(took)-1, len(took)*95/100)])
	v.end()
	p.gone(v)
}
