package page

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/kube"
)

// HealthView is the first page of the room Monitor.
type HealthView struct {
	Figures   []Figure
	Workloads []kube.Workload
	Alerts    []alert.Alert // that fire
	Top       kube.Top
	Note      string
}

// AlertsView lists alerts.
type AlertsView struct {
	Filters []Filter
	Alerts  []alert.Alert
	None    string // what is said when there are none
	// Environment is the one whose alerts are listed, "" for all.
	Environment string
}

// AlertView is the page of an alert.
type AlertView struct {
	alert.Detail
	MayWrite bool
}

// RulesView lists rules.
type RulesView struct {
	Filters []Filter
	Find    string
	Rules   []alert.RuleState
}

// RuleView is the page of a rule.
type RuleView struct {
	Rule        alert.RuleState
	Evaluations []alert.Evaluation
	MayWrite    bool
}

// RuleFormView is the form of a rule, with what was written into it.
type RuleFormView struct {
	Rule                                                      alert.Rule
	Period, Dimensions, Measure, Operator, Threshold, Bad, Of string
	Wrong                                                     string
}

// stateOf is the state behind a word of package kube.
func stateOf(word string) State {
	switch word {
	case kube.Open:
		return Open
	case kube.Passing:
		return Passing
	case kube.Held:
		return Held
	case kube.Shut:
		return Shut
	}
	return Wait
}

// workloadWord is what is said of a workload in two words.
func workloadWord(w kube.Workload) string {
	switch w.State {
	case kube.Open:
		return "well"
	case kube.Passing:
		return "on its way"
	case kube.Held:
		return "impaired"
	}
	return "down"
}

func restarts(w kube.Workload) int {
	n := 0
	for _, p := range w.Pods {
		n += p.Restarts
	}
	return n
}

// used adds up what the pods of a workload use.
func (v HealthView) used(w kube.Workload) (cpu, memory float64) {
	for _, u := range v.Top.Pods {
		if u.Namespace == w.Namespace && slices.ContainsFunc(w.Pods, func(p kube.PodState) bool { return p.Name == u.Name }) {
			cpu, memory = cpu+u.CPU, memory+u.Memory
		}
	}
	return cpu, memory
}

func (v HealthView) cpu(w kube.Workload) string {
	cpu, memory := v.used(w)
	if cpu == 0 && memory == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f m", cpu*1000)
}

func (v HealthView) memory(w kube.Workload) string {
	if _, memory := v.used(w); memory > 0 {
		return fmt.Sprintf("%.0f MiB", memory/(1<<20))
	}
	return "–"
}

// releaseHref is the page of a release "shop/production/48".
func (s Shell) releaseHref(release string) string {
	parts := strings.Split(release, "/")
	if len(parts) != 3 {
		return s.At("/environments")
	}
	return s.At("/environments/" + Esc(parts[1]) + "/releases/" + Esc(parts[2]))
}

// shortRelease leaves out the project.
func shortRelease(release string) string {
	_, rest, ok := strings.Cut(release, "/")
	if !ok {
		return release
	}
	return rest
}

// logsOf leads to the logs of a workload.
func (s Shell) logsOf(w kube.Workload) string {
	var names []string
	for _, p := range w.Pods {
		names = append(names, strconv.Quote(p.Name))
	}
	text := "ContainerLogV2\n| where PodNamespace == " + strconv.Quote(w.Namespace)
	if w.Kind == "Deployment" || w.Kind == "StatefulSet" || w.Kind == "DaemonSet" {
		text += "\n| where PodName startswith " + strconv.Quote(w.Name+"-")
	} else if len(names) > 0 {
		text += "\n| where PodName in (" + strings.Join(names, ", ") + ")"
	}
	return s.logsQuery(text)
}

// logsQuery leads to the log explorer with a query.
func (s Shell) logsQuery(text string) string { return s.At("/monitor/logs?q=" + Esc(text)) }

func alertState(a alert.Alert) State {
	switch {
	case a.State == alert.Resolved:
		return Open
	case a.AcknowledgedBy != "" || len(a.SilencedBy) > 0:
		return Held
	}
	return Shut
}

