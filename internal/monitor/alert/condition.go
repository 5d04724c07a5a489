package alert

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert/judge"
	"towpath.dev/towpath/internal/monitor/alert/promrule"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// maxResult is how many rows of a query rule's result are judged.
const maxResult = 10_000

// metricRule turns a rule into one that Prometheus' library evaluates.
func (s *Service) metricRule(r Rule) promrule.Rule {
	labels := map[string]string{}
	maps.Copy(labels, r.Labels)
	labels["severity"] = r.Severity
	var jobs []string
	if r.Origin == Recommended {
		jobs = s.opts.Jobs
	}
	return promrule.Rule{
		Jobs: jobs, ID: r.ID, Project: r.Project, Name: r.Name, Expr: r.Query, Every: r.Every.Go(), For: r.For.Go(), KeepFiringFor: r.KeepFiringFor.Go(), Labels: labels,
		Annotations: map[string]string{"summary": r.Summary, "description": r.Description, "next_step": r.NextStep},
	}
}

// ask makes the question of a query rule as of a moment.
func ask(r Rule, at time.Time) query.Ask {
	return query.Ask{
		Text: r.Query, Project: r.Project, All: r.Project == "", From: at.Add(-r.Condition.Period.Go()), To: at,
		MaxRows: maxResult, Timeout: min(max(r.Every.Go(), 5*time.Second), time.Minute),
	}
}

func measure(c Condition) judge.Measure {
	return judge.Measure{Dimensions: c.Dimensions, Column: c.Measure, Aggregate: c.Aggregate}
}

func condition(c Condition) judge.Condition {
	return judge.Condition{
		Operator: c.Operator, Threshold: c.Threshold, Bad: c.Bad, Of: c.Of, Mute: c.Mute.Go(), AutoResolve: c.AutoResolve, CountsRows: c.Measure == "",
	}
}

// checkQuery says what is wrong with a query rule. It asks the query once, so that what it
// refuses is said with line and column, and that the columns are there.
func (s *Service) checkQuery(ctx context.Context, r Rule) error {
	c := *r.Condition
	if !slices.Contains([]string{">", ">=", "<", "<=", "==", "!="}, c.Operator) {
		return fault.New(fault.Invalid, "%q is not an operator.", table.Clip(c.Operator, maxName)).WithNext("use >, >=, <, <=, == or !=")
	}
	if !slices.Contains([]string{"", "max", "min", "avg", "sum"}, c.Aggregate) {
		return fault.New(fault.Invalid, "%q is not an aggregate.", table.Clip(c.Aggregate, maxName)).WithNext("use max, min, avg or sum")
	}
	if c.Of > 30 || c.Bad > c.Of {
		return fault.New(fault.Invalid, "%d bad of %d evaluations cannot be counted.", c.Bad, c.Of).WithNext("look at no more than 30 evaluations")
	}
	if len(c.Dimensions) > 5 {
		return fault.New(fault.Invalid, "A rule has at most five dimensions.")
	}
	if c.Period.Go() < minEvery || c.Period.Go() > 48*time.Hour {
		return fault.New(fault.Invalid, "A rule looks back between %s and 2d, not %s.", Duration(minEvery), c.Period)
	}
	if c.Mute < 0 || c.Mute.Go() > 30*24*time.Hour {
		return fault.New(fault.Invalid, "A rule is muted for at most 30d after it fired.")
	}
	res, err := s.Queries.Run(ctx, ask(r, s.Clock.Now()))
	if fault.Is(err, fault.Unavailable) {
		return fault.Wrap(fault.Unavailable, err, "The query cannot be tried now, because the store of logs does not answer.").WithNext("try again in a moment")
	}
	if err != nil {
		return err
	}
	_, err = measure(c).Groups(res.Batch)
	return err
}

// sample is what a rule found for one set of labels.
type sample struct {
	labels      map[string]string
	annotations map[string]string
	value       float64
	known       bool // false: nothing was found, only remembered
	bad         bool
	state       string // inactive, pending, firing, muted
	fire        bool   // query rules: the judgement
	resolve     bool
	kept        bool       // metric rules: the condition has ended, KeepFiringFor holds it
	since       *time.Time // metric rules: when the condition began to hold
}

// outcome is one evaluation.
type outcome struct {
	at      time.Time
	took    time.Duration
	samples []sample
	memory  judge.Memory // of query rules
	err     error
}

// evaluate asks a rule once.
func (s *Service) evaluate(ctx context.Context, r Rule, at time.Time) outcome {
	start := s.Clock.Now()
	out := outcome{at: at}
	if r.Kind == Query {
		out.samples, out.memory, out.err = s.evaluateQuery(ctx, r, at)
	} else {
		out.samples, out.err = s.evaluateMetric(ctx, r, at)
	}
	out.took = max(s.Clock.Now().Sub(start), 0)
	return out
}

func (s *Service) evaluateMetric(ctx context.Context, r Rule, at time.Time) ([]sample, error) {
	active, err := s.engine.Eval(ctx, r.ID, at)
	if err != nil {
		return nil, err
	}
	out := make([]sample, len(active))
	for i, a := range active {
		out[i] = sample{labels: a.Labels, annotations: a.Annotations, value: a.Value, known: true, bad: a.Kept.IsZero(), state: Pending, kept: !a.Kept.IsZero(), since: &a.Since}
		if a.Firing {
			out[i].state, out[i].fire = Firing, true
		}
	}
	return out, nil
}

