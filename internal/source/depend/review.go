package depend

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// maxChanges is how many changed requirements a review looks up; more make it fail.
const maxChanges = 20_000

// parserOf returns the parser of a manifest, nil when the path names none.
func parserOf(file string) func([]byte) ([]Requirement, error) {
	for part := range strings.SplitSeq(path.Dir(file), "/") {
		// Copies of foreign code, and fixtures: they are not what the repository uses.
		if part == "node_modules" || part == "vendor" || part == "testdata" {
			return nil
		}
	}
	switch path.Base(file) {
	case "go.mod":
		return ParseGoMod
	case "package-lock.json", "npm-shrinkwrap.json":
		return ParsePackageLock
	}
	return nil
}

// Manifest reports whether a path names a manifest that Review reads.
func Manifest(path string) bool { return parserOf(path) != nil }

// rank orders severities; any other word ranks as unknown.
func rank(severity string) int {
	return slices.Index([]string{Low, Medium, High, Critical}, severity)
}

// Review judges what the files' change brings. An advisory fails the review when its
// severity is threshold or worse, or when its severity is unknown and a fixed version
// exists. threshold "" means High; a word that is no severity is fault.Invalid. Files
// that are no manifests are passed over; a manifest of the head that cannot be read
// fails the review, one of the base counts as empty.
func Review(ctx context.Context, advisories Advisories, files []File, threshold string) (Report, error) {
	if threshold == "" {
		threshold = High
	}
	if rank(threshold) < 0 {
		return Report{}, fault.New(fault.Invalid, "%.40q is no severity.", threshold).WithNext("use low, medium, high or critical")
	}
	r := Report{Changes: []Change{}, Annotations: []Annotation{}}
	r.collect(files)
	for i := range r.Changes {
		c := &r.Changes[i]
		found, err := advisories.Affecting(ctx, c.Ecosystem, c.Name, c.Version)
		if err != nil {
			return Report{}, fmt.Errorf("looking up advisories of %s %s: %w", c.Name, c.Version, err)
		}
		c.Advisories = merge(found)
		for _, a := range c.Advisories {
			r.Annotations = append(r.Annotations, annotate(*c, a, threshold))
		}
	}
	r.conclude()
	return r, nil
}

// collect fills in the changes, and an annotation for each manifest that cannot be read.
func (r *Report) collect(files []File) {
	had := map[string]bool{}               // requirements of the base, by package and version
	before := map[string]map[string]bool{} // versions of the base, by package
	for _, f := range files {
		parse := parserOf(f.Path)
		if parse == nil || f.Base == nil {
			continue
		}
		base, err := parse(f.Base)
		if err != nil {
			continue
		}
		for _, q := range base {
			name := q.Ecosystem + " " + q.Name
			had[name+" "+q.Version] = true
			if before[name] == nil {
				before[name] = map[string]bool{}
			}
			before[name][q.Version] = true
		}
	}
	seen := map[string]bool{}
	for _, f := range files {
		parse := parserOf(f.Path)
		if parse == nil || f.Head == nil {
			continue
		}
		head, err := parse(f.Head)
		if err != nil {
			r.unreadable(f.Path, err)
			continue
		}
		for _, q := range head {
			name := q.Ecosystem + " " + q.Name
			key := f.Path + " " + name + " " + q.Version
			if had[name+" "+q.Version] || seen[key] {
				continue
			}
			if len(r.Changes) == maxChanges {
				r.unreadable(f.Path, fmt.Errorf("the change brings more than %d packages", maxChanges))
				return
			}
			seen[key] = true
			r.Changes = append(r.Changes, Change{File: f.Path, Requirement: q, Before: versions(before[name])})
		}
	}
}

// unreadable notes that a manifest could not be judged.
func (r *Report) unreadable(file string, err error) {
	r.Annotations = append(r.Annotations, Annotation{
		File: file, Line: lineOf(err), Fails: true, Message: fmt.Sprintf("%s cannot be reviewed: %s", file, clip(err.Error(), 300)),
	})
}

// lineOf finds the line in a parser's error: "go.mod:7: …", "line 7: …".
func lineOf(err error) int {
	line := 0
	text := err.Error()
	if _, e := fmt.Sscanf(text, "go.mod:%d", &line); e != nil {
		_, _ = fmt.Sscanf(text, "line %d", &line) // Without a line it stays 0.
	}
	return max(line, 1)
}

