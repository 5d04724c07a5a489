package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/web/page"
)

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
