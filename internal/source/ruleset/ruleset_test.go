package ruleset_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

const (
	full = "shop/web"
	zero = "0000000000000000000000000000000000000000"
)

var roles = map[string]identity.Role{"max": identity.Maintain, "wanda": identity.Write, "rita": identity.Read, "ada": identity.Admin}

func actor(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin}
}

// auth knows the table above; a run may write.
type auth struct{}

func (auth) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	has := roles[a.Name]
	if a.Kind == identity.KindRun {
		has = identity.Admin // To show that a list of roles does not mean machines.
	}
	switch {
	case project != "shop" || has < identity.Read:
		return fault.New(fault.NotFound, "There is no project %s.", project)
	case has < r:
		return fault.New(fault.Denied, "You may not.")
	}
	return nil
}

// repos is one real repository.
type repos struct{ git *git.Git }

func (r repos) Git() *git.Git { return r.git }
func (r repos) Repo(_ context.Context, _ identity.Actor, name string) (source.Repo, error) {
	if name != full {
		return source.Repo{}, fault.New(fault.NotFound, "There is no repository %s.", name)
	}
	return source.Repo{Project: "shop", Name: "web", DefaultBranch: "main"}, nil
}

type world struct {
	*ruleset.Service
	t   *testing.T
	log *event.Log
	dir string
	git *git.Git
	// Commits: one ← two ← three, one ← other, and merge of three and other.
	one, two, three, other, merge string
}

func build(t *testing.T, db *store.DB) *world {
	t.Helper()
	g, err := git.Open(t.Context(), git.Options{HooksDir: t.TempDir(), MaxInput: 1 << 20})
	check(t, err)
	t.Cleanup(g.Close)
	w := &world{t: t, log: event.New(db, clock.System()), dir: filepath.Join(t.TempDir(), "r.git"), git: g}
	check(t, os.Mkdir(w.dir, 0o755))
	w.run("init", "-q", "--bare", "--initial-branch=main")
	tree := w.run("hash-object", "-t", "tree", "-w", "--stdin")
	commit := func(parents ...string) string {
		args := []string{"commit-tree", tree, "-m", strings.Join(parents, " ")}
		for _, p := range parents {
			args = append(args, "-p", p)
		}
		return w.run(args...)
	}
	w.one = commit()
	w.two = commit(w.one)
	w.three = commit(w.two)
	w.other = w.run("commit-tree", tree, "-m", "other", "-p", w.one)
	w.merge = commit(w.three, w.other)
	w.run("update-ref", "refs/heads/main", w.two)
	w.Service = ruleset.New(ruleset.Parts{DB: db, Log: w.log, Auth: auth{}, Repos: repos{g}, Clock: clock.System(), PublicURL: "http://towpath.test"})
	return w
}

func (w *world) run(args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "git", args...)
	cmd.Dir = w.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "HOME=/nonexistent", "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *world) put(r ruleset.Ruleset) {
	w.t.Helper()
	r.Repo = full
	_, err := w.Put(w.t.Context(), actor("max"), r)
	check(w.t, err)
}

