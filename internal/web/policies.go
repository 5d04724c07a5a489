package web

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/web/page"
)

// objectsPerPage is how many verdicts on live objects a page lists.
const objectsPerPage = 100

// objectFilters are the pills above live objects; the first shows what violates a rule.
var objectFilters = []struct{ key, text, outcome string }{
	{"", "Violations", audit.Violated},
	{"denied", "Would be refused", rule.Denied},
	{"audited", "Audited", rule.Audited},
	{"exempt", "Exempt", rule.Exempt},
	{"compliant", "Compliant", rule.Compliant},
	{"all", "All", ""},
}

// polShell is the shell of a policy page: of the project, or without one of the whole
// installation, which does not follow a logbook.
func (h *handler) polShell(w http.ResponseWriter, r request, title string, crumbs ...page.Crumb) (page.Shell, error) {
	at := page.Shell{Project: r.project()}
	all := []page.Crumb{{Text: "policy", Href: at.Pol("")}}
	if len(crumbs) == 0 {
		all[0].Href = ""
	}
	all = append(all, crumbs...)
	if r.project() == "" {
		s := h.shell(w, r, title)
		s.Crumbs = append([]page.Crumb{{Text: "projects", Href: "/projects"}}, all...)
		return s, nil
	}
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return page.Shell{}, err
	}
	return h.live(w, r, "policy", title, all...)
}

// mayAssign reports whether the visitor may assign here, mayExempt whether they may exempt.
func (h *handler) mayAssign(r request) bool {
	return r.actor.Admin || r.project() != "" && h.holds(r, identity.Maintain)
}

func (h *handler) mayExempt(r request) bool {
	return r.actor.Admin || r.project() != "" && h.holds(r, identity.Admin)
}

