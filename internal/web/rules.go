package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/web/page"
)

// rules lists alert rules.
func (h *handler) rules(w http.ResponseWriter, r request) error {
	s, err := h.monitorShell(w, r, "Rules", page.Crumb{Text: "rules"})
	if err != nil {
		return err
	}
	all, err := h.Alerts.Rules(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	v := page.RulesView{Find: r.query("q")}
	show := r.query("show")
	takes := map[string]func(alert.RuleState) bool{
		"":            func(alert.RuleState) bool { return true },
		"own":         func(s alert.RuleState) bool { return s.Origin == alert.Own },
		"recommended": func(s alert.RuleState) bool { return s.Origin == alert.Recommended },
		"active":      func(s alert.RuleState) bool { return s.State != alert.Inactive || s.Error != "" },
	}
	for _, f := range []struct{ key, text string }{{"", "All"}, {"active", "Not quiet"}, {"own", "Yours"}, {"recommended", "Recommended"}} {
		pill := page.Filter{Text: f.text, Href: s.At("/monitor/rules"), On: f.key == show}
		if f.key != "" {
			pill.Href += "?show=" + f.key
		}
		for _, one := range all {
			if takes[f.key](one) {
				pill.Count++
			}
		}
		v.Filters = append(v.Filters, pill)
	}
	take, ok := takes[show]
	if !ok {
		take = takes[""]
	}
	words := strings.ToLower(v.Find)
	v.Rules = slices.DeleteFunc(all, func(one alert.RuleState) bool {
		return !take(one) || !strings.Contains(strings.ToLower(one.Name+" "+one.Query+" "+one.Description), words)
	})
	slices.SortStableFunc(v.Rules, func(a, b alert.RuleState) int { return rank(b) - rank(a) })
	return h.render(w, r, page.RulesPage(s, v))
}

// rank puts rules that somebody should look at first, then those of the project.
func rank(r alert.RuleState) int {
	switch {
	case r.State == alert.Firing:
		return 4
	case r.Error != "":
		return 3
	case r.State == alert.Pending:
		return 2
	case r.Origin == alert.Own:
		return 1
	}
	return 0
}

// ruleOf finds a rule by the id in the address.
func (h *handler) ruleOf(r request) (alert.RuleState, error) {
	all, err := h.Alerts.Rules(r.Context(), r.actor, r.project())
	if err != nil {
		return alert.RuleState{}, err
	}
	for _, one := range all {
		if one.ID == r.PathValue("id") {
			return one, nil
		}
	}
	return alert.RuleState{}, fault.New(fault.NotFound, "There is no rule %s in %s.", r.PathValue("id"), r.project())
}

// rule shows one rule.
func (h *handler) rule(w http.ResponseWriter, r request) error {
	one, err := h.ruleOf(r)
	if err != nil {
		return err
	}
	s, err := h.monitorShell(w, r, one.Name, page.Crumb{Text: "rules", Href: page.Shell{Project: r.project()}.At("/monitor/rules")}, page.Crumb{Text: one.Name})
	if err != nil {
		return err
	}
	v := page.RuleView{Rule: one, MayWrite: r.actor.Admin || one.Project != "" && h.holds(r, identity.Write)}
	v.Evaluations, err = h.Alerts.Evaluations(r.Context(), r.actor, one.ID, 50)
	// The evaluations of the platform's rules are for its administrators.
	if err != nil && !fault.Is(err, fault.Denied) && !fault.Is(err, fault.NotFound) {
		return err
	}
	return h.render(w, r, page.RulePage(s, v))
}

// muteRule keeps a rule from firing for a while.
func (h *handler) muteRule(w http.ResponseWriter, r request) error {
	one, err := h.ruleOf(r)
	if err != nil {
		return err
	}
	var until time.Time
	said := one.Name + " may fire again."
	if n, err := strconv.Atoi(r.PostForm.Get("for")); err == nil && n > 0 {
		until = h.Clock.Now().Add(time.Duration(n) * time.Second)
		said = one.Name + " is muted until " + until.Format("15:04") + " UTC."
	}
	if err := h.Alerts.MuteRule(r.Context(), r.actor, one.ID, until); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/monitor/rules/"+page.Esc(one.ID)), said)
}

// removeRule removes a rule of the project.
func (h *handler) removeRule(w http.ResponseWriter, r request) error {
	one, err := h.ruleOf(r)
	if err != nil {
		return err
	}
	if err := h.Alerts.DeleteRule(r.Context(), r.actor, one.ID); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/monitor/rules"), one.Name+" is removed.")
}

// ruleShell is the shell of the form of a new rule.
func (h *handler) ruleShell(w http.ResponseWriter, r request) (page.Shell, error) {
	s, err := h.monitorShell(w, r, "New rule", page.Crumb{Text: "rules", Href: page.Shell{Project: r.project()}.At("/monitor/rules")}, page.Crumb{Text: "new"})
	s.Scripts = []string{"monitor.js", "kql.js"}
	return s, err
}

// ruleForm is the form of a new rule; ?q= makes a draft of a query.
func (h *handler) ruleForm(w http.ResponseWriter, r request) error {
	s, err := h.ruleShell(w, r)
	if err != nil {
		return err
	}
	v := page.RuleFormView{Operator: ">", Threshold: "0", Bad: "1", Of: "1", Period: "5m", Rule: alert.Rule{Kind: alert.Query, Severity: alert.Warning, Every: alert.Duration(time.Minute)}}
	if text := r.URL.Query().Get("q"); text != "" && len(text) <= maxAddressQuery {
		v.Rule.Query = text
		if r.query("kind") == alert.Metric {
			v.Rule.Kind, v.Rule.Every = alert.Metric, alert.Duration(5*time.Minute)
			return h.render(w, r, page.RuleForm(s, v))
		}
		draft, err := h.Alerts.Draft(r.Context(), r.actor, r.project(), text)
		if err == nil {
			v = formOfRule(draft)
		} else if v.Wrong, _ = fault.Public(err); fault.Is(err, fault.Internal) {
			return err
		}
	}
	return h.render(w, r, page.RuleForm(s, v))
}

func formOfRule(d alert.Rule) page.RuleFormView {
	v := page.RuleFormView{Rule: d, Operator: ">", Threshold: "0", Bad: "1", Of: "1", Period: "5m"}
	if c := d.Condition; c != nil {
		v.Period, v.Dimensions, v.Measure, v.Operator = c.Period.String(), strings.Join(c.Dimensions, ", "), c.Measure, c.Operator
		v.Threshold, v.Bad, v.Of = strconv.FormatFloat(c.Threshold, 'g', -1, 64), strconv.Itoa(c.Bad), strconv.Itoa(c.Of)
	}
	return v
}

// makeRule makes the rule of the form; what is wrong is said above the form.
func (h *handler) makeRule(w http.ResponseWriter, r request) error {
	f := r.PostForm
	v := page.RuleFormView{
		Period: f.Get("period"), Dimensions: f.Get("dimensions"), Measure: strings.TrimSpace(f.Get("measure")), Operator: f.Get("operator"), Threshold: f.Get("threshold"),
		Bad: f.Get("bad"), Of: f.Get("of"),
		Rule: alert.Rule{Project: r.project(), Name: strings.TrimSpace(f.Get("name")), Kind: f.Get("kind"), Query: f.Get("query"), Severity: f.Get("severity"), NextStep: f.Get("next"), Enabled: true},
	}
	err := readRule(&v, f.Get("every"))
	if err == nil {
		var made alert.Rule
		if made, err = h.Alerts.PutRule(r.Context(), r.actor, v.Rule); err == nil {
			return done(w, r, page.Shell{Project: r.project()}.At("/monitor/rules/"+page.Esc(made.ID)), made.Name+" is evaluated from now on.")
		}
	}
	if k := fault.KindOf(err); k != fault.Invalid && k != fault.Conflict && k != fault.TooLarge {
		return err
	}
	message, next := fault.Public(err)
	v.Wrong = strings.TrimSpace(message + " " + next)
	s, err := h.ruleShell(w, r)
	if err != nil {
		return err
	}
	return h.renderStatus(w, r, http.StatusUnprocessableEntity, page.RuleForm(s, v))
}

// readRule reads the numbers and durations of the form.
func readRule(v *page.RuleFormView, every string) error {
	length := func(name, text string, into *alert.Duration) error {
		if err := into.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
			return fault.New(fault.Invalid, "%s: %q is no length of time.", name, text).WithNext("write it as 5m or 1h")
		}
		return nil
	}
	if err := length("Every", every, &v.Rule.Every); err != nil {
		return err
	}
	if v.Rule.Kind == alert.Metric {
		v.Rule.For, v.Rule.Every = v.Rule.Every, alert.Duration(time.Minute)
		return nil
	}
	c := &alert.Condition{Measure: v.Measure, Operator: v.Operator, AutoResolve: true}
	if err := length("Looks back", v.Period, &c.Period); err != nil {
		return err
	}
	for d := range strings.SplitSeq(v.Dimensions, ",") {
		if d = strings.TrimSpace(d); d != "" {
			c.Dimensions = append(c.Dimensions, d)
		}
	}
	var err error
	if c.Threshold, err = strconv.ParseFloat(strings.TrimSpace(v.Threshold), 64); err != nil {
		return fault.New(fault.Invalid, "The threshold %q is no number.", v.Threshold)
	}
	if c.Bad, err = strconv.Atoi(strings.TrimSpace(v.Bad)); err != nil {
		return fault.New(fault.Invalid, "“in so many” %q is no number.", v.Bad)
	}
	if c.Of, err = strconv.Atoi(strings.TrimSpace(v.Of)); err != nil {
		return fault.New(fault.Invalid, "“of the last” %q is no number.", v.Of)
	}
	v.Rule.Condition = c
	return nil
}
