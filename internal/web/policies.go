package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
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

// decisionFilters and decisionPoints are the pills above decisions.
var (
	decisionFilters = []struct {
		key, text string
		allowed   *bool
	}{{"", "All", nil}, {"refused", "Refused", new(bool)}, {"allowed", "Allowed", yes()}}
	decisionPoints = []string{policy.PointPull, policy.PointPipeline, policy.PointDeploy, policy.PointAdmission, policy.PointAudit}
)

func yes() *bool { v := true; return &v }

// decisionsPerPage is how many decisions a page lists.
const decisionsPerPage = 50

func (h *handler) decisions(w http.ResponseWriter, r request) error {
	s, err := h.polShell(w, r, "Decisions", page.Crumb{Text: "decisions"})
	if err != nil {
		return err
	}
	show, point, env := r.query("show"), r.query("point"), r.query("env")
	want := policy.DecisionFilter{Project: r.project(), Point: point, Environment: env, Limit: decisionsPerPage, Before: r.query("before")}
	var v page.DecisionsView
	for _, f := range decisionFilters {
		if f.key == show {
			want.Allowed = f.allowed
		}
		v.Filters = append(v.Filters, page.Filter{Key: f.key, Text: f.text, Count: -1, On: f.key == show, Href: s.Pol("/decisions" + page.Query("show", f.key, "point", point, "env", env))})
	}
	v.Points = append(v.Points, page.Filter{Text: "Everywhere", Count: -1, On: point == "", Href: s.Pol("/decisions" + page.Query("show", show, "env", env))})
	for _, p := range decisionPoints {
		v.Points = append(v.Points, page.Filter{Key: p, Text: strings.ToUpper(p[:1]) + p[1:], Count: -1, On: p == point, Href: s.Pol("/decisions" + page.Query("show", show, "point", p, "env", env))})
	}
	if v.Decisions, err = h.Policy.Decisions(r.Context(), r.actor, want); err != nil {
		return err
	}
	if len(v.Decisions) == decisionsPerPage {
		v.More = s.Pol("/decisions" + page.Query("show", show, "point", point, "env", env, "before", v.Decisions[len(v.Decisions)-1].ID))
	}
	return h.render(w, r, page.DecisionsPage(s, v))
}

// decision shows one decision. One of a project is shown where it belongs.
func (h *handler) decision(w http.ResponseWriter, r request) error {
	d, err := h.Policy.Decision(r.Context(), r.actor, r.PathValue("id"))
	if err != nil {
		return err
	}
	if d.Project != r.project() && r.project() != "" {
		http.Redirect(w, r.Request, page.Shell{Project: d.Project}.Pol("/decisions/"+d.ID), http.StatusSeeOther)
		return nil
	}
	s, err := h.polShell(w, r, "Decision", page.Crumb{Text: "decisions", Href: page.Shell{Project: r.project()}.Pol("/decisions")}, page.Crumb{Text: page.Short(d.ID)})
	if err != nil {
		return err
	}
	v := page.DecisionView{Decision: d}
	if v.Same, err = h.elsewhere(r, d); err != nil {
		return err
	}
	return h.render(w, r, page.DecisionPage(s, v))
}

const (
	// comparedDecisions is how many decisions of an environment are looked through for the
	// same objects at other points.
	comparedDecisions = 500
	// comparedObjects is how many objects of a decision are compared.
	comparedObjects = 5
)

// elsewhere finds for each object that a decision refuses the newest word of every other
// point in the same environment.
func (h *handler) elsewhere(r request, d policy.Decision) ([]page.Sameness, error) {
	if d.Project == "" {
		return nil, nil
	}
	others, err := h.Policy.Decisions(r.Context(), r.actor, policy.DecisionFilter{Project: d.Project, Environment: d.Environment, Limit: comparedDecisions})
	if err != nil {
		return nil, err
	}
	var out []page.Sameness
	for _, o := range d.Objects {
		v, ok := refusal(o)
		if !ok || len(out) == comparedObjects {
			continue
		}
		same := page.Sameness{Object: strings.TrimPrefix(o.Kind+" "+o.Namespace+"/"+o.Name, "/"), At: []page.Elsewhere{{Decision: d, Object: o, Verdict: v, Self: true}}}
		seen := map[string]bool{d.Point: true}
		for _, other := range others {
			if seen[other.Point] || other.ID == d.ID {
				continue
			}
			if e, ok := compared(other, o, v); ok {
				seen[other.Point] = true
				same.At = append(same.At, e)
			}
		}
		if len(same.At) > 1 {
			out = append(out, same)
		}
	}
	return out, nil
}

// refusal is the first verdict that refuses an object.
func refusal(o policy.Judged) (policy.Located, bool) {
	for _, v := range o.Verdicts {
		if v.Refuses {
			return v, true
		}
	}
	return policy.Located{}, false
}

// compared finds the same rule on the same object in another decision.
func compared(d policy.Decision, o policy.Judged, v policy.Located) (page.Elsewhere, bool) {
	for _, x := range d.Objects {
		if x.Group != o.Group || x.Kind != o.Kind || x.Namespace != o.Namespace || x.Name != o.Name {
			continue
		}
		for _, w := range x.Verdicts {
			if w.Assignment == v.Assignment && w.Reference == v.Reference {
				return page.Elsewhere{Decision: d, Object: x, Verdict: w}, true
			}
		}
	}
	return page.Elsewhere{}, false
}

// pullVerdicts reads the newest decision of each environment about the pull request's
// head, or, before it is judged, about an earlier one.
func (h *handler) pullVerdicts(r request, v *page.PullView) error {
	list, err := h.Policy.Decisions(r.Context(), r.actor, policy.DecisionFilter{Project: r.project(), Point: policy.PointPull, Pull: v.Number, Limit: 200})
	if err != nil {
		return err
	}
	subject := "pull:" + v.Repo + "/" + strconv.FormatInt(v.Number, 10)
	of := func(d policy.Decision) bool {
		for _, j := range d.Judges {
			if string(j) == subject {
				return true
			}
		}
		return false
	}
	head := ""
	for _, d := range list { // Newest first.
		if of(d) && (head == "" || d.Commit == v.Head) {
			head = d.Commit
		}
	}
	seen := map[string]bool{}
	for _, d := range list {
		if of(d) && d.Commit == head && !seen[d.Environment] {
			seen[d.Environment] = true
			v.Verdicts.Decisions = append(v.Verdicts.Decisions, d)
		}
	}
	v.Verdicts.Head, v.Verdicts.Old = head, head != v.Head && head != ""
	slices.SortStableFunc(v.Verdicts.Decisions, func(a, b policy.Decision) int {
		if a.Allowed != b.Allowed && !a.Allowed {
			return -1
		} else if a.Allowed != b.Allowed {
			return 1
		}
		return strings.Compare(a.Environment, b.Environment)
	})
	return nil
}

// runRefusals are the decisions that refused something of a run.
func (h *handler) runRefusals(r request, run int64) ([]policy.Decision, error) {
	refused := false
	list, err := h.Policy.Decisions(r.Context(), r.actor, policy.DecisionFilter{Project: r.project(), Run: run, Allowed: &refused, Limit: 5})
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return list, err
}
