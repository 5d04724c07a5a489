package page

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

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

// CheckState is where a check stands, and in words.
func CheckState(state string) (State, string) {
	switch state {
	case pull.Success:
		return Open, "passed"
	case pull.Neutral:
		return Note, "nothing to say"
	case pull.Running:
		return Passing, "running"
	case pull.Queued:
		return Held, "queued"
	case pull.Error:
		return Shut, "could not judge"
	case "":
		return Held, "not reported"
	}
	return Shut, "failed"
}

// noteState is the state of an annotation's level.
func noteState(level string) State {
	switch level {
	case pull.LevelFailure:
		return Shut
	case pull.LevelWarning:
		return Held
	}
	return Note
}

// reviewState is where a review stands, and in words.
func reviewState(r pull.Review) (State, string) {
	switch {
	case !r.Dismissed.IsZero():
		return Wait, "dismissed"
	case r.Verdict == pull.Approved && r.Counts:
		return Open, "approved"
	case r.Verdict == pull.Approved:
		return Wait, "approval is stale"
	case r.Verdict == pull.Changes && r.Counts:
		return Shut, "asked for changes"
	case r.Verdict == pull.Changes:
		return Wait, "asked for changes before"
	}
	return Note, "commented"
}

// reviewers lists everybody who was asked or has reviewed, with the review that is their
// last word.
func (v PullView) reviewers() []person {
	var out []person
	at := map[string]int{}
	put := func(name string) *person {
		if i, ok := at[name]; ok {
			return &out[i]
		}
		at[name] = len(out)
		out = append(out, person{Name: name, State: Wait, Word: "asked"})
		return &out[len(out)-1]
	}
	for _, r := range v.Pull.Reviewers {
		put(r.User).Owner = r.Owner
	}
	for _, r := range v.Reviews {
		p := put(r.Reviewer)
		st, word := reviewState(r)
		if p.Review == "" || r.Verdict != pull.Commented {
			p.State, p.Word, p.Review, p.Why = st, word, r.ID, r.Why
		}
	}
	return out
}

// person is a reviewer in the list beside the conversation.
type person struct {
	Name, Word, Why, Review string
	Owner                   bool
	State                   State
}

// sortTalk puts what is said beside the shown lines into the order of the lines.
func sortTalk(list []Talk) {
	line := func(t Talk) int {
		if t.Thread != nil {
			return t.Thread.Now.Line
		}
		return t.Note.StartLine
	}
	slices.SortStableFunc(list, func(a, b Talk) int { return cmp.Compare(line(a), line(b)) })
}

// entryWords say what happened in one line of the timeline.
func entryWords(e pull.Entry) string {
	switch e.Kind {
	case pull.EntryOpened:
		return "opened this pull request"
	case pull.EntryCommits:
		w := "pushed: " + Short(e.From) + " → " + Short(e.To)
		if e.Count > 0 {
			w += "; " + Plural(e.Count, "approval counts", "approvals count") + " no longer"
		}
		return w
	case pull.EntryTarget:
		return "changed the target from " + e.From + " to " + e.To
	case pull.EntryTitle:
		return "renamed it from “" + e.From + "”"
	case pull.EntryReady:
		return "marked it as ready for review"
	case pull.EntryDraft:
		return "made it a draft"
	case pull.EntryRequested:
		return "asked " + e.To + " for a review"
	case pull.EntryDismissed:
		return "dismissed the review of " + e.To + ": " + e.Text
	case pull.EntryClosed:
		return "closed it"
	case pull.EntryReopened:
		return "opened it again"
	case pull.EntryMerged:
		return "merged it as " + Short(e.To)
	}
	return e.Kind
}

// entryState is the mark of a line of the timeline.
func entryState(e pull.Entry) State {
	switch e.Kind {
	case pull.EntryMerged:
		return Open
	case pull.EntryClosed:
		return Shut
	}
	return Wait
}

// threadPlace is where a thread hangs, in words.
func threadPlace(t pull.Thread) string {
	if t.Now.Path != "" && !t.Outdated {
		return t.Now.Path + ":" + strconv.Itoa(t.Now.Line)
	}
	return t.Path + ":" + strconv.Itoa(t.Line)
}

// viewedID is the id of a file's box on the page.
func (f DiffFile) id() string { return "f" + strconv.Itoa(f.Index) }

// annotationsOf counts what the checks say about lines.
func annotationsOf(list []pull.Check) int {
	n := 0
	for _, c := range list {
		n += c.Count
	}
	return n
}

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

// checksWord counts the checks that passed, for the tab.
func checksWord(list []pull.Check) string {
	if len(list) == 0 {
		return "0"
	}
	ok := 0
	for _, c := range list {
		if c.OK() {
			ok++
		}
	}
	return strconv.Itoa(ok) + " of " + strconv.Itoa(len(list))
}

// checkHref is an address that a check gives, when it is one that a link may lead to.
func checkHref(u string) string {
	if strings.HasPrefix(u, "/") && !strings.HasPrefix(u, "//") {
		return u
	}
	return safeHost(u)
}

func annotPlace(a pull.Annotation) string {
	if a.StartLine == 0 {
		return a.Path
	}
	return a.Path + ":" + strconv.Itoa(a.StartLine)
}

// lineLink leads to the line of an annotation: in the difference when the file is part of
// it, else in the file.
func (v PullView) lineLink(s Shell, a pull.Annotation) string {
	for i, f := range v.Diff.Files {
		if f.New != a.Path {
			continue
		}
		for _, h := range f.Hunks {
			for _, l := range h.Lines {
				if l.Kind != git.Minus && l.New == max(a.StartLine, a.EndLine) {
					return v.tab(s, TabFiles) + "#d" + strconv.Itoa(i) + "n" + strconv.Itoa(l.New)
				}
			}
		}
	}
	to := v.code(s, "/blob/"+v.Head+"/"+EscPath(a.Path))
	if a.StartLine > 0 {
		to += "#L" + strconv.Itoa(a.StartLine)
	}
	return to
}

// fileLink leads to a file: on the page when all are shown, else to it alone.
func (v PullView) fileLink(s Shell, i int) string {
	if v.Only >= 0 {
		return v.path(s) + Query("tab", TabFiles, "file", strconv.Itoa(i))
	}
	return "#f" + strconv.Itoa(i)
}

// tail is the end of a path that tells files apart: its last two parts.
func tail(p string) string {
	parts := strings.Split(p, "/")
	if len(parts) > 2 {
		return "…/" + strings.Join(parts[len(parts)-2:], "/")
	}
	return p
}