func versions(set map[string]bool) string {
	list := make([]string, 0, len(set))
	for v := range set {
		list = append(list, v)
	}
	slices.Sort(list)
	if len(list) > 5 {
		list = append(list[:5], "…")
	}
	return strings.Join(list, ", ")
}

// merge makes one of advisories that are about the same vulnerability: those that share
// an id or an alias. The worst severity and a known fixed version win.
func merge(list []Advisory) []Advisory {
	var out []Advisory
	for _, a := range list {
		ids := append([]string{a.ID}, a.Aliases...)
		i := slices.IndexFunc(out, func(o Advisory) bool {
			return slices.ContainsFunc(ids, func(id string) bool { return id == o.ID || slices.Contains(o.Aliases, id) })
		})
		if i < 0 {
			a.Aliases = slices.Clone(a.Aliases)
			out = append(out, a)
			continue
		}
		o := &out[i]
		for _, id := range ids {
			if id != o.ID && !slices.Contains(o.Aliases, id) {
				o.Aliases = append(o.Aliases, id)
			}
		}
		if rank(a.Severity) > rank(o.Severity) {
			o.Severity = a.Severity
		}
		if o.Fixed == "" {
			o.Fixed = a.Fixed
		}
		if o.Summary == "" {
			o.Summary = a.Summary
		}
	}
	slices.SortStableFunc(out, func(a, b Advisory) int { return rank(b.Severity) - rank(a.Severity) })
	return out
}

func annotate(c Change, a Advisory, threshold string) Annotation {
	n := Annotation{File: c.File, Line: c.Line, Package: c.Name, Version: c.Version, Advisory: a}
	if rank(a.Severity) < 0 {
		n.Fails = a.Fixed != ""
	} else {
		n.Fails = rank(a.Severity) >= rank(threshold)
	}
	severity := a.Severity
	if rank(severity) < 0 {
		severity = "severity unknown"
	}
	name := a.ID
	if i := slices.IndexFunc(a.Aliases, func(s string) bool { return strings.HasPrefix(s, "CVE-") }); i >= 0 {
		name += ", " + a.Aliases[i]
	}
	n.Message = fmt.Sprintf("%s %s is vulnerable (%s, %s): %s. ", c.Name, c.Version, name, severity, clip(strings.TrimRight(a.Summary, ". \n"), 300))
	n.Message += remedy(c, a.Fixed)
	return n
}

// remedy says what to do.
func remedy(c Change, fixed string) string {
	switch {
	case fixed == "":
		return "There is no fixed version yet: use another package, or an older version that is not affected."
	case c.Ecosystem == Go:
		return fmt.Sprintf("Fixed in %s: go get %s@v%s", fixed, c.Name, fixed)
	case c.Direct:
		return fmt.Sprintf("Fixed in %s: npm install %s@%s", fixed, c.Name, fixed)
	}
	return fmt.Sprintf("Fixed in %s: npm update %s, or add it to \"overrides\" in package.json", fixed, c.Name)
}

// conclude sets conclusion and title.
func (r *Report) conclude() {
	vulnerable, failing, unread := map[string]bool{}, 0, 0
	for _, a := range r.Annotations {
		if a.Package == "" {
			unread++
			continue
		}
		vulnerable[a.Package+" "+a.Version] = true
		if a.Fails {
			failing++
		}
	}
	r.Conclusion = Success
	if failing+unread > 0 {
		r.Conclusion = Failure
	}
	switch {
	case unread > 0:
		r.Title = count(unread, "manifest") + " cannot be reviewed"
	case len(vulnerable) > 0 && failing == 0:
		r.Title = count(len(vulnerable), "vulnerable package") + ", none at or above the threshold"
	case len(vulnerable) > 0:
		r.Title = count(len(vulnerable), "vulnerable package") + " added"
	case len(r.Changes) == 0:
		r.Title = "no dependency changed"
	default:
		r.Title = count(len(r.Changes), "changed package") + ", nothing known against"
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clip shortens foreign text to one line.
func clip(s string, limit int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
