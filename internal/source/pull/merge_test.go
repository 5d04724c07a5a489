package pull_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/source/ruleset"
)

// series pushes a branch of three commits by three authors, of which one begins from an
// older main, and returns the pull request.
func (w *world) series() pull.Pull {
	w.t.Helper()
	base := w.tip("refs/heads/main")
	w.move("ada", "refs/heads/series", "", func(s *source.Scratch) string {
		one := w.commit(s, []string{base}, "grace", time.Unix(1500000000, 0).In(time.FixedZone("", 5400)), "first\n\nwith a body", map[string]string{"one.txt": "1\n"})
		two := w.commit(s, []string{one}, "edsger", time.Unix(1500000100, 0).UTC(), "second\n\nCo-authored-by: Barbara <barbara@example.org>", map[string]string{"two.txt": "2\n"})
		return w.commit(s, []string{two}, "grace", time.Unix(1500000200, 0).UTC(), "third", map[string]string{"one.txt": "1\n1\n"})
	})
	w.push("max", "main", "", map[string]string{"a.txt": lines("ONE", "two", "three", "four", "five", "six", "seven", "eight", "nine")})
	return w.open("series", "main")
}

type told struct {
	Title, Author, Mail string
	Authored            time.Time
	Parents             int
}

func (w *world) history(from string, n int) []told {
	w.t.Helper()
	list, err := w.src.Git().Log(w.t.Context(), w.dir, from, "", 0, n)
	check(w.t, err)
	var out []told
	for _, c := range list {
		out = append(out, told{c.Title, c.Author.Name, c.Author.Email, c.Author.When.UTC(), len(c.Parents)})
	}
	return out
}

// The three ways give the same files; they differ in the history, which keeps its authors.
func TestMethods(t *testing.T) {
	var trees []string
	for _, method := range []string{pull.MethodMerge, pull.MethodSquash, pull.MethodRebase} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t)
			p := w.series()
			tip := w.tip("refs/heads/main")
			done, err := w.Merge(t.Context(), actor("wanda"), repo, p.Number, pull.Merge{Method: method})
			check(t, err)
			g := w.src.Git()
			tree, err := g.TreeOf(t.Context(), w.dir, nil, done.Result)
			check(t, err)
			trees = append(trees, tree)
			test, err := g.TreeOf(t.Context(), w.dir, nil, p.Test)
			check(t, err)
			if tree != test {
				t.Error("the merge gave something else than the test merge")
			}
			if ok, err := g.IsAncestor(t.Context(), w.dir, nil, tip, done.Result); err != nil || !ok {
				t.Errorf("the target lost commits: %v", err)
			}
			first := told{"first", "grace", "grace@example.org", time.Unix(1500000000, 0).UTC(), 1}
			second := told{"second", "edsger", "edsger@example.org", time.Unix(1500000100, 0).UTC(), 1}
			third := told{"third", "grace", "grace@example.org", time.Unix(1500000200, 0).UTC(), 1}
			commits, err := g.Commits(t.Context(), w.dir, []string{done.Result})
			check(t, err)
			if c := commits[0].Committer; c.Name != "wanda" || c.Email != "wanda@towpath.test" {
				t.Errorf("committed by %+v", c)
			}
			switch method {
			case pull.MethodMerge:
				if c := commits[0]; c.Title != "Merge pull request #1 from series" || len(c.Parents) != 2 || c.Parents[0] != tip || c.Parents[1] != p.Head {
					t.Errorf("%+v", c)
				}
			case pull.MethodSquash:
				want := "Co-authored-by: edsger <edsger@example.org>\nCo-authored-by: Barbara <barbara@example.org>"
				if c := commits[0]; c.Title != "Change series (#1)" || len(c.Parents) != 1 || c.Parents[0] != tip || c.Author.Name != "grace" || c.Body != want {
					t.Errorf("%+v", c)
				}
			case pull.MethodRebase:
				if diff := cmp.Diff([]told{third, second, first}, w.history(done.Result, 3)); diff != "" {
					t.Errorf("history (-want +got):\n%s", diff)
				}
				if c := commits[0]; c.Hash == p.Head {
					t.Error("nothing was rebased")
				}
			}
			if _, err := g.Run(t.Context(), w.dir, nil, 1<<20, "fsck", "--no-dangling"); err != nil {
				t.Error(err)
			}
		})
	}
	if len(trees) == 3 && (trees[0] != trees[1] || trees[1] != trees[2]) {
		t.Errorf("trees %v", trees)
	}
}