// judged returns the rules that refuse a push: "ref rule", sorted.
func (w *world) judged(p source.Push) []string {
	w.t.Helper()
	p.Repo = source.Repo{Project: "shop", Name: "web", DefaultBranch: "main"}
	p.Dir = w.dir
	refusals, err := w.Check(w.t.Context(), p)
	check(w.t, err)
	var out []string
	for _, r := range refusals {
		if r.Guard != "ruleset" || !strings.Contains(r.Text, "Next: ") || !strings.Contains(r.Text, r.Ref) {
			w.t.Errorf("a refusal without words: %+v", r)
		}
		_, rule, _ := strings.Cut(r.Rule, ": ")
		out = append(out, strings.TrimPrefix(r.Ref, "refs/heads/")+" "+rule)
	}
	slices.Sort(out)
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRules(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	mv := func(branch, from, to string) hook.Move {
		return hook.Move{Old: from, New: to, Ref: "refs/heads/" + branch}
	}
	pull := ruleset.Rules{PullRequest: &ruleset.PullRequest{}}
	for _, tt := range []struct {
		name  string
		rules ruleset.Rules
		push  source.Push
		want  []string
	}{
		{"creation", ruleset.Rules{RestrictCreation: true}, source.Push{Moves: []hook.Move{mv("release/1", zero, w.one), mv("free", zero, w.one)}}, []string{"release/1 restrict-creation"}},
		{"deletion", ruleset.Rules{RestrictDeletion: true}, source.Push{Moves: []hook.Move{mv("release/1", w.one, zero), mv("free", w.one, zero)}}, []string{"release/1 restrict-deletion"}},
		{"forward", ruleset.Rules{BlockForcePush: true}, source.Push{Moves: []hook.Move{mv("main", w.one, w.three)}}, nil},
		{"force", ruleset.Rules{BlockForcePush: true}, source.Push{Moves: []hook.Move{mv("main", w.three, w.other), mv("free", w.three, w.other)}}, []string{"main block-force-push"}},
		{"force by merge", ruleset.Rules{BlockForcePush: true}, source.Push{Door: source.DoorMerge, Pull: 1, Moves: []hook.Move{mv("main", w.three, w.two)}}, []string{"main block-force-push"}},
		{"linear", ruleset.Rules{LinearHistory: true}, source.Push{Moves: []hook.Move{mv("main", w.one, w.three)}}, nil},
		{"merge in linear", ruleset.Rules{LinearHistory: true}, source.Push{Door: source.DoorMerge, Pull: 1, Moves: []hook.Move{mv("main", w.two, w.merge)}}, []string{"main linear-history"}},
		{"merge in new linear", ruleset.Rules{LinearHistory: true}, source.Push{Moves: []hook.Move{mv("release/1", zero, w.merge)}}, []string{"release/1 linear-history"}},
		{"not on the list", ruleset.Rules{RestrictPushes: []string{"user:ada", "role:maintain"}}, source.Push{Moves: []hook.Move{mv("main", w.one, w.two)}}, []string{"main restrict-pushes"}},
		{"on the list", ruleset.Rules{RestrictPushes: []string{"user:wanda"}}, source.Push{Moves: []hook.Move{mv("main", w.one, w.two)}}, nil},
		{"on the list by role", ruleset.Rules{RestrictPushes: []string{"role:write"}}, source.Push{Moves: []hook.Move{mv("main", w.one, w.two)}}, nil},
		{"a run is no person", ruleset.Rules{RestrictPushes: []string{"role:write"}}, source.Push{Actor: identity.Actor{Kind: identity.KindRun, Name: "7"}, Moves: []hook.Move{mv("main", w.one, w.two)}}, []string{"main restrict-pushes"}},
		{"key of the same name", ruleset.Rules{RestrictPushes: []string{"user:wanda"}}, source.Push{Actor: identity.Actor{Kind: identity.KindKey, Name: "wanda"}, Moves: []hook.Move{mv("main", w.one, w.two)}}, []string{"main restrict-pushes"}},
		{"push beside a pull request", pull, source.Push{Moves: []hook.Move{mv("main", w.one, w.two)}}, []string{"main pull-request"}},
		{"checks need a pull request", ruleset.Rules{RequiredChecks: []ruleset.Check{{Name: "policy"}}}, source.Push{Moves: []hook.Move{mv("main", w.one, w.two)}}, []string{"main pull-request"}},
		{"merged", pull, source.Push{Door: source.DoorMerge, Pull: 1, Moves: []hook.Move{mv("main", w.one, w.merge)}}, nil},
		{"merged without a number", pull, source.Push{Door: source.DoorMerge, Moves: []hook.Move{mv("main", w.one, w.two)}}, []string{"main pull-request"}},
		{"number without a merge", pull, source.Push{Door: source.DoorHTTP, Pull: 1, Moves: []hook.Move{mv("main", w.one, w.two)}}, []string{"main pull-request"}},
		{"rewritten beside a pull request", pull, source.Push{Moves: []hook.Move{mv("main", w.three, w.other)}}, []string{"main block-force-push", "main pull-request"}},
		{"deleted by a merge", pull, source.Push{Door: source.DoorMerge, Pull: 1, Moves: []hook.Move{mv("main", w.one, zero)}}, []string{"main restrict-deletion"}},
		{"new, of what was reviewed", pull, source.Push{Moves: []hook.Move{mv("release/1", zero, w.one)}}, nil},
		{"new, of what was not", pull, source.Push{Moves: []hook.Move{mv("release/1", zero, w.three)}}, []string{"release/1 pull-request"}},
		{"first branch", pull, source.Push{Moves: []hook.Move{mv("main", zero, w.three)}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.put(ruleset.Ruleset{Name: "r", Enforcement: ruleset.Active, Refs: []string{"~default", "release/*"}, Rules: tt.rules})
			if tt.push.Actor.Kind == "" {
				tt.push.Actor = actor("wanda")
			}
			if d := cmp.Diff(tt.want, w.judged(tt.push)); d != "" {
				t.Error(d)
			}
			w.put(ruleset.Ruleset{Name: "r", Enforcement: ruleset.Disabled, Refs: []string{"~default", "release/*"}, Rules: tt.rules})
			if got := w.judged(tt.push); got != nil {
				t.Errorf("disabled, it refuses %v", got)
			}
		})
	}
}

// A bypass of one ruleset passes that one only, and counts when nothing else refuses.
func TestBypass(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	push := source.Push{Actor: actor("ada"), Door: source.DoorHTTP, Moves: []hook.Move{{Old: w.three, New: w.other, Ref: "refs/heads/main"}}}
	w.put(ruleset.Ruleset{Name: "a", Enforcement: ruleset.Active, Refs: []string{"main"}, Bypass: []string{"role:admin"}, Rules: ruleset.Rules{BlockForcePush: true}})
	w.put(ruleset.Ruleset{Name: "b", Enforcement: ruleset.Active, Refs: []string{"**"}, Rules: ruleset.Rules{BlockForcePush: true}})
	notes := func() (out []event.RulesetJudged) {
		list, err := w.log.Read(t.Context(), event.Query{Type: event.TypeRulesetJudged})
		check(t, err)
		for _, e := range list {
			var n event.RulesetJudged
			check(t, e.Into(&n))
			out = append(out, n)
		}
		return out
	}
	if got := w.judged(push); len(got) != 1 || len(notes()) != 0 {
		t.Errorf("refused %v, noted %+v", got, notes())
	}
	check(t, w.Delete(t.Context(), actor("max"), full, "b"))
	if got := w.judged(push); got != nil {
		t.Errorf("refused %v", got)
	}
	want := []event.RulesetJudged{{V: 1, Repo: full, Ruleset: "a", Outcome: "bypassed", Door: "http", Refusals: []event.Refusal{{Guard: "ruleset", Rule: "block-force-push", Ref: "refs/heads/main"}}}}
	if d := cmp.Diff(want, notes()); d != "" {
		t.Error(d)
	}
	push.Actor = actor("max")
	if got := w.judged(push); len(got) != 1 {
		t.Errorf("a maintainer passes what only an admin may: %v", got)
	}
}

func TestWhoPassesRequirements(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	passes := func(name string) bool {
		t.Helper()
		ok, err := w.Passes(t.Context(), actor(name), full, "main")
		check(t, err)
		return ok
	}
	pull := ruleset.Rules{PullRequest: &ruleset.PullRequest{Approvals: 1}}
	w.put(ruleset.Ruleset{Name: "no demand", Enforcement: ruleset.Active, Refs: []string{"**"}, Rules: ruleset.Rules{RestrictDeletion: true}})
	if passes("ada") {
		t.Error("there is nothing to pass")
	}
	w.put(ruleset.Ruleset{Name: "one", Enforcement: ruleset.Active, Refs: []string{"main"}, Bypass: []string{"role:maintain"}, Rules: pull})
	w.put(ruleset.Ruleset{Name: "elsewhere", Enforcement: ruleset.Active, Refs: []string{"side"}, Rules: pull})
	w.put(ruleset.Ruleset{Name: "soon", Enforcement: ruleset.Evaluate, Refs: []string{"main"}, Rules: pull})
	for name, want := range map[string]bool{"ada": true, "max": true, "wanda": false, "rita": false} {
		if passes(name) != want {
			t.Errorf("%s passes: %v", name, !want)
		}
	}
	w.put(ruleset.Ruleset{Name: "two", Enforcement: ruleset.Active, Refs: []string{"~default"}, Bypass: []string{"user:ada"}, Rules: ruleset.Rules{RequiredChecks: []ruleset.Check{{Name: "policy"}}}})
	if !passes("ada") || passes("max") {
		t.Error("one ruleset's bypass passes another")
	}
	if _, err := w.Passes(t.Context(), actor("stranger"), full, "main"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger asks: %v", err)
	}
}

func TestRequirementsAddUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		w.put(ruleset.Ruleset{Name: "one", Enforcement: ruleset.Active, Refs: []string{"~default"}, Rules: ruleset.Rules{
			PullRequest:    &ruleset.PullRequest{Approvals: 2, DropStale: true, Methods: []string{"merge", "squash"}},
			RequiredChecks: []ruleset.Check{{Name: "policy", Source: "system:policy"}},
		}})
		w.put(ruleset.Ruleset{Name: "all", Enforcement: ruleset.Active, Refs: []string{"**"}, Rules: ruleset.Rules{
			LinearHistory: true, PullRequest: &ruleset.PullRequest{Approvals: 1, CodeOwners: true, ResolvedThreads: true},
			RequiredChecks: []ruleset.Check{{Name: "policy", Source: "system:policy"}, {Name: "build"}},
		}})
		w.put(ruleset.Ruleset{Name: "soon", Enforcement: ruleset.Evaluate, Refs: []string{"**"}, Rules: ruleset.Rules{PullRequest: &ruleset.PullRequest{Approvals: 9}}})
		got, err := w.Requirements(t.Context(), actor("rita"), full, "main")
		check(t, err)
		want := ruleset.Requirements{
			Rulesets: []string{"all", "one"}, Pull: true, Approvals: 2, CodeOwners: true, DropStale: true, ResolvedThreads: true, Linear: true,
			Checks: []ruleset.Check{{Name: "policy", Source: "system:policy"}, {Name: "build"}}, Methods: []string{"squash"},
		}
		slices.SortFunc(got.Checks, func(a, b ruleset.Check) int { return -strings.Compare(a.Name, b.Name) })
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		_, err = w.Requirements(t.Context(), actor("stranger"), full, "main")
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("a stranger: %v", err)
		}
		// What two rulesets allow in common may be nothing.
		w.put(ruleset.Ruleset{Name: "one", Enforcement: ruleset.Active, Refs: []string{"~default"}, Rules: ruleset.Rules{PullRequest: &ruleset.PullRequest{Methods: []string{"merge"}}}})
		if got, err = w.Requirements(t.Context(), actor("rita"), full, "main"); err != nil || slices.Contains(got.Methods, "merge") || len(got.Methods) == 0 {
			t.Errorf("methods %v, %v", got.Methods, err)
		}
	})
}

