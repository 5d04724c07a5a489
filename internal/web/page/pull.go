package page

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
)

// PullList is what the list of pull requests shows.
type PullList struct {
	Pulls   []pull.Pull
	Filters []Filter
	Query   string
	More    string
	Repos   []source.Repo
}

// NewPull is the form that opens a pull request.
type NewPull struct {
	Repos    []source.Repo
	Repo     source.Repo
	Branches []git.Ref
	Source   string
	Target   string
	Title    string
	Body     string
	Commits  []git.Commit
	Diff     git.Diff
	Files    []DiffFile
	Same     bool // the source brings nothing that the target has not
	Existing *pull.Pull
}

// Tabs of a pull request.
const (
	TabFiles    = "files"
	TabChecks   = "checks"
	TabVerdicts = "verdicts"
	TabCommits  = "commits"
)

// PullView is what a pull request's page shows.
type PullView struct {
	pull.Pull
	Tab      string
	Gate     pull.Gate
	Timeline []pull.Entry
	Reviews  []pull.Review
	Checks   []pull.Check
	Commits  []git.Commit
	Diff     git.Diff
	Files    []DiffFile
	Lost     []Talk // annotations on files that the pull request does not change
	Only     int
	Branches []git.Ref // that may be its target
	Edit     bool      // the form for title, text and target is open
	Verdicts Judgement // only of its tab
	May      bool      // the visitor may write
	Maintain bool      // the visitor may dismiss reviews
	Mine     bool      // the visitor opened it
	Apps     []deploy.Environment
}

// PullHref is the page of a pull request.
func PullHref(s Shell, repo string, number int64) string {
	return s.At("/pulls/" + Esc(RepoName(repo)) + "/" + strconv.FormatInt(number, 10))
}

func (v PullView) path(s Shell) string { return PullHref(s, v.Repo, v.Number) }

func (v PullView) tab(s Shell, tab string) string { return v.path(s) + Query("tab", tab) }

func (v PullView) code(s Shell, rest string) string {
	return s.At("/code/" + Esc(RepoName(v.Repo)) + rest)
}

// PullState is where a pull request stands, and in words.
func PullState(p pull.Pull) (State, string) {
	switch {
	case p.State == pull.Merged:
		return Open, "merged"
	case p.State == pull.Closed:
		return Shut, "closed"
	case p.Draft:
		return Wait, "draft"
	}
	return Note, "open"
}

// listState is the state that lists show: conflicts too.
func listState(p pull.Pull) (State, string) {
	st, word := PullState(p)
	if word == "open" && len(p.Conflicts) > 0 {
		return Shut, "conflicts"
	}
	return st, word
}

// gateState is where the merge stands, and in words.
func (v PullView) gateState() (State, string) {
	n := len(v.Gate.Blocks)
	switch {
	case v.State == pull.Merged:
		return Open, "Merged"
	case v.State == pull.Closed:
		return Shut, "Closed without a merge"
	case n == 0 && v.Gate.Allowed && v.failed() > 0:
		return Held, "May be merged, though " + Plural(v.failed(), "check has", "checks have") + " not passed"
	case n == 0 && v.Gate.Allowed:
		return Open, "Ready to merge"
	case n == 0:
		return Held, "Ready, but not for you to merge"
	}
	st := Held
	for _, b := range v.Gate.Blocks {
		if blockState(b) == Shut {
			st = Shut
		}
	}
	return st, Plural(n, "thing stands", "things stand") + " between this and its merge"
}

// failed counts the checks of the head that ended and did not pass: no ruleset may demand
// them, but who merges should know.
func (v PullView) failed() int {
	n := 0
	for _, c := range v.Checks {
		if c.Final() && !c.OK() {
			n++
		}
	}
	return n
}

// blockState tells what waits for somebody from what is refused.
func blockState(b pull.Block) State {
	if b.Waiting {
		return Passing
	}
	switch b.Kind {
	case pull.BlockReview, pull.BlockOwner, pull.BlockThread, pull.BlockDraft:
		return Held
	}
	return Shut
}

// whoWords says who can release a block.
func whoWords(list []string) string {
	var out []string
	for _, w := range list {
		kind, name, _ := strings.Cut(w, ":")
		switch kind {
		case "role":
			out = append(out, "anyone with the role "+name)
		default:
			out = append(out, Actor(w))
		}
	}
	if len(out) > 6 {
		out = append(out[:6], strconv.Itoa(len(out)-6)+" more")
	}
	return strings.Join(out, ", ")
}

// methodWords are the words on the button of a method.
func methodWords(m string) string {
	switch m {
	case pull.MethodSquash:
		return "Squash and merge"
	case pull.MethodRebase:
		return "Rebase and merge"
	}
	return "Merge"
}

// id is the id of a file's box on the page.
func (f DiffFile) id() string { return "f" + strconv.Itoa(f.Index) }

func firstState(s State, _ string) State { return s }

func methodPast(m string) string {
	switch m {
	case pull.MethodSquash:
		return "squashed"
	case pull.MethodRebase:
		return "rebased"
	case pull.MethodPush:
		return "pushed"
	}
	return "merged"
}

func ownerWords(o pull.Owned) string {
	if len(o.Owners) > 2 {
		return "one of " + strconv.Itoa(len(o.Owners)) + " owners"
	}
	return strings.Join(o.Owners, " or ")
}
