package plan

import (
	"slices"
	"strings"
)

// Filter is an include and exclude list with wildcards: "*" stands for any
// run of characters, slashes included, and "?" for one character.
type Filter struct {
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
}

// Empty reports whether the filter names nothing, in which case it lets
// everything pass.
func (f Filter) Empty() bool { return len(f.Include) == 0 && len(f.Exclude) == 0 }

// Trigger decides which pushes start a run (X021).
type Trigger struct {
	// Disabled is "trigger: none".
	Disabled bool `json:"disabled,omitempty"`
	// Implied says that the file has no "trigger", which means every branch; a
	// project may switch implied triggers off.
	Implied bool `json:"implied,omitempty"`
	// Batch asks for one run at a time: while one runs, pushes collect, and the
	// next run takes the newest of them.
	Batch    bool   `json:"batch,omitempty"`
	Branches Filter `json:"branches,omitzero"`
	Paths    Filter `json:"paths,omitzero"`
	Tags     Filter `json:"tags,omitzero"`
}

// Matches reports whether a push to ref that changed the given paths starts a
// run. A ref without "refs/" is a branch name. Paths are relative to the root
// of the repository and written with slashes; an empty list means that they are
// not known, as for a new branch, and lets the path filter pass. Tags start a
// run only when the trigger filters tags, or names them as "refs/tags/…" among
// its branches, and they have no path filter.
func (t Trigger) Matches(ref string, changedPaths []string) bool {
	if t.Disabled {
		return false
	}
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return !t.Tags.Empty() && t.Tags.matchNames(tag, "refs/tags/") || t.namesTag(ref)
	}
	return t.Branches.matchNames(strings.TrimPrefix(ref, "refs/heads/"), "refs/heads/") && t.Paths.matchPaths(changedPaths)
}

// namesTag reports whether the branch filter includes the tag by its full name.
func (t Trigger) namesTag(ref string) bool {
	full := func(pattern string) bool { return strings.HasPrefix(pattern, "refs/tags/") && wildcard(pattern, ref) }
	return slices.ContainsFunc(t.Branches.Include, full) && !slices.ContainsFunc(t.Branches.Exclude, full)
}

// PRTrigger decides which pull requests start a run (X022). Branches are the
// branches that the pull request wants to go into.
type PRTrigger struct {
	Disabled bool `json:"disabled,omitempty"`
	// Implied says that the file has no "pr", which means every pull request.
	Implied bool `json:"implied,omitempty"`
	// AutoCancel cancels the run of a pull request when a new push replaces it.
	AutoCancel bool `json:"autoCancel"`
	// Drafts says whether draft pull requests count.
	Drafts   bool   `json:"drafts"`
	Branches Filter `json:"branches,omitzero"`
	Paths    Filter `json:"paths,omitzero"`
}

// Matches reports whether a pull request into the given branch that changes the
// given paths starts a run; draft says whether it is a draft.
func (t PRTrigger) Matches(targetBranch string, changedPaths []string, draft bool) bool {
	if t.Disabled || draft && !t.Drafts {
		return false
	}
	branch := strings.TrimPrefix(targetBranch, "refs/heads/")
	return t.Branches.matchNames(branch, "refs/heads/") && t.Paths.matchPaths(changedPaths)
}

// Schedule is one timed trigger.
type Schedule struct {
	// Cron is the five-field expression, in UTC.
	Cron        string `json:"cron"`
	DisplayName string `json:"displayName,omitempty"`
	// Branches are the branches to run for; an exclude list alone means all the
	// others (X020).
	Branches Filter `json:"branches,omitzero"`
	Batch    bool   `json:"batch,omitempty"`
	// Always runs even if nothing changed since the last successful run.
	Always bool `json:"always,omitempty"`
}

// Matches reports whether the schedule runs for a branch.
func (s Schedule) Matches(branch string) bool {
	return s.Branches.matchNames(strings.TrimPrefix(branch, "refs/heads/"), "refs/heads/")
}

// SkipsCI reports whether a commit message asks for no run. The markers are the
// ones that the service knows; case and position do not matter.
func SkipsCI(message string) bool {
	lower := strings.ToLower(message)
	for _, marker := range []string{
		"***no_ci***",
		"[skip ci]", "[ci skip]",
		"skip-checks: true", "skip-checks:true",
		"[skip azurepipelines]", "[azurepipelines skip]",
		"[skip azpipelines]", "[azpipelines skip]",
		"[skip azp]", "[azp skip]",
	} {
		if strings.Contains(lower, marker) {
			return true
		}
	}
	return false
}

// Names reports whether the filter lets a short name pass.
func (f Filter) Names(name string) bool { return f.matchNames(name, "") }

// matchNames applies the filter to a short name. Patterns may carry the prefix.
// An empty include list includes everything; exclude wins.
func (f Filter) matchNames(name, prefix string) bool {
	match := func(pattern string) bool { return wildcard(strings.TrimPrefix(pattern, prefix), name) }
	if len(f.Include) > 0 && !slices.ContainsFunc(f.Include, match) {
		return false
	}
	return !slices.ContainsFunc(f.Exclude, match)
}

// matchPaths reports whether at least one path passes the filter.
func (f Filter) matchPaths(paths []string) bool {
	if f.Empty() || len(paths) == 0 {
		return true
	}
	return slices.ContainsFunc(paths, f.matchPath)
}

// matchPath applies the filter to one path. A path that both lists name goes
// with the deeper pattern: "exclude docs" and "include docs/api" together let
// docs/api pass.
func (f Filter) matchPath(path string) bool {
	path = strings.TrimPrefix(path, "/")
	included := -1
	if len(f.Include) == 0 {
		included = 0
	}
	for _, pattern := range f.Include {
		included = max(included, pathDepth(pattern, path))
	}
	excluded := -1
	for _, pattern := range f.Exclude {
		excluded = max(excluded, pathDepth(pattern, path))
	}
	return included > excluded || included == 0 && excluded < 0
}

// pathDepth returns how specific a pattern is that covers the path, itself or
// as one of its folders, or -1 when it does not cover it. The root counts 0.
func pathDepth(pattern, path string) int {
	pattern = strings.Trim(strings.ReplaceAll(pattern, `\`, "/"), "/")
	if pattern == "" || pattern == "*" || pattern == "**" {
		return 0
	}
	depth := len(strings.Split(strings.TrimRight(pattern, "*/"), "/"))
	if strings.HasPrefix(pattern, "**/") && wildcard(pattern[3:], path) {
		return depth
	}
	for end := range len(path) + 1 {
		if (end == len(path) || path[end] == '/') && wildcard(pattern, path[:end]) {
			return depth
		}
	}
	return -1
}

// wildcard matches a pattern with "*" and "?" against the whole of text, in
// time that is linear in the text for every star.
func wildcard(pattern, text string) bool {
	star, mark, p, t := -1, 0, 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
