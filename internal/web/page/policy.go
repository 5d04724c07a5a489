package page

import (
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
)

// Pol is a path of the policy pages: of the project, or of the whole installation.
func (s Shell) Pol(path string) string {
	if s.Project == "" {
		return "/policy" + path
	}
	return s.At("/policy" + path)
}

// of is the shell for links into a project, also on the installation's own pages.
func (s Shell) of(project string) Shell {
	s.Project = project
	return s
}

// Compliance is one assignment with how live objects comply.
type Compliance struct {
	policy.Assignment
	Live audit.Assignment // zero when nothing is known of live objects
	Seen bool             // live objects were judged by it
}

// PolicyView is the first page of policy.
type PolicyView struct {
	Figures     []Figure
	Assignments []Compliance
	Objects     ObjectList
	Enforcement *enforce.Enforcement // nil without a cluster
	Progress    audit.Progress
	Set         string
	MayAssign   bool
}

// ObjectList are verdicts on live objects with their filters.
type ObjectList struct {
	Objects []audit.Object
	Filters []Filter
	Narrow  []Filter // what else narrows the list; its link takes that away
	Query   string
	Keep    []string // pairs for the form: name, value
	Action  string
	Total   int
	More    string
	One     bool // all belong to one assignment
}

// AssignmentView is the page of one assignment.
type AssignmentView struct {
	Compliance
	Objects    ObjectList
	Exemptions []policy.Exemption
	MayRemove  bool
	JSON       string
}

// LibraryView lists what can be assigned.
type LibraryView struct {
	Initiatives []policy.Initiative
	Definitions []policy.Definition
	Query       string
}

// DefinitionView is the page of a definition.
type DefinitionView struct {
	policy.Definition
	Parts []CodePart
	JSON  string
}

// CodePart is a named piece of a program.
type CodePart struct{ Name, Note, Language, Text string }

// InitiativeView is the page of an initiative.
type InitiativeView struct {
	policy.Initiative
	Titles map[string]string // of its definitions
	JSON   string
}

// ExemptionsView lists exemptions.
type ExemptionsView struct {
	Exemptions []policy.Exemption
	Filters    []Filter
	MayExempt  bool
}

// ExemptView is the form of an exemption.
type ExemptView struct {
	Assignments []policy.Assignment
	Assignment  policy.Assignment // the chosen one
	References  []string          // that are ticked
	Objects     string            // one a line
	Scope       string
}

// AssignView is the form of an assignment.
type AssignView struct {
	Initiatives  []policy.Initiative
	Definitions  []policy.Definition
	Target       string // "initiative:NAME" or "definition:NAME"
	Title        string
	Description  string
	Name         string
	Scopes       []string
	Effects      []string // "" when the target has no such parameter
	Effect       string
	Namespaces   string // excluded ones
	HasExcluded  bool
	Parameters   string // the others, as JSON
	HasParameter bool
}

// outcomeState is where an outcome stands.
func outcomeState(o string) State {
	switch o {
	case rule.Compliant:
		return Open
	case rule.Denied, rule.Error:
		return Shut
	case rule.Audited:
		return Held
	}
	return Note
}

// outcomeWord is an outcome as people say it. Of a live object "denied" would be wrong:
// it is there.
func outcomeWord(o string) string {
	switch o {
	case rule.Denied:
		return "refused"
	case rule.Error:
		return "not judged"
	}
	return o
}

func liveWord(o string) string {
	switch o {
	case rule.Denied:
		return "would be refused"
	case rule.Error:
		return "could not be judged"
	}
	return o
}

// state is the state of an assignment's live objects.
func (c Compliance) state() (State, string) {
	o := c.Live.Outcomes
	switch {
	case !c.Seen || c.Live.Objects == 0:
		return Wait, "no objects"
	case o[rule.Error] > 0:
		return Shut, "not judged"
	case o[rule.Denied] > 0:
		return Shut, "violated"
	case o[rule.Audited] > 0:
		return Held, "violated"
	}
	return Open, "complies"
}

func (c Compliance) violations() int {
	o := c.Live.Outcomes
	return o[rule.Denied] + o[rule.Audited] + o[rule.Error]
}

// percent writes a share without a rounding that hides a violation: "99.9 %", never "100 %"
// when one object violates.
func (c Compliance) percent() string {
	if !c.Seen || c.Live.Objects == 0 {
		return "–"
	}
	return Percent(c.Live.Percent)
}