// On top of the target already, a rebase keeps the commits as they are, with their checks.
func TestRebaseThatMovesOnly(t *testing.T) {
	w := newWorld(t)
	p := w.propose("fix", map[string]string{"b.txt": "b\n"})
	done, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Method: pull.MethodRebase})
	if err != nil || done.Result != p.Head {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestRebaseRefusals(t *testing.T) {
	w := newWorld(t)
	base := w.tip("refs/heads/main")
	// A branch with a merge of its own.
	w.push("ada", "side", "main", map[string]string{"s.txt": "s\n"})
	w.push("max", "main", "", map[string]string{"m.txt": "m\n"})
	side, main := w.tip("refs/heads/side"), w.tip("refs/heads/main")
	w.move("ada", "refs/heads/side", side, func(s *source.Scratch) string {
		return w.commit(s, []string{side, main}, "ada", time.Unix(1600000000, 0), "merge main", map[string]string{"m.txt": "m\n"})
	})
	p := w.open("side", "main")
	w.push("max", "main", "", map[string]string{"n.txt": "n\n"})
	_, err := w.Merge(t.Context(), actor("wanda"), repo, p.Number, pull.Merge{Method: pull.MethodRebase})
	wants(t, err, fault.Conflict)
	// A commit that conflicts, and is undone by the next.
	w.move("ada", "refs/heads/detour", "", func(s *source.Scratch) string {
		there := w.commit(s, []string{base}, "ada", time.Unix(1600000000, 0), "there", map[string]string{"n.txt": "mine\n"})
		return w.commit(s, []string{there}, "ada", time.Unix(1600000100, 0), "and back", map[string]string{"n.txt": "-", "o.txt": "o\n"})
	})
	p = w.open("detour", "main")
	before := w.tip("refs/heads/main")
	_, err = w.Merge(t.Context(), actor("wanda"), repo, p.Number, pull.Merge{Method: pull.MethodRebase})
	wants(t, err, fault.Conflict)
	if w.tip("refs/heads/main") != before || w.get(p.Number).State != pull.Open {
		t.Error("a refused rebase changed something")
	}
	if _, err = w.Merge(t.Context(), actor("wanda"), repo, p.Number, pull.Merge{Method: pull.MethodSquash}); err != nil {
		t.Error(err)
	}
}

func TestMethodsThatRulesetsAllow(t *testing.T) {
	w := newWorld(t)
	w.protect(ruleset.Rules{LinearHistory: true, PullRequest: &ruleset.PullRequest{Methods: []string{"squash", "merge"}}})
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	for _, m := range []string{pull.MethodMerge, pull.MethodRebase} {
		_, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Method: m})
		if got := blocked(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "ruleset: The method "+m) {
			t.Errorf("%s: %v", m, got)
		}
	}
	p, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{})
	if err != nil || p.Method != pull.MethodSquash {
		t.Errorf("%+v, %v", p, err)
	}
}

// words is a guard as push protection is one: it reads the new objects, and refuses those
// in which both halves of a word stand.
type words struct {
	git  *git.Git
	seen int
}