func alertWord(a alert.Alert) string {
	switch {
	case a.State == alert.Resolved:
		return "resolved"
	case len(a.SilencedBy) > 0:
		return "silenced"
	case a.AcknowledgedBy != "":
		return "looked after"
	}
	return "firing"
}

// severityClass is the class by which a severity is drawn: those of findings.
func severityClass(severity string) string {
	switch severity {
	case alert.Critical:
		return "critical"
	case alert.Error:
		return "high"
	case alert.Warning:
		return "medium"
	}
	return "low"
}

// lasted is how long an alert fired, or has so far.
func lasted(now time.Time, a alert.Alert) string {
	end := a.Resolved
	if end.IsZero() {
		return "for " + Took(now.Sub(a.Fired)) + " now"
	}
	return "for " + Took(end.Sub(a.Fired))
}

func toldState(n alert.Notification) State {
	switch n.State {
	case "sent":
		return Open
	case "failed":
		return Shut
	}
	return Passing
}

func evaluationState(e alert.Evaluation) State {
	switch e.State {
	case "firing":
		return Shut
	case "error":
		return Shut
	case "pending", "muted":
		return Held
	}
	return Open
}

// worstOf is the first value of an evaluation, or its error.
func worstOf(e alert.Evaluation) string {
	if e.Error != "" {
		return e.Error
	}
	if len(e.Values) == 0 {
		return "–"
	}
	v := e.Values[0]
	var words []string
	for _, l := range labelsOf(v.Labels) {
		words = append(words, l[0]+"="+l[1])
	}
	return strings.TrimSpace(strconv.FormatFloat(v.Value, 'g', 6, 64) + "  " + strings.Join(words, " "))
}

// labelsOf lists labels by name.
func labelsOf(m map[string]string) [][2]string {
	out := make([][2]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, [2]string{k, m[k]})
	}
	return out
}

func milliseconds(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func queryWord(kind string) string {
	if kind == alert.Query {
		return "The query behind it, in KQL"
	}
	return "The query behind it, in PromQL"
}

func languageWord(kind string) string {
	if kind == alert.Query {
		return "KQL"
	}
	return "PromQL"
}

func ruleState(now time.Time, r alert.RuleState) State {
	switch {
	case !r.Enabled:
		return Wait
	case r.Error != "", r.State == alert.Firing:
		return Shut
	case r.MutedUntil.After(now), r.State == alert.Pending:
		return Held
	}
	return Open
}

func ruleWord(now time.Time, r alert.RuleState) string {
	switch {
	case !r.Enabled:
		return "off"
	case r.Error != "":
		return "fails"
	case r.MutedUntil.After(now):
		return "muted"
	case r.State == alert.Firing:
		return Plural(r.Firing, "alert", "alerts")
	case r.State == alert.Pending:
		return "pending"
	}
	return "quiet"
}

// conditionWords says when a rule fires, as a sentence.
func conditionWords(r alert.Rule) string {
	c := r.Condition
	if c == nil {
		if r.For == 0 {
			return "Fires for every series that the query returns."
		}
		return "Fires for every series that the query returns for " + r.For.String() + "."
	}
	what := "the number of rows"
	if c.Measure != "" {
		what = orWord(c.Aggregate, "max") + " of " + c.Measure
	}
	each := ""
	if len(c.Dimensions) > 0 {
		each = " of each " + strings.Join(c.Dimensions, ", ")
	}
	return fmt.Sprintf("Fires when %s%s in the last %s is %s %g, in %d of %d evaluations.", what, each, c.Period, c.Operator, c.Threshold, c.Bad, c.Of)
}

// asks leads to where a rule's query can be asked.
func (s Shell) asks(kind, text string) string {
	if kind == alert.Metric {
		return s.At("/monitor/metrics" + Query("q", text))
	}
	return s.At("/monitor/logs" + Query("q", text))
}

// regionOf is the id of a table of alerts: a page may have two.
func regionOf(title string) string {
	if title == "" {
		return "alerts"
	}
	return "alerts-" + strings.ToLower(title)
}

// ruleWords is what a rule is about in a line: its description, unless that is a template
// which only an alert fills in.
func ruleWords(r alert.Rule) string {
	if r.Description == "" || strings.Contains(r.Description, "{{") {
		return r.Query
	}
	return r.Description
}
