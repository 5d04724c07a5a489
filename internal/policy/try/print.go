package try

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/sarif"
)

// printTable prints what is not compliant, a line for each place, what to do about it, and
// a sum.
func printTable(w io.Writer, a *answer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	counts := map[string]int{}
	var fixes []string
	seen := map[string]bool{}
	row := func(cells ...string) {
		fmt.Fprintln(t, strings.Join(cells, "\t")) // An error comes back from Flush.
	}
	for _, o := range a.Objects {
		for _, v := range o.Verdicts {
			if v.Outcome == rule.Compliant {
				continue
			}
			if len(counts) == 0 {
				row("VERDICT", "WHERE", "OBJECT", "RULE", "MESSAGE")
			}
			counts[v.Outcome]++
			id := v.Assignment + "/" + v.Reference
			if v.Fix != "" && !seen[id] && v.Outcome != rule.Exempt {
				seen[id] = true
				fixes = append(fixes, id+": "+v.Fix)
			}
			if v.Outcome == rule.Error {
				row(v.Outcome, "", nameOf(o), id, v.Why)
			}
			for i, violation := range v.Violations {
				where := fmt.Sprintf("%s:%d", v.At[i].File, v.At[i].Line)
				row(v.Outcome, where, nameOf(o), id, strings.TrimPrefix(violation.Path+": "+violation.Message, ": "))
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(fixes) > 0 {
		fmt.Fprintln(w, "\nHow to go on:")
	}
	for _, f := range fixes {
		fmt.Fprintln(w, "  "+f)
	}
	if len(counts) > 0 {
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "%d objects judged with %d rules: %s.\n", len(a.Objects), len(a.rules), sum(counts, a.Allowed))
	return err
}

// sum is the result in words.
func sum(counts map[string]int, allowed bool) string {
	var parts []string
	for _, p := range []struct{ outcome, word string }{
		{rule.Denied, "denied"}, {rule.Error, "could not be judged"}, {rule.Audited, "audited"}, {rule.Exempt, "exempt"},
	} {
		if n := counts[p.outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, p.word))
		}
	}
	word := "allowed"
	if !allowed {
		word = "refused"
	}
	if len(parts) == 0 {
		return word
	}
	return word + " (" + strings.Join(parts, ", ") + ")"
}

// printJSON prints the decision as the API does.
func printJSON(w io.Writer, a *answer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(a.Decision)
}

// printSARIF prints a report for code scanning.
func printSARIF(w io.Writer, a *answer) error {
	r := sarif.Report{Tool: "towpath policy", Category: "towpath-policy/", Source: fileSource}
	for _, known := range a.rules {
		level := sarif.Warning
		if known.Refuses() {
			level = sarif.Error
		}
		r.Rules = append(r.Rules, sarif.Rule{
			ID: known.Assignment + "/" + known.Reference, Name: known.Template.Kind, Title: known.Title, Help: known.Fix, Level: level,
			Tags: []string{"policy", known.Assignment},
		})
	}
	for i, o := range a.Objects {
		for _, v := range o.Verdicts {
			base := sarif.Result{Rule: v.Assignment + "/" + v.Reference, Level: sarif.Warning, Object: nameOf(o)}
			switch {
			case v.Outcome == rule.Error:
				one := base
				one.Level, one.Message = sarif.Error, "The rule could not judge: "+v.Why
				one.File, one.Line = a.objects[i].Source.File, a.objects[i].Source.Line
				r.Results = append(r.Results, one)
			case v.Outcome == rule.Exempt:
				base.Level = sarif.Note
			case v.Refuses:
				base.Level = sarif.Error
			}
			for _, violation := range v.Violations {
				one := base
				one.Path, one.Message = violation.Path, violation.Message
				places := a.objects[i].Places(violation.Path)
				one.File, one.Line = places[0].File, places[0].Line
				for _, p := range places[1:] {
					one.Related = append(one.Related, sarif.Location{File: p.File, Line: p.Line, Text: "The template that writes it."})
				}
				r.Results = append(r.Results, one)
			}
		}
	}
	return sarif.Write(w, r)
}

// fileSource reads a file that was judged before, for its fingerprints.
func fileSource(name string) ([]byte, bool) {
	info, err := os.Stat(filepath.FromSlash(name))
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxInput {
		return nil, false
	}
	data, err := os.ReadFile(filepath.FromSlash(name))
	return data, err == nil
}