func TestKeeping(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		text, err := os.ReadFile(filepath.Join("testdata", "ruleset.json"))
		check(t, err)
		var r ruleset.Ruleset
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		check(t, d.Decode(&r))
		r.Repo = full
		if _, err := w.Put(t.Context(), actor("wanda"), r); !fault.Is(err, fault.Denied) {
			t.Errorf("a writer makes a ruleset: %v", err)
		}
		first, err := w.Put(t.Context(), actor("max"), r)
		check(t, err)
		got, err := w.Get(t.Context(), actor("rita"), full, r.Name)
		check(t, err)
		if d := cmp.Diff(first, got); d != "" {
			t.Error(d)
		}
		r.Enforcement = ruleset.Evaluate
		second, err := w.Put(t.Context(), actor("max"), r)
		check(t, err)
		if second.ID != first.ID {
			t.Error("a change made another ruleset")
		}
		if _, err := w.List(t.Context(), actor("stranger"), full); !fault.Is(err, fault.NotFound) {
			t.Errorf("a stranger reads rulesets: %v", err)
		}
		if err := w.Delete(t.Context(), actor("wanda"), full, r.Name); !fault.Is(err, fault.Denied) {
			t.Errorf("a writer deletes: %v", err)
		}
		check(t, w.Delete(t.Context(), actor("max"), full, r.Name))
		if err := w.Delete(t.Context(), actor("max"), full, r.Name); !fault.Is(err, fault.NotFound) {
			t.Errorf("deleting twice: %v", err)
		}
		events, err := w.log.Read(t.Context(), event.Query{Type: event.TypeRulesetChanged})
		check(t, err)
		var actions []string
		for _, e := range events {
			var p event.RulesetChanged
			check(t, e.Into(&p))
			actions = append(actions, e.Actor+" "+p.Action)
		}
		if d := cmp.Diff([]string{"user:max created", "user:max changed", "user:max deleted"}, actions); d != "" {
			t.Error(d)
		}
	})
}

