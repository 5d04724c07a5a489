package ruleset

import (
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
)

// Enforcement says what a ruleset does with what it would refuse.
type Enforcement string

// The enforcements.
const (
	Active   Enforcement = "active"   // refuse
	Evaluate Enforcement = "evaluate" // say in the logbook what would have been refused
	Disabled Enforcement = "disabled" // nothing
)

// Ruleset is what one repository demands of some of its refs. Its JSON form is what the API
// and the command line read and write:
//
//	{
//	  "name": "main is reviewed",
//	  "enforcement": "active",
//	  "refs": ["~default", "release/*", "refs/tags/v*"],
//	  "bypass": ["user:ada", "role:admin"],
//	  "rules": {
//	    "restrictCreation": true,
//	    "restrictDeletion": true,
//	    "blockForcePush": true,
//	    "linearHistory": false,
//	    "restrictPushes": ["role:maintain"],
//	    "pullRequest": {"approvals": 1, "codeOwners": true, "dropStale": true, "resolvedThreads": true, "item": true, "methods": ["squash"]},
//	    "requiredChecks": [{"name": "policy", "source": "system:policy"}]
//	  }
//	}
type Ruleset struct {
	ID          string      `json:"id,omitempty"` // chosen by the service
	Repo        string      `json:"repo"`         // "project/repo"
	Name        string      `json:"name"`         // unique in the repository
	Enforcement Enforcement `json:"enforcement"`
	// Refs are patterns: "~default" is the default branch, "main" and "release/*" are
	// branches, "refs/tags/v*" are tags. "*" and "?" stay within a part of the name, "**"
	// does not.
	Refs []string `json:"refs"`
	// Bypass lists who may pass: "user:ada", "role:admin" (who has that role in the project,
	// or a higher one), "key:<id>" (a deploy key). Each use is recorded.
	Bypass  []string  `json:"bypass,omitempty"`
	Rules   Rules     `json:"rules"`
	Changed time.Time `json:"changed,omitzero"`
}

// Rules are what a ruleset demands; the zero value of each demands nothing.
type Rules struct {
	RestrictCreation bool `json:"restrictCreation,omitempty"` // no new refs
	RestrictDeletion bool `json:"restrictDeletion,omitempty"` // no ref goes away
	BlockForcePush   bool `json:"blockForcePush,omitempty"`   // no commit is dropped
	LinearHistory    bool `json:"linearHistory,omitempty"`    // no merge commit comes in
	// RestrictPushes lists who may move the refs at all, in the form of Bypass.
	RestrictPushes []string     `json:"restrictPushes,omitempty"`
	PullRequest    *PullRequest `json:"pullRequest,omitempty"` // commits come by pull request only
	// RequiredChecks must have succeeded on the head of a pull request. They can be judged
	// only there, so that they demand one.
	RequiredChecks []Check `json:"requiredChecks,omitempty"`
}

// PullRequest is what a ruleset demands of a pull request before it is merged.
type PullRequest struct {
	Approvals       int  `json:"approvals,omitempty"` // 0 to 10
	CodeOwners      bool `json:"codeOwners,omitempty"`
	DropStale       bool `json:"dropStale,omitempty"`
	ResolvedThreads bool `json:"resolvedThreads,omitempty"`
	// Item wants a reference to an item of the project: AB#12 or #12 in title, body or the
	// message of a commit, or a branch such as 12-fix-cart.
	Item    bool     `json:"item,omitempty"`
	Methods []string `json:"methods,omitempty"` // merge, squash, rebase; none means all
}

// pull reports whether commits come by pull request only.
func (r Rules) pull() bool { return r.PullRequest != nil || len(r.RequiredChecks) > 0 }

// demands reports whether pull requests have something to fulfil.
func (r Rules) demands() bool { return r.pull() || r.LinearHistory }

