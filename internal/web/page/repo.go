package page

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/source/ruleset"
)

// RepoSettings is what the settings of a repository show.
type RepoSettings struct {
	RepoView
	Rulesets []ruleset.Ruleset
	Keys     []identity.Key
	Maintain bool // the visitor may change them
}

// RulesetView is the form of one ruleset.
type RulesetView struct {
	RepoView
	Set      ruleset.Ruleset
	Fresh    bool
	Maintain bool
}

// NewRuleset is what the form begins with: what most repositories want of their default
// branch.
func NewRuleset(repo string) ruleset.Ruleset {
	return ruleset.Ruleset{
		Repo: repo, Name: "main is reviewed", Enforcement: ruleset.Active, Refs: []string{"~default"},
		Rules: ruleset.Rules{
			RestrictDeletion: true, BlockForcePush: true, PullRequest: &ruleset.PullRequest{Approvals: 1, DropStale: true, ResolvedThreads: true},
			RequiredChecks: []ruleset.Check{{Name: "policy", Source: "system:policy"}},
		},
	}
}

// JSON is the ruleset as the API and the command line take it.
func (v RulesetView) JSON() string {
	set := v.Set
	set.ID, set.Changed = "", time.Time{}
	b, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return "" // A ruleset of plain values always encodes.
	}
	return string(b)
}

func (v RulesetView) pull() ruleset.PullRequest {
	if v.Set.Rules.PullRequest == nil {
		return ruleset.PullRequest{}
	}
	return *v.Set.Rules.PullRequest
}

func (v RulesetView) method(m string) bool {
	list := v.pull().Methods
	if len(list) == 0 {
		return true
	}
	for _, x := range list {
		if x == m {
			return true
		}
	}
	return false
}

// checkLines writes required checks one a line: "policy system:policy".
func checkLines(list []ruleset.Check) string {
	var out []string
	for _, c := range list {
		out = append(out, strings.TrimSpace(c.Name+" "+c.Source))
	}
	return strings.Join(out, "\n")
}

// rulesWords lists what a ruleset demands, in a few words each.
func rulesWords(r ruleset.Rules) []string {
	var out []string
	if p := r.PullRequest; p != nil {
		switch p.Approvals {
		case 0:
			out = append(out, "pull request")
		default:
			out = append(out, Plural(p.Approvals, "approval", "approvals"))
		}
		if p.CodeOwners {
			out = append(out, "code owners")
		}
	}
	for _, c := range r.RequiredChecks {
		out = append(out, "check "+c.Name)
	}
	for _, w := range []struct {
		on   bool
		text string
	}{
		{r.BlockForcePush, "no force push"}, {r.RestrictDeletion, "no deletion"}, {r.RestrictCreation, "no creation"}, {r.LinearHistory, "linear"},
		{len(r.RestrictPushes) > 0, "pushes by " + strings.Join(r.RestrictPushes, ", ")},
	} {
		if w.on {
			out = append(out, w.text)
		}
	}
	return out
}

func enforcementState(e ruleset.Enforcement) (State, string) {
	switch e {
	case ruleset.Active:
		return Open, "active"
	case ruleset.Evaluate:
		return Held, "evaluate: refuses nothing"
	}
	return Wait, "disabled"
}

// SecretsView lists what push protection has stopped.
type SecretsView struct {
	RepoView
	Findings []protect.Finding
	Bypasses []protect.Granted
	May      bool
}

// SecretView is one finding with the form that lets it through.
type SecretView struct {
	RepoView
	Finding protect.Finding
	May     bool
}

// findingState is where a stopped secret stands.
func findingState(s Shell, f protect.Finding) (State, string) {
	if f.Bypass != nil && f.Bypass.Active(s.Now) {
		return Held, "let through"
	}
	return Shut, "blocked"
}

func grantState(s Shell, g protect.Granted) (State, string) {
	switch {
	case !g.Revoked.IsZero():
		return Wait, "revoked"
	case g.Active(s.Now):
		return Held, "active"
	}
	return Wait, "expired"
}

func reasonWords(r string) string {
	switch r {
	case protect.TestValue:
		return "a test value"
	case protect.FalsePositive:
		return "no secret"
	case protect.FixLater:
		return "will be replaced"
	}
	return r
}

func findingPlace(f protect.Finding) string {
	if f.Path == "" {
		return "–"
	}
	return f.Path + ":" + strconv.Itoa(f.Line)
}

// EditView is the form that changes a file.
type EditView struct {
	RepoView
	Text   string
	Head   string // commit that the text is of
	Fresh  bool   // the file does not exist yet
	Branch string // that the commit goes to
}

// ends is the rest of a time in words: "in 6 d", "has ended".
func ends(s Shell, t time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case !t.After(s.Now):
		return "ended"
	case t.Sub(s.Now) < time.Hour:
		return "in " + strconv.Itoa(max(1, int(t.Sub(s.Now).Minutes()))) + " min"
	case t.Sub(s.Now) < 48*time.Hour:
		return "in " + strconv.Itoa(int(t.Sub(s.Now).Hours())) + " h"
	}
	return "in " + strconv.Itoa(int(t.Sub(s.Now).Hours()/24)) + " d"
}

// shellWord is a path in a command that one copies: quoted when it has to be.
func shellWord(p string) string {
	if p == "" {
		return "FILE"
	}
	if strings.Trim(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-") == "" && !strings.HasPrefix(p, "-") {
		return p
	}
	return "'./" + strings.ReplaceAll(p, "'", `'\''`) + "'"
}