// policies shows the assignments with live compliance, what violates them, and what the
// API server enforces.
func (h *handler) policies(w http.ResponseWriter, r request) error {
	s, err := h.polShell(w, r, "Policy")
	if err != nil {
		return err
	}
	list, err := h.Policy.Assignments(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	report, objects, err := h.objects(r, s, "", s.Pol(""))
	if err != nil {
		return err
	}
	v := page.PolicyView{Objects: objects, Set: report.Set, Progress: h.Compliance.Progress(), MayAssign: h.mayAssign(r)}
	for _, a := range list {
		v.Assignments = append(v.Assignments, compliance(a, report))
	}
	slices.SortStableFunc(v.Assignments, func(a, b page.Compliance) int { return violated(b) - violated(a) })
	if h.Enforcement != nil {
		e := h.Enforcement.State()
		v.Enforcement = &e
	}
	v.Figures, err = h.policyFigures(r, v)
	if err != nil {
		return err
	}
	return h.render(w, r, page.PolicyPage(s, v))
}

func compliance(a policy.Assignment, report audit.Report) page.Compliance {
	c := page.Compliance{Assignment: a}
	for _, live := range report.Assignments {
		if live.Name == a.Name {
			c.Live, c.Seen = live, true
		}
	}
	return c
}

func violated(c page.Compliance) int {
	o := c.Live.Outcomes
	return o[rule.Denied] + o[rule.Audited] + o[rule.Error]
}

// policyFigures are the cards above the assignments.
func (h *handler) policyFigures(r request, v page.PolicyView) ([]page.Figure, error) {
	total, bad, exempt := 0, 0, 0
	for _, a := range v.Assignments {
		total, bad, exempt = total+a.Live.Objects, bad+violated(a), exempt+a.Live.Outcomes[rule.Exempt]
	}
	share := page.Figure{Name: "Compliance", Value: "–", Note: "no object is judged yet"}
	if total > 0 {
		share.Value, share.Note = page.Percent(100*float64(total-bad)/float64(total)), "of "+page.Plural(total, "verdict", "verdicts")
	}
	violations := page.Figure{Name: "Violations", Value: page.Count(bad), Note: "live objects"}
	if bad > 0 {
		violations.Tone = "bad"
	}
	list, err := h.Policy.Exemptions(r.Context(), r.actor, r.project())
	if err != nil {
		return nil, err
	}
	active := 0
	for _, e := range list {
		if !e.Expired {
			active++
		}
	}
	refused := false
	decisions, err := h.Policy.Decisions(r.Context(), r.actor, policy.DecisionFilter{Project: r.project(), Allowed: &refused, Limit: 200})
	if err != nil {
		return nil, err
	}
	today := 0
	for _, d := range decisions {
		if h.Clock.Now().Sub(d.Time) < 24*time.Hour {
			today++
		}
	}
	at := page.Shell{Project: r.project()}
	return []page.Figure{
		share, violations,
		{Name: "Exempt", Value: page.Count(exempt), Note: page.Plural(active, "exemption", "exemptions") + " active", Href: at.Pol("/exemptions")},
		{Name: "Refused in 24 h", Value: page.Count(today), Note: "decisions", Href: at.Pol("/decisions?show=refused")},
	}, nil
}

// objects reads verdicts on live objects as the address filters them, of one assignment
// or of all.
func (h *handler) objects(r request, s page.Shell, assignment, action string) (audit.Report, page.ObjectList, error) {
	v := page.ObjectList{Query: r.query("q"), Action: action, One: assignment != ""}
	show, env, kind := r.query("show"), r.query("env"), r.query("kind")
	want := audit.Filter{Project: r.project(), Assignment: assignment, Environment: env, Kind: kind, Text: v.Query, Limit: objectsPerPage, Outcome: audit.Violated}
	for _, f := range objectFilters {
		on := f.key == show
		if on {
			want.Outcome = f.outcome
		}
		v.Filters = append(v.Filters, page.Filter{Key: f.key, Text: f.text, Count: -1, On: on, Href: action + page.Query("show", f.key, "q", v.Query, "env", env, "kind", kind)})
	}
	for _, n := range []struct{ name, value, rest string }{{"env", env, page.Query("show", show, "q", v.Query, "kind", kind)}, {"kind", kind, page.Query("show", show, "q", v.Query, "env", env)}} {
		if n.value != "" {
			v.Narrow = append(v.Narrow, page.Filter{Text: n.value, Href: action + n.rest})
		}
	}
	v.Keep = []string{"show", show, "env", env, "kind", kind}
	want.Offset, _ = strconv.Atoi(r.query("from"))
	want.Offset = min(max(want.Offset, 0), 1<<20)
	report, err := h.Compliance.Compliance(r.Context(), r.actor, want)
	if err != nil {
		return report, v, err
	}
	v.Objects, v.Total = report.Objects, report.Total
	if next := want.Offset + len(report.Objects); next < report.Total && len(report.Objects) > 0 {
		v.More = action + page.Query("show", show, "q", v.Query, "env", env, "kind", kind, "from", strconv.Itoa(next))
	}
	return report, v, nil
}

// assignment shows one assignment with every object that its rules match.
func (h *handler) assignment(w http.ResponseWriter, r request) error {
	name := r.PathValue("name")
	s, err := h.polShell(w, r, name, page.Crumb{Text: name})
	if err != nil {
		return err
	}
	a, err := h.Policy.Assignment(r.Context(), r.actor, name)
	if err != nil {
		return err
	}
	v := page.AssignmentView{JSON: page.Pretty(a.Document)}
	report, objects, err := h.objects(r, s, name, s.Pol("/assignments/"+page.Esc(name)))
	if err != nil {
		return err
	}
	v.Compliance, v.Objects = compliance(a, report), objects
	v.MayRemove = r.actor.Admin || a.Scope.Of() != "" && h.Identity.Require(r.Context(), r.actor, a.Scope.Of(), identity.Maintain) == nil
	all, err := h.Policy.Exemptions(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.Assignment == name {
			v.Exemptions = append(v.Exemptions, e)
		}
	}
	return h.render(w, r, page.AssignmentPage(s, v))
}

// definitions lists what can be assigned.
func (h *handler) definitions(w http.ResponseWriter, r request) error {
	s, err := h.polShell(w, r, "Definitions", page.Crumb{Text: "definitions"})
	if err != nil {
		return err
	}
	v := page.LibraryView{Query: r.query("q")}
	initiatives, definitions, err := h.library(r)
	if err != nil {
		return err
	}
	for _, i := range initiatives {
		if matches(v.Query, i.Name, i.Title, i.Description) {
			v.Initiatives = append(v.Initiatives, i)
		}
	}
	for _, d := range definitions {
		if matches(v.Query, d.Name, d.Title, d.Description, d.Category) {
			v.Definitions = append(v.Definitions, d)
		}
	}
	return h.render(w, r, page.LibraryPage(s, v))
}

func (h *handler) library(r request) ([]policy.Initiative, []policy.Definition, error) {
	initiatives, err := h.Policy.Initiatives(r.Context(), r.actor)
	if err != nil {
		return nil, nil, err
	}
	definitions, err := h.Policy.Definitions(r.Context(), r.actor)
	return initiatives, definitions, err
}

func (h *handler) definition(w http.ResponseWriter, r request) error {
	name := r.PathValue("name")
	s, err := h.polShell(w, r, name, page.Crumb{Text: "definitions", Href: page.Shell{Project: r.project()}.Pol("/definitions")}, page.Crumb{Text: name})
	if err != nil {
		return err
	}
	d, err := h.Policy.Definition(r.Context(), r.actor, name)
	if err != nil {
		return err
	}
	return h.render(w, r, page.DefinitionPage(s, page.DefinitionView{Definition: d, Parts: page.ProgramParts(d.Program), JSON: page.Pretty(d.Document)}))
}

func (h *handler) initiative(w http.ResponseWriter, r request) error {
	name := r.PathValue("name")
	s, err := h.polShell(w, r, name, page.Crumb{Text: "definitions", Href: page.Shell{Project: r.project()}.Pol("/definitions")}, page.Crumb{Text: name})
	if err != nil {
		return err
	}
	i, err := h.Policy.Initiative(r.Context(), r.actor, name)
	if err != nil {
		return err
	}
	v := page.InitiativeView{Initiative: i, Titles: map[string]string{}, JSON: page.Pretty(i.Document)}
	all, err := h.Policy.Definitions(r.Context(), r.actor)
	for _, d := range all {
		v.Titles[d.Name] = d.Title
	}
	if err != nil {
		return err
	}
	return h.render(w, r, page.InitiativePage(s, v))
}

// exemptionFilters are the pills above exemptions.
var exemptionFilters = []struct {
	key, text string
	fits      func(policy.Exemption) bool
}{
	{"", "All", func(policy.Exemption) bool { return true }},
	{"active", "Active", func(e policy.Exemption) bool { return !e.Expired }},
	{"expired", "Expired", func(e policy.Exemption) bool { return e.Expired }},
}

func (h *handler) exemptions(w http.ResponseWriter, r request) error {
	s, err := h.polShell(w, r, "Exemptions", page.Crumb{Text: "exemptions"})
	if err != nil {
		return err
	}
	all, err := h.Policy.Exemptions(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	v := page.ExemptionsView{MayExempt: h.mayExempt(r)}
	for _, f := range exemptionFilters {
		on, count := f.key == r.query("show"), 0
		for _, e := range all {
			if f.fits(e) {
				count++
				if on {
					v.Exemptions = append(v.Exemptions, e)
				}
			}
		}
		v.Filters = append(v.Filters, page.Filter{Key: f.key, Text: f.text, Count: count, On: on, Href: s.Pol("/exemptions" + page.Query("show", f.key))})
	}
	return h.render(w, r, page.ExemptionsPage(s, v))
}
