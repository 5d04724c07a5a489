package ruleset

import (
	"strings"

	"towpath.dev/towpath/internal/source"
)

// refDefault is the pattern of the default branch.
const refDefault = "~default"

// full gives a pattern the folder that it leaves out: without "refs/" it means branches.
func full(pattern string) string {
	if strings.HasPrefix(pattern, "refs/") {
		return pattern
	}
	return "refs/heads/" + pattern
}

// covers reports whether a ruleset speaks of a ref, given by its full name.
func (r Ruleset) covers(repo source.Repo, ref string) bool {
	for _, p := range r.Refs {
		if p == refDefault && ref == "refs/heads/"+repo.DefaultBranch {
			return true
		}
		if p != refDefault && Match(full(p), ref) {
			return true
		}
	}
	return false
}

// Match reports whether a whole name fits a glob: "?" is one character but "/", "*" any
// number of them, "**" any number of any characters; everything else is itself. It costs at
// most len(pattern) × len(name) steps, whatever they are.
func Match(pattern, name string) bool {
	// at[i] says that what was read of the pattern fits name[:i].
	at := make([]bool, len(name)+1)
	at[0] = true
	for p := 0; p < len(pattern); p++ {
		switch c := pattern[p]; {
		case c == '*' && p+1 < len(pattern) && pattern[p+1] == '*':
			p++
			for i := 1; i <= len(name); i++ {
				at[i] = at[i] || at[i-1]
			}
		case c == '*':
			for i := 1; i <= len(name); i++ {
				at[i] = at[i] || at[i-1] && name[i-1] != '/'
			}
		default:
			for i := len(name); i > 0; i-- {
				at[i] = at[i-1] && (name[i-1] == c || c == '?' && name[i-1] != '/')
			}
			at[0] = false
		}
	}
	return at[len(name)]
}