func (g *words) Check(ctx context.Context, p source.Push) ([]source.Refusal, error) {
	if p.Door != source.DoorMerge || p.Objects == "" {
		return nil, nil
	}
	env := []string{"GIT_OBJECT_DIRECTORY=" + p.Objects}
	list, err := g.git.RunEnv(ctx, p.Dir, env, nil, 1<<20, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(list)) {
		hash, ok := strings.CutPrefix(strings.TrimSpace(line), "blob ")
		if !ok {
			continue
		}
		g.seen++
		data, err := g.git.RunEnv(ctx, p.Dir, env, nil, 1<<20, "cat-file", "blob", hash)
		if err != nil {
			return nil, err
		}
		if bytes.Contains(data, []byte("FIRST HALF")) && bytes.Contains(data, []byte("SECOND HALF")) {
			return []source.Refusal{{Refusal: event.Refusal{Guard: "words", Rule: "word"}, Text: "both halves of the word"}}, nil
		}
	}
	return nil, nil
}

// What only the merge puts together is judged as if it were pushed, in each of the ways;
// the test merge that knows it already does not hide it.
func TestGuardRefusesAMerge(t *testing.T) {
	w := newWorld(t)
	guard := &words{git: w.src.Git()}
	w.src.UseGuards(guard)
	w.propose("fix", map[string]string{"a.txt": lines("FIRST HALF", "two", "three", "four", "five", "six", "seven", "eight", "nine")})
	w.push("max", "main", "", map[string]string{"a.txt": lines("one", "two", "three", "four", "five", "six", "seven", "eight", "SECOND HALF")})
	w.hear()
	if p := w.get(1); p.Test == "" || !strings.Contains(w.text(p.Test, "a.txt"), "FIRST HALF") {
		t.Fatal("there is no test merge")
	}
	main := w.tip("refs/heads/main")
	for _, method := range []string{pull.MethodMerge, pull.MethodSquash, pull.MethodRebase} {
		_, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Method: method})
		wants(t, err, fault.Denied)
		var r *source.Refused
		if !errors.As(err, &r) || r.Refusals[0].Guard != "words" {
			t.Errorf("%s: %v", method, err)
		}
	}
	if w.tip("refs/heads/main") != main || w.get(1).State != pull.Open || guard.seen == 0 {
		t.Error("a refused merge changed something, or the guard saw nothing")
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, "objects", "tmp_objdir-*")); err != nil || len(left) > 0 {
		t.Errorf("quarantines are left: %v, %v", left, err)
	}
}

// pushes is a guard that lets somebody else push while a merge is on its way, and refuses
// nothing: it moves the branch in the folder, as a push that was quicker would have.
type pushes struct {
	w     *world
	times int
	moved bool
}

func (g *pushes) Check(ctx context.Context, p source.Push) ([]source.Refusal, error) {
	if p.Door != source.DoorMerge || g.times == 0 {
		return nil, nil
	}
	g.times--
	g.moved = true
	s, err := g.w.src.Scratch(ctx, actor("max"), repo)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.Env = nil // straight into the repository
	hash := g.w.commit(s, []string{p.Moves[0].Old}, "max", time.Unix(1600000000+int64(g.times), 0), "quicker", map[string]string{"quick.txt": strings.Repeat("q", g.times+1)})
	_, err = g.w.src.Git().Run(ctx, p.Dir, nil, 1<<10, "update-ref", p.Moves[0].Ref, hash, p.Moves[0].Old)
	return nil, err
}

