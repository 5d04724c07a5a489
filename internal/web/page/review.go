package page

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
)

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