// Percent writes a share of 0 to 100 with one decimal. What is not whole never looks so.
func Percent(p float64) string {
	if p >= 100 {
		return "100\u202f%"
	}
	if p > 99.9 {
		p = 99.9
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + "\u202f%"
}

// effectWords are what an assignment does about a violation.
func effectWords(a policy.Assignment) string {
	w := a.Effect
	if a.Enforcement == "DoNotEnforce" && w == rule.Deny {
		w += ", not enforced"
	}
	return w
}

// bar draws the shares of outcomes as one bar. The widths are attributes of the drawing:
// the security policy allows no inline style.
func bar(o map[string]int) templ.Component {
	total := 0
	for _, n := range o {
		total += n
	}
	var b strings.Builder
	b.WriteString(`<svg class="bar5" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="none" width="100" height="6"></rect>`)
	at := 0.0
	for _, k := range []string{rule.Error, rule.Denied, rule.Audited, rule.Exempt, rule.Compliant} {
		if n := o[k]; n > 0 && total > 0 {
			w := max(100*float64(n)/float64(total), 2) // One violation of a thousand is to be seen.
			w = min(w, 100-at)
			fmt.Fprintf(&b, `<rect class="%s" x="%.2f" width="%.2f" height="6"></rect>`, html.EscapeString(k), at, w)
			at += w
		}
	}
	b.WriteString("</svg>")
	return templ.Raw(b.String())
}

// objectName is "Deployment shop-production/cart".
func objectName(kind, namespace, name string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return kind + " " + name
}

func scopeWords(r rule.Scope) string { return r.String() }

func exemptionState(e policy.Exemption) (State, string) {
	if e.Expired {
		return Wait, "expired"
	}
	return Held, "active"
}

func refWords(list []rule.ObjectRef) string {
	var out []string
	for _, r := range list {
		name := r.Name
		if name == "" {
			name = "*"
		}
		out = append(out, objectName(r.Kind, r.Namespace, name))
	}
	return strings.Join(out, ", ")
}

// JSONText writes a value that came from JSON, indented.
func JSONText(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "" // Values that came from JSON go back.
	}
	return string(b)
}

// Pretty indents a JSON document.
func Pretty(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	return JSONText(v)
}

func matchWords(m rule.Match) string {
	var out []string
	for _, k := range m.Kinds {
		out = append(out, strings.Join(k.Kinds, ", "))
	}
	w := strings.Join(out, ", ")
	if len(m.Namespaces) > 0 {
		w += " in " + strings.Join(m.Namespaces, ", ")
	}
	if len(m.ExcludedNamespaces) > 0 {
		w += ", not in " + strings.Join(m.ExcludedNamespaces, ", ")
	}
	return w
}

// paramWord writes a parameter's value short.
func paramWord(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.Trim(string(b), `"`)
}

// sortedParams lists parameters by name.
func sortedParams(m map[string]any) []Fact {
	var out []Fact
	for k, v := range m {
		out = append(out, Fact{k, paramWord(v)})
	}
	slices.SortFunc(out, func(a, b Fact) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Fact is a name with a value.
type Fact struct{ Name, Value string }

func expiry(s Shell, t time.Time) string { return ends(s, t) }

// engineWord names the language of a program.
func engineWord(e string) string {
	if e == rule.CEL {
		return "CEL"
	}
	if e == rule.Rego {
		return "Rego"
	}
	return e
}

// exemptHref is the form of an exemption for one object.
func exemptHref(s Shell, o audit.Object) string {
	return s.Pol("/exemptions/new" + Query("assignment", o.Assignment, "rule", o.Rule, "object", groupKind(o.Group, o.Kind)+" "+strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")))
}

func groupKind(group, kind string) string {
	if group == "" {
		return kind
	}
	return kind + "." + group
}

// languageFile is a file name that tells the colours of a program.
func languageFile(language string) string {
	switch language {
	case rule.Rego:
		return "program.rego"
	case rule.CEL:
		return "program.js" // CEL has C's operators, strings and calls; there is no lexer of its own.
	}
	return "program.yaml"
}

// Param is a parameter as it is listed.
type Param struct{ Name, Type, Text, Default string }

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// exemptName proposes a name of an exemption.
func exemptName(v ExemptView) string {
	name := v.Assignment.Name
	if first, _, _ := strings.Cut(strings.TrimSpace(v.Objects), "\n"); first != "" {
		if i := strings.LastIndexByte(first, '/'); i >= 0 {
			name += "-" + first[i+1:]
		}
	}
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, name[:min(len(name), 60)]), "-.")
}
