package scan

import (
	"fmt"
	"slices"

	"github.com/google/osv-scalibr/semantic"

	"towpath.dev/towpath/internal/registry/supply/advisory"
)

// Affects reports whether a version of a package is affected, and the lowest version
// above it that is fixed ("" when there is none). Versions are compared by the rules
// of the ecosystem; the evaluation is that of the OSV schema ("Evaluation"). It
// returns an error when the version or a bound cannot be compared.
func Affects(a advisory.Affected, ecosystem, version string) (hit bool, fixed string, err error) {
	v, err := semantic.Parse(version, ecosystem)
	if err != nil {
		return false, "", fmt.Errorf("comparing version %q of %s: %w", version, ecosystem, err)
	}
	hit = slices.Contains(a.Versions, version)
	var fixes []string
	for _, r := range a.Ranges {
		in, err := inside(r, v, ecosystem)
		if err != nil {
			return false, "", err
		}
		hit = hit || in
		for _, e := range r {
			if e.Fixed != "" {
				fixes = append(fixes, e.Fixed)
			}
		}
	}
	if !hit {
		return false, "", nil
	}
	fixed, err = lowestAbove(fixes, v, ecosystem)
	return true, fixed, err
}

func inside(r advisory.Range, v semantic.Version, ecosystem string) (bool, error) {
	sorted := slices.Clone(r)
	var failed error
	slices.SortStableFunc(sorted, func(a, b advisory.Event) int {
		n, err := compare(bound(a), bound(b), ecosystem)
		if err != nil {
			failed = err
		}
		return n
	})
	if failed != nil {
		return false, failed
	}
	in := false
	for _, e := range sorted {
		// n is the version's place relative to the bound.
		n := 1
		if b := bound(e); b != "0" {
			var err error
			if n, err = v.CompareStr(b); err != nil {
				return false, fmt.Errorf("comparing with version %q of %s: %w", b, ecosystem, err)
			}
		}
		switch {
		case e.Introduced != "" && n >= 0:
			in = true
		case (e.Fixed != "" || e.Limit != "") && n >= 0:
			in = false
		case e.LastAffected != "" && n > 0:
			in = false
		}
	}
	return in, nil
}

func bound(e advisory.Event) string {
	return e.Introduced + e.Fixed + e.LastAffected + e.Limit // Exactly one is set.
}

// compare orders two bounds; "0" is below every version.
func compare(a, b, ecosystem string) (int, error) {
	switch {
	case a == b:
		return 0, nil
	case a == "0":
		return -1, nil
	case b == "0":
		return 1, nil
	}
	v, err := semantic.Parse(a, ecosystem)
	if err != nil {
		return 0, fmt.Errorf("comparing version %q of %s: %w", a, ecosystem, err)
	}
	n, err := v.CompareStr(b)
	if err != nil {
		return 0, fmt.Errorf("comparing with version %q of %s: %w", b, ecosystem, err)
	}
	return n, nil
}

func lowestAbove(list []string, v semantic.Version, ecosystem string) (string, error) {
	best := ""
	for _, f := range list {
		n, err := v.CompareStr(f)
		if err != nil {
			return "", fmt.Errorf("comparing with version %q of %s: %w", f, ecosystem, err)
		}
		if n >= 0 {
			continue
		}
		if best != "" {
			if n, err = compare(f, best, ecosystem); err != nil {
				return "", err
			}
		}
		if best == "" || n < 0 {
			best = f
		}
	}
	return best, nil
}
