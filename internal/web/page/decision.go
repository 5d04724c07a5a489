package page

import (
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
)

// DecisionsView lists decisions.
type DecisionsView struct {
	Decisions []policy.Decision
	Filters   []Filter
	Points    []Filter
	More      string
}

// DecisionView is one decision with what was decided about the same objects elsewhere.
type DecisionView struct {
	policy.Decision
	Same []Sameness
}

// Sameness is one object at several points.
type Sameness struct {
	Object string
	At     []Elsewhere
}

// Elsewhere is what one decision says of an object.
type Elsewhere struct {
	policy.Decision
	Object  policy.Judged
	Verdict policy.Located // the one that is compared
	Self    bool
}

// Judgement is what policy says about a pull request's head.
type Judgement struct {
	Head      string
	Decisions []policy.Decision // the newest of each environment
	Old       bool              // they are of an earlier head
}

func judgedName(j policy.Judged) string { return objectName(j.Kind, j.Namespace, j.Name) }

// decisionState is the mark of a decision.
func decisionState(d policy.Decision) (State, string) {
	if d.Allowed {
		return Open, "allowed"
	}
	return Shut, "refused"
}

// decisionObject is what a decision was about, in few words.
func decisionObject(d policy.Decision) string {
	switch len(d.Objects) {
	case 0:
		return "nothing"
	case 1:
		return judgedName(d.Objects[0])
	}
	return strconv.Itoa(len(d.Objects)) + " objects"
}

// firstViolation is what a list says of a decision: its first rule that refuses, else that
// complains.
func firstViolation(d policy.Decision) string {
	for _, refuses := range []bool{true, false} {
		for _, o := range d.Objects {
			for _, v := range o.Verdicts {
				if v.Refuses == refuses && v.Outcome != rule.Compliant && v.Outcome != rule.Exempt {
					return v.Assignment + " · " + v.Title
				}
			}
		}
	}
	return ""
}

// told are the verdicts of an object that have something to say, refusing ones first.
func told(j policy.Judged) []policy.Located {
	var out []policy.Located
	for _, v := range j.Verdicts {
		if v.Outcome != rule.Compliant {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b policy.Located) int {
		switch {
		case a.Refuses == b.Refuses:
			return 0
		case a.Refuses:
			return -1
		}
		return 1
	})
	return out
}

func complies(j policy.Judged) int { return len(j.Verdicts) - len(told(j)) }

// sortObjects puts those with something to say first.
func sortObjects(list []policy.Judged) []policy.Judged {
	out := slices.Clone(list)
	rank := func(j policy.Judged) int {
		r := 0
		for _, v := range told(j) {
			if v.Refuses {
				return 2
			}
			r = 1
		}
		return r
	}
	slices.SortStableFunc(out, func(a, b policy.Judged) int { return rank(b) - rank(a) })
	return out
}

// quiet counts the objects that comply with everything.
func quiet(d policy.Decision) int {
	n := 0
	for _, o := range d.Objects {
		if len(told(o)) == 0 {
			n++
		}
	}
	return n
}

// loud are the objects of a decision that a rule says something about.
func loud(d policy.Decision) []policy.Judged {
	var out []policy.Judged
	for _, o := range sortObjects(d.Objects) {
		if len(told(o)) > 0 {
			out = append(out, o)
		}
	}
	return out
}

// pullOf is the pull request that a decision judges: its repository and number.
func pullOf(d policy.Decision) (repo string, number int64, ok bool) {
	for _, j := range d.Judges {
		if j.Kind() != event.KindPull {
			continue
		}
		i := strings.LastIndexByte(j.ID(), '/')
		if i < 0 {
			return "", 0, false
		}
		n, err := strconv.ParseInt(j.ID()[i+1:], 10, 64)
		return j.ID()[:i], n, err == nil
	}
	return "", 0, false
}

// judgedHref is the page of what a decision is about, "" when it has none.
func judgedHref(s Shell, j event.Subject) string {
	id := j.ID()
	switch j.Kind() {
	case event.KindRun:
		return s.At("/runs/" + id)
	case event.KindRelease:
		if p := strings.Split(id, "/"); len(p) == 3 {
			return s.At("/environments/" + Esc(p[1]) + "/releases/" + p[2])
		}
	case event.KindPull:
		if p := strings.Split(id, "/"); len(p) == 3 {
			return s.At("/pulls/" + Esc(p[1]) + "/" + p[2])
		}
	case event.KindCommit, event.KindPod:
		return s.At("/trace/" + j.Kind() + "/" + Esc(id))
	case event.KindImage:
		return s.At("/images/" + id)
	}
	return ""
}

// judgedWord is what a decision is about, in words.
func judgedWord(j event.Subject) string {
	switch j.Kind() {
	case event.KindRun:
		return "run " + j.ID()
	case event.KindPull:
		return "pull request #" + j.ID()[strings.LastIndexByte(j.ID(), '/')+1:]
	case event.KindRelease:
		return "release " + j.ID()
	}
	return j.Kind() + " " + Short(j.ID())
}

// sourceHref leads to a place of a repository at the commit that was judged.
func sourceHref(s Shell, d policy.Decision, at policy.Source) string {
	if at.File == "" || d.Commit == "" {
		return ""
	}
	repo, _, ok := pullOf(d)
	if !ok {
		repo = d.Project + "/" + d.Project
	}
	h := s.of(d.Project).At("/code/" + Esc(RepoName(repo)) + "/blob/" + d.Commit + "/" + EscPath(at.File))
	if at.Line > 0 {
		h += "#L" + strconv.Itoa(at.Line)
	}
	return h
}

func sourceWord(at policy.Source) string {
	if at.Line == 0 {
		return at.File
	}
	return at.File + ":" + strconv.Itoa(at.Line)
}

// at returns the place of a violation in the repository, zero when it is not known.
func placeOf(v policy.Located, i int) policy.Source {
	if i < len(v.At) {
		return v.At[i]
	}
	return policy.Source{}
}

func (v Sameness) self() Elsewhere {
	for _, e := range v.At {
		if e.Self {
			return e
		}
	}
	return Elsewhere{}
}

func firstPath(v policy.Located) string {
	if len(v.Violations) == 0 {
		return ""
	}
	return v.Violations[0].Path
}

// firstWords are the message and the fix of a decision's first refusal.
func firstWords(d policy.Decision) (message, fix string) {
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if !v.Refuses {
				continue
			}
			if len(v.Violations) > 0 {
				return v.Violations[0].Message, v.Fix
			}
			return v.Why, v.Fix
		}
	}
	return "", ""
}