func TestRaceWithAPush(t *testing.T) {
	w := newWorld(t)
	race := &pushes{w: w, times: 1}
	w.src.UseGuards(race)
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	p, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{})
	if err != nil || !race.moved || w.text(p.Result, "quick.txt") != "q" || w.text(p.Result, "b.txt") != "b\n" {
		t.Fatalf("%+v, %v", p, err)
	}
	w.propose("two", map[string]string{"c.txt": "c\n"})
	race.times = 2
	_, err = w.Merge(t.Context(), actor("wanda"), repo, 2, pull.Merge{})
	wants(t, err, fault.Conflict)
	if !strings.Contains(err.Error(), "moved twice") || w.get(2).State != pull.Open {
		t.Error(err)
	}
	if _, err = w.Merge(t.Context(), actor("wanda"), repo, 2, pull.Merge{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// dies lets the door move the refs and then loses the connection: nothing after the move
// happens, as when the server is killed there.
type dies struct {
	*source.Service
	before bool // the server dies before the refs move
}

func (d dies) Update(ctx context.Context, a identity.Actor, u source.Update) error {
	if !d.before {
		if err := d.Service.Update(ctx, a, u); err != nil {
			return err
		}
	}
	panic("killed")
}

// A merge during which the server is killed is noted afterwards, once, by whom it was; one
// that did not happen leaves the pull request as it was.
func TestKilledWhileMerging(t *testing.T) {
	for _, method := range []string{pull.MethodMerge, pull.MethodSquash, pull.MethodRebase} {
		for name, before := range map[string]bool{"after the refs moved": false, "before the refs moved": true} {
			t.Run(method+" "+name, func(t *testing.T) {
				w := newWorld(t)
				w.series()
				s := pull.New(w.db, w.log, clock.System(), pull.Needs{Auth: w.ids, Repos: dies{w.src, before}, Rules: w.rules}, pull.Options{})
				func() {
					defer func() {
						if recover() == nil {
							t.Error("the server was not killed")
						}
					}()
					_, _ = s.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Method: method})
				}()
				w.restart()
				if !before { // Somebody presses the button again before the platform has looked.
					again, err := w.Merge(t.Context(), actor("ada"), repo, 1, pull.Merge{Method: method})
					if err != nil || again.EndedBy != "user:wanda" {
						t.Errorf("once more: %+v, %v", again, err)
					}
				}
				w.hear()
				p := w.get(1)
				merged := events[event.Pull](w, event.TypePullMerged, 1)
				if before {
					if p.State != pull.Open || len(merged) != 0 {
						t.Errorf("%+v", p)
					}
					_, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Method: method})
					check(t, err)
					return
				}
				if p.State != pull.Merged || p.Method != method || p.EndedBy != "user:wanda" || p.Result != w.tip("refs/heads/main") || len(merged) != 1 {
					t.Errorf("%+v, %d events", p, len(merged))
				}
			})
		}
	}
}

func TestSourceBranchThatStays(t *testing.T) {
	w := newWorld(t)
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	w.push("ada", "next", "fix", map[string]string{"c.txt": "c\n"})
	w.open("next", "fix")
	p, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{DeleteSource: true})
	if err != nil || p.State != pull.Merged || !strings.Contains(p.Notice, "pull request 2") || w.tip("refs/heads/fix") == "" {
		t.Errorf("%+v, %v", p, err)
	}
	w.propose("kept", map[string]string{"d.txt": "d\n"})
	w.protectRefs("kept", []string{"kept"}, ruleset.Rules{RestrictDeletion: true})
	p, err = w.Merge(t.Context(), actor("wanda"), repo, 3, pull.Merge{DeleteSource: true})
	if err != nil || p.State != pull.Merged || !strings.Contains(p.Notice, "cannot be deleted") || w.tip("refs/heads/kept") == "" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestDiffCommitsPaths(t *testing.T) {
	w := newWorld(t)
	w.series()
	d, err := w.Diff(t.Context(), actor("rita"), repo, 1)
	if err != nil || len(d.Files) != 2 || d.Additions != 3 {
		t.Errorf("%+v, %v", d, err)
	}
	commits, err := w.Commits(t.Context(), actor("rita"), repo, 1)
	if err != nil || len(commits) != 3 || commits[0].Title != "first" || commits[2].Title != "third" {
		t.Errorf("%+v, %v", commits, err)
	}
	paths, err := w.Paths(t.Context(), actor("rita"), repo, 1)
	if diff := cmp.Diff([]string{"one.txt", "two.txt"}, paths); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	_, err = w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Method: pull.MethodSquash, DeleteSource: true})
	check(t, err)
	if after, err := w.Diff(t.Context(), actor("rita"), repo, 1); err != nil || !cmp.Equal(after, d) {
		t.Errorf("after the merge the diff is another one: %v", err)
	}
	_, err = w.Diff(t.Context(), actor("stranger"), repo, 1)
	wants(t, err, fault.NotFound)
}