func (s *Service) evaluateQuery(ctx context.Context, r Rule, at time.Time) ([]sample, judge.Memory, error) {
	res, err := s.Queries.Run(ctx, ask(r, at))
	if err != nil {
		return nil, nil, err
	}
	if res.Truncated {
		return nil, nil, fault.New(fault.TooLarge, "The result has more than %d rows.", maxResult).WithNext("add a summarize or a where to the query")
	}
	groups, err := measure(*r.Condition).Groups(res.Batch)
	if err != nil {
		return nil, nil, err
	}
	memory, err := remembered(ctx, s.DB, r.ID)
	if err != nil {
		return nil, nil, err
	}
	open, err := openOf(ctx, s.DB, r.ID)
	if err != nil {
		return nil, nil, err
	}
	c := condition(*r.Condition)
	c.Quiet = at.Before(r.MutedUntil)
	verdicts, after := c.Judge(memory, groups, at, func(dims map[string]string) bool {
		_, is := open[fingerprint(r.ID, queryLabels(r, dims))]
		return is
	})
	if err := judge.Bounded(verdicts, after, r.Condition.Dimensions); err != nil {
		return nil, nil, err
	}
	out := make([]sample, len(verdicts))
	for i, v := range verdicts {
		out[i] = sample{labels: queryLabels(r, v.Labels), value: v.Value, known: v.Known, bad: v.Bad, state: v.State, fire: v.Fire, resolve: v.Resolve}
		out[i].annotations = map[string]string{"summary": queryText(r.Summary, r, v), "description": queryText(r.Description, r, v), "next_step": r.NextStep}
	}
	return out, after, nil
}

// queryLabels are the labels of a query rule's alert: those of the rule and its dimensions,
// the known ones of these under the names that metrics use.
func queryLabels(r Rule, dims map[string]string) map[string]string {
	out := map[string]string{}
	known := map[string]string{
		"PodNamespace": "namespace", "Namespace": "namespace", "PodName": "pod", "ContainerName": "container", "Computer": "node",
		table.Environment: "environment", table.Release: "release",
	}
	if r.Project == "" {
		known[table.Project] = "project"
	}
	for name, v := range dims {
		label := known[name]
		if label == "" {
			label = legacy(name)
		}
		if v != "" {
			out[label] = v
		}
	}
	maps.Copy(out, r.Labels)
	out["alertname"], out["severity"] = r.Name, r.Severity
	if r.Project != "" {
		out["project"] = r.Project
	}
	if r.Environment != "" && out["environment"] == "" {
		out["environment"] = r.Environment
	}
	return out
}

// legacy turns the name of a column into that of a label. What the platform sets cannot be
// the name of a dimension.
func legacy(column string) string {
	out := []byte(column)
	for i, c := range out {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			out[i] = '_'
		}
	}
	if slices.Contains(reserved(), string(out)) {
		return "dimension_" + string(out)
	}
	return string(out)
}

// queryText puts values into a text of a query rule: {Column} is the value of a dimension,
// {value} the number. Without a text there is one that says what was found.
func queryText(text string, r Rule, v judge.Verdict) string {
	if text != "" {
		pairs := []string{"{value}", number(v.Value)}
		for _, name := range slices.Sorted(maps.Keys(v.Labels)) {
			pairs = append(pairs, "{"+name+"}", v.Labels[name])
		}
		// Shortened at once: a thousand groups with a hundred long names each are too much.
		return table.Shorten(strings.NewReplacer(pairs...).Replace(text), maxText)
	}
	what := "rows"
	if r.Condition.Measure != "" {
		what = r.Condition.Aggregate + " of " + r.Condition.Measure
	}
	out := fmt.Sprintf("%s: %s %s %s %s", r.Name, number(v.Value), what, r.Condition.Operator, number(r.Condition.Threshold))
	for _, name := range r.Condition.Dimensions {
		out += fmt.Sprintf(", %s %s", name, v.Labels[name])
	}
	return out
}

func number(v float64) string { return fmt.Sprintf("%.6g", v) }

// Draft makes a rule of a query that somebody looks at ("alert on this"); nothing is
// stored. A query that ends in one column of numbers is measured by it, others by their
// rows; columns of text beside it are dimensions. It needs read of the project.
func (s *Service) Draft(ctx context.Context, a identity.Actor, project, text string) (Rule, error) {
	if err := s.maySee(ctx, a, project); err != nil {
		return Rule{}, err
	}
	if len(text) > maxQuery {
		return Rule{}, fault.New(fault.TooLarge, "The query is longer than %d bytes.", maxQuery)
	}
	c := Condition{Period: Duration(5 * time.Minute), Operator: ">", Bad: 1, Of: 1, AutoResolve: true}
	r := Rule{Project: project, Name: "New query rule", Kind: Query, Origin: Own, Query: text, Severity: Warning, Enabled: true, Every: Duration(5 * time.Minute), Condition: &c}
	res, err := s.Queries.Run(ctx, ask(r, s.Clock.Now()))
	if err != nil {
		return Rule{}, err
	}
	var numbers, texts []string
	for _, col := range res.Batch.Columns {
		switch col.Kind {
		case table.Int, table.Long, table.Real, table.Decimal:
			numbers = append(numbers, col.Name)
		case table.String, table.Bool, table.GUID:
			texts = append(texts, col.Name)
		}
	}
	// A table as it is has many columns: then its rows count.
	if len(numbers) == 1 && len(res.Batch.Columns) <= 6 {
		c.Measure, c.Aggregate = numbers[0], "max"
		if len(texts) <= 5 {
			c.Dimensions = texts
		}
	}
	r.Condition = &c
	return withDefaults(r), nil
}
