package chart

import (
	"slices"

	"github.com/Masterminds/semver/v3"

	"towpath.dev/towpath/internal/fault"
)

// choose returns the index of the version that is asked for, -1 when there is none: the very
// same, else the newest that a range has. "" is every version that is no pre-release.
func choose(versions []string, want string) (int, error) {
	if want != "" {
		if i := slices.Index(versions, want); i >= 0 {
			return i, nil
		}
	} else {
		want = "*"
	}
	within, err := semver.NewConstraint(want)
	if err != nil {
		return -1, fault.New(fault.Invalid, "%q is neither a version nor a range of versions.", want).WithNext("write it as 1.2.3 or ^1.2")
	}
	best, newest := -1, (*semver.Version)(nil)
	for i, text := range versions {
		v, err := semver.NewVersion(text)
		if err != nil || !within.Check(v) {
			continue
		}
		if newest == nil || v.GreaterThan(newest) {
			best, newest = i, v
		}
	}
	return best, nil
}

// exact reports whether a text is one whole version, and no range.
func exact(text string) bool {
	_, err := semver.StrictNewVersion(text)
	return err == nil
}