func TestRulesetsThatAreRefused(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	for name, change := range map[string]func(*ruleset.Ruleset){
		"no name":       func(r *ruleset.Ruleset) { r.Name = "" },
		"two lines":     func(r *ruleset.Ruleset) { r.Name = "a\nb" },
		"enforcement":   func(r *ruleset.Ruleset) { r.Enforcement = "on" },
		"no refs":       func(r *ruleset.Ruleset) { r.Refs = nil },
		"many refs":     func(r *ruleset.Ruleset) { r.Refs = slices.Repeat([]string{"a"}, 51) },
		"long pattern":  func(r *ruleset.Ruleset) { r.Refs = []string{strings.Repeat("a", 201)} },
		"regexp":        func(r *ruleset.Ruleset) { r.Refs = []string{"^(a+)+$"} },
		"other folder":  func(r *ruleset.Ruleset) { r.Refs = []string{"refs/pull/**"} },
		"unknown tilde": func(r *ruleset.Ruleset) { r.Refs = []string{"~all"} },
		"nobody":        func(r *ruleset.Ruleset) { r.Bypass = []string{"ada"} },
		"reader":        func(r *ruleset.Ruleset) { r.Bypass = []string{"role:read"} },
		"unknown role":  func(r *ruleset.Ruleset) { r.Bypass = []string{"role:boss"} },
		"no user":       func(r *ruleset.Ruleset) { r.Rules.RestrictPushes = []string{"user:A B"} },
		"approvals":     func(r *ruleset.Ruleset) { r.Rules.PullRequest = &ruleset.PullRequest{Approvals: 11} },
		"method":        func(r *ruleset.Ruleset) { r.Rules.PullRequest = &ruleset.PullRequest{Methods: []string{"none"}} },
		"method twice": func(r *ruleset.Ruleset) {
			r.Rules.PullRequest = &ruleset.PullRequest{Methods: []string{"merge", "merge"}}
		},
		"nameless check": func(r *ruleset.Ruleset) { r.Rules.RequiredChecks = []ruleset.Check{{}} },
	} {
		r := ruleset.Ruleset{Repo: full, Name: "r", Enforcement: ruleset.Active, Refs: []string{"main"}}
		change(&r)
		if _, err := w.Put(t.Context(), actor("max"), r); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"main", "main", true}, {"main", "maine", false}, {"main", "xmain", false}, {"", "", true}, {"*", "", true}, {"*", "main", true}, {"*", "a/b", false},
		{"**", "a/b/c", true}, {"release/*", "release/1", true}, {"release/*", "release/1/2", false}, {"release/**", "release/1/2", true}, {"release/*", "release", false},
		{"v?.?", "v1.2", true}, {"v?.?", "v1/2", false}, {"v?.?", "v10.2", false}, {"*/fix", "ada/fix", true}, {"*/fix", "a/b/fix", false}, {"**/fix", "a/b/fix", true},
		{"a*b*c", "axxbyyc", true}, {"a*b*c", "axxbyy", false}, {"***", "a/b", true}, {"[ab]", "a", false}, {"a.c", "abc", false}, {"?", "", false},
	} {
		if got := ruleset.Match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
	// Tried one way after the other, the worst pattern on the longest name would never end.
	if ruleset.Match(strings.Repeat("*a", 100), strings.Repeat("a", 249)+"b") {
		t.Error("a name that ends with b fits a pattern that ends with a")
	}
}

// Match agrees with a plain definition by recursion, on short inputs.
func FuzzMatch(f *testing.F) {
	f.Add("release/*", "release/1")
	f.Add("**/a?", "x/y/ab")
	var plain func(p, n string) bool
	plain = func(p, n string) bool {
		switch {
		case p == "":
			return n == ""
		case strings.HasPrefix(p, "**"):
			return plain(p[2:], n) || n != "" && plain(p, n[1:])
		case p[0] == '*':
			return plain(p[1:], n) || n != "" && n[0] != '/' && plain(p, n[1:])
		case n == "":
			return false
		case p[0] == '?':
			return n[0] != '/' && plain(p[1:], n[1:])
		}
		return p[0] == n[0] && plain(p[1:], n[1:])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 8 || len(name) > 12 {
			return
		}
		if got, want := ruleset.Match(pattern, name), plain(pattern, name); got != want {
			t.Errorf("Match(%q, %q) = %v", pattern, name, got)
		}
	})
}
