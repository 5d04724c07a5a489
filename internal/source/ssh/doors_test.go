package ssh_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/source/ssh"
)

const zero = "0000000000000000000000000000000000000000"

// protected is a world in which main of shop/web takes commits by pull request only, and
// only ada may pass that.
func protected(t *testing.T) (w *world, c *client, head string) {
	t.Helper()
	w = newWorld(t, ssh.Limits{})
	c = w.client(w.userKey("max"))
	head = c.commit("README.md", "hello\n")
	c.git("push", "-q", w.sshURL(repo), "main")
	w.put(ruleset.Ruleset{
		Name: "reviewed", Enforcement: ruleset.Active, Refs: []string{"~default"}, Bypass: []string{"user:ada"},
		Rules: ruleset.Rules{PullRequest: &ruleset.PullRequest{Approvals: 1}},
	})
	return w, c, head
}

func (w *world) put(r ruleset.Ruleset) {
	w.t.Helper()
	r.Repo = repo
	_, err := w.rules.Put(w.t.Context(), actor("max"), r)
	check(w.t, err)
}

// at is where a branch of shop/web is.
func (w *world) at(branch string) string {
	w.t.Helper()
	hash, err := w.source.Resolve(w.t.Context(), actor("ada"), repo, "refs/heads/"+branch)
	if fault.Is(err, fault.NotFound) {
		return ""
	}
	check(w.t, err)
	return hash
}

func TestProtectedBranchThroughEveryDoor(t *testing.T) {
	w, c, head := protected(t)
	next := c.commit("README.md", "changed\n")
	c.git("push", "-q", w.sshURL(repo), "main:change") // brings the objects by an open way
	c.git("reset", "-q", "--hard", head)
	c.git("commit", "-q", "--amend", "-m", "rewritten")
	rewritten := c.git("rev-parse", "HEAD")
	c.git("push", "-q", w.sshURL(repo), "main:other")
	before := len(w.events(event.TypeCommitPushed))
	const why = `the ruleset "reviewed" refuses this: it takes commits by pull request only`
	for door, url := range map[string]string{"http": w.httpURL("max", repo), "ssh": w.sshURL(repo)} {
		t.Run(door, func(t *testing.T) {
			c.refused(why, "push", url, next+":main")
			c.refused("open a pull request: git push origin HEAD", "push", url, next+":main")
			c.refused(why, "push", "--force", url, rewritten+":main")
			c.refused("this would drop commits", "push", "--force", url, rewritten+":main")
			c.refused("it cannot be deleted", "push", url, ":main")
		})
	}
	update := func(door string, pull int64, to string) error {
		return w.source.Update(t.Context(), actor("max"), source.Update{Repo: repo, Door: door, Pull: pull, Moves: []hook.Move{{Old: head, New: to, Ref: "refs/heads/main"}}})
	}
	_, edited := w.source.Edit(t.Context(), actor("max"), source.Edit{Repo: repo, Branch: "main", Path: "README.md", Content: []byte("x")})
	for name, err := range map[string]error{
		"edit": edited, "merge without a pull request": update(source.DoorMerge, 0, next), "edit with a number": update(source.DoorEdit, 7, next),
		"delete by a merge": update(source.DoorMerge, 7, zero), "rewrite by a merge": update(source.DoorMerge, 7, rewritten),
	} {
		var refused *source.Refused
		if !fault.Is(err, fault.Denied) || !errors.As(err, &refused) || refused.Refusals[len(refused.Refusals)-1].Guard != "ruleset" && name != "delete by a merge" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := w.at("main"); got != head || len(w.events(event.TypeCommitPushed)) != before {
		t.Errorf("main is at %s, want %s", got, head)
	}
	for _, e := range w.events(event.TypePushRefused) {
		p := into[event.PushRefused](t, e)
		if e.Actor != "user:max" || e.Subject != "repo:"+repo || len(p.Refs) != 1 || p.Refs[0] != "refs/heads/main" || len(p.Refusals) == 0 {
			t.Errorf("the logbook says %+v %+v", e, p)
		}
	}
	if n := len(w.events(event.TypePushRefused)); n != 15 {
		t.Errorf("%d refusals are in the log, want 15", n)
	}
	// What the pull request service has judged is merged.
	check(t, update(source.DoorMerge, 7, next))
	if got := w.at("main"); got != next {
		t.Errorf("after the merge main is at %s", got)
	}
}

func TestBypassIsRecorded(t *testing.T) {
	w, c, _ := protected(t)
	c.key = w.userKey("ada")
	next := c.commit("README.md", "changed\n")
	c.git("push", "-q", w.sshURL(repo), "main")
	if w.at("main") != next {
		t.Error("who may pass was refused")
	}
	notes := w.events(event.TypeRulesetJudged)
	if len(notes) != 1 || notes[0].Actor != "user:ada" {
		t.Fatalf("the logbook says %+v", notes)
	}
	n := into[event.RulesetJudged](t, notes[0])
	if n.Ruleset != "reviewed" || n.Outcome != "bypassed" || n.Door != "ssh" || len(n.Refusals) != 1 || n.Refusals[0].Rule != "pull-request" {
		t.Errorf("recorded %+v", n)
	}
}

func TestEvaluateRefusesNothing(t *testing.T) {
	w, c, _ := protected(t)
	w.put(ruleset.Ruleset{
		Name: "reviewed", Enforcement: ruleset.Evaluate, Refs: []string{"~default"},
		Rules: ruleset.Rules{PullRequest: &ruleset.PullRequest{}},
	})
	next := c.commit("README.md", "changed\n")
	c.git("push", "-q", w.httpURL("max", repo), "main")
	notes := w.events(event.TypeRulesetJudged)
	if len(notes) != 1 || into[event.RulesetJudged](t, notes[0]).Outcome != "evaluated" || w.at("main") != next {
		t.Errorf("the logbook says %+v, main is at %s", notes, w.at("main"))
	}
}

// One forbidden ref refuses the whole push, and each ref is judged by itself.
func TestMultiRefPush(t *testing.T) {
	w, c, head := protected(t)
	c.commit("README.md", "changed\n")
	for _, url := range []string{w.httpURL("max", repo), w.sshURL(repo)} {
		c.refused("refs/heads/main: the ruleset", "push", url, "HEAD:free", "HEAD:main", "HEAD:refs/tags/v1")
	}
	if w.at("main") != head || w.at("free") != "" {
		t.Errorf("main is at %s, free at %q", w.at("main"), w.at("free"))
	}
	if _, err := w.source.Resolve(t.Context(), actor("ada"), repo, "refs/tags/v1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the tag: %v", err)
	}
}

// A reader cannot push by naming another service in the query.
func TestReaderPostsUnderAnotherName(t *testing.T) {
	w, _, head := protected(t)
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+"/shop/web.git/git-receive-pack?service=git-upload-pack", strings.NewReader("0000"))
	check(t, err)
	req.SetBasicAuth("rita", "x")
	req.Header.Set("Content-Type", "application/x-git-receive-pack-request")
	resp, err := w.http.Client().Do(req)
	check(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode != http.StatusForbidden || w.at("main") != head {
		t.Errorf("got %d %s", resp.StatusCode, text)
	}
}