// Limits of a ruleset.
const (
	maxRulesets = 50 // of a repository
	maxList     = 50 // patterns, people, checks
	maxName     = 100
	maxPattern  = 200
)

// check refuses a ruleset that cannot be meant.
func (r Ruleset) check() error {
	invalid := func(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
	switch {
	case strings.TrimSpace(r.Name) != r.Name || r.Name == "" || len(r.Name) > maxName || strings.ContainsFunc(r.Name, unprintable):
		return invalid("A ruleset needs a name of 1 to %d bytes on one line.", maxName)
	case r.Enforcement != Active && r.Enforcement != Evaluate && r.Enforcement != Disabled:
		return invalid("%q is no enforcement: use active, evaluate or disabled.", clip(string(r.Enforcement)))
	case len(r.Refs) == 0 || len(r.Refs) > maxList:
		return invalid("A ruleset names 1 to %d patterns of refs, such as \"~default\" or \"release/*\".", maxList)
	case len(r.Bypass) > maxList || len(r.Rules.RestrictPushes) > maxList || len(r.Rules.RequiredChecks) > maxList:
		return invalid("A list in a ruleset has at most %d entries.", maxList)
	}
	for _, p := range r.Refs {
		if err := checkPattern(p); err != nil {
			return err
		}
	}
	for _, who := range slices.Concat(r.Bypass, r.Rules.RestrictPushes) {
		if err := checkWho(who); err != nil {
			return err
		}
	}
	return r.Rules.check()
}

func (r Rules) check() error {
	for _, c := range r.RequiredChecks {
		if c.Name == "" || len(c.Name) > maxName || len(c.Source) > maxName || strings.ContainsFunc(c.Name+c.Source, unprintable) {
			return fault.New(fault.Invalid, "A required check has a name, and a source, of at most %d bytes.", maxName)
		}
	}
	if r.PullRequest == nil {
		return nil
	}
	if r.PullRequest.Approvals < 0 || r.PullRequest.Approvals > 10 {
		return fault.New(fault.Invalid, "A pull request can need 0 to 10 approvals, not %d.", r.PullRequest.Approvals)
	}
	for i, m := range r.PullRequest.Methods {
		if !slices.Contains(methods, m) || slices.Contains(r.PullRequest.Methods[:i], m) {
			return fault.New(fault.Invalid, "%q is no way to merge, or named twice: use merge, squash and rebase.", clip(m))
		}
	}
	return nil
}

var methods = []string{"merge", "squash", "rebase"}

func checkPattern(p string) error {
	ref := strings.NewReplacer("*", "x", "?", "x").Replace(full(p))
	if p != refDefault && (p == "" || len(p) > maxPattern || git.CheckRef(ref) != "") {
		return fault.New(fault.Invalid, "%q is no pattern of refs.", clip(p)).
			WithNext("use ~default, a branch such as main, a glob such as release/*, or refs/tags/v*")
	}
	if strings.HasPrefix(p, "refs/") && !strings.HasPrefix(p, "refs/heads/") && !strings.HasPrefix(p, "refs/tags/") {
		return fault.New(fault.Invalid, "The pattern %q can only name branches (refs/heads/) and tags (refs/tags/).", clip(p))
	}
	return nil
}

func checkWho(who string) error {
	kind, name, _ := strings.Cut(who, ":")
	ok := false
	switch kind {
	case identity.KindUser:
		ok = identity.CheckUserName(name) == nil
	case identity.KindKey:
		ok = name != "" && len(name) <= maxName
	case "role":
		role, known := identity.ParseRole(name)
		ok = known && role >= identity.Write
	}
	if !ok {
		return fault.New(fault.Invalid, "%q names nobody who could push.", clip(who)).
			WithNext("use user:NAME, role:write, role:maintain, role:admin or key:ID")
	}
	return nil
}

func unprintable(r rune) bool { return r < 0x20 || r == 0x7f }

// clip shortens foreign text for a message.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }
