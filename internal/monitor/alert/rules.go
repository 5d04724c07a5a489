package alert

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert/promrule"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
)

// Limits of rules.
const (
	maxRules = 500 // of a project
	maxQuery = 16 << 10
	maxText  = 4 << 10
	maxName  = 100 // bytes of a foreign name that a message repeats
	minEvery = 5 * time.Second
	maxEvery = 24 * time.Hour
)

var (
	ruleName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._:-]{0,99}$`)
	labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)
)

// maySee asks for read of a project, or for an administrator where there is none.
func (s *Service) maySee(ctx context.Context, a identity.Actor, project string) error {
	return s.may(ctx, a, project, identity.Read)
}

// may asks for a role in a project, or for an administrator where there is none.
func (s *Service) may(ctx context.Context, a identity.Actor, project string, r identity.Role) error {
	if project == "" {
		return s.Auth.RequireAdmin(ctx, a)
	}
	return s.Auth.Require(ctx, a, project, r)
}

// Rules lists the rules of a project with their states, and those of the platform as far as
// they concern the project; "" lists those of the platform only. It needs read of the
// project; "" needs an administrator.
func (s *Service) Rules(ctx context.Context, a identity.Actor, project string) ([]RuleState, error) {
	if err := s.maySee(ctx, a, project); err != nil {
		return nil, err
	}
	rules, err := bodies[Rule](ctx, s.DB, `SELECT body FROM alert_rule WHERE project = ? OR project = ''`, project)
	if err != nil {
		return nil, err
	}
	all := project == ""
	firing, err := s.firing(ctx, project, all)
	if err != nil {
		return nil, err
	}
	out := make([]RuleState, len(rules))
	for i, r := range rules {
		out[i] = s.stateOf(r, firing[r.ID], project, all)
	}
	slices.SortFunc(out, func(a, b RuleState) int {
		return cmp.Or(cmp.Compare(b.Project, a.Project), cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	})
	return out, nil
}

// firing counts the open alerts of each rule within a project.
func (s *Service) firing(ctx context.Context, project string, all bool) (map[string]int, error) {
	query, args := `SELECT rule, COUNT(*) FROM alert WHERE resolved = 0 AND project = ? GROUP BY rule`, []any{project}
	if all {
		query, args = `SELECT rule, COUNT(*) FROM alert WHERE resolved = 0 GROUP BY rule`, nil
	}
	rows, err := s.DB.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("counting open alerts: %w", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var rule string
		var n int
		if err := rows.Scan(&rule, &n); err != nil {
			return nil, fmt.Errorf("counting open alerts: %w", err)
		}
		out[rule] = n
	}
	return out, rows.Err()
}

// stateOf adds to a rule how it is, as far as somebody of the project may know.
func (s *Service) stateOf(r Rule, firing int, project string, all bool) RuleState {
	st := s.statusOf(r.ID)
	out := RuleState{Rule: r, State: Inactive, Firing: firing, Evaluated: st.evaluated, Took: st.took, Error: st.err, Missed: st.missed}
	for _, x := range st.pending {
		if all || x.labels["project"] == project {
			out.Pending++
		}
	}
	if r.Project == "" && !all && out.Error != "" {
		// What went wrong may name series of other projects.
		out.Error = "The last evaluation failed; an administrator sees why."
	}
	switch {
	case out.Firing > 0:
		out.State = Firing
	case out.Pending > 0:
		out.State = Pending
	}
	return out
}

// PutRule makes a rule, or changes the one of its ID. It needs write in the project; ""
// needs an administrator. Of a recommended rule Enabled, Severity, Every, For and
// KeepFiringFor may be changed; the rest is taken from what is stored. What is wrong with
// its query is said with line and column.
func (s *Service) PutRule(ctx context.Context, a identity.Actor, r Rule) (Rule, error) {
	if err := s.may(ctx, a, r.Project, identity.Write); err != nil {
		return Rule{}, err
	}
	what, now := "created", s.Clock.Now()
	if r.ID != "" {
		before, err := s.readRule(ctx, s.DB, r.ID)
		if err != nil || before.Project != r.Project {
			return Rule{}, noRule(r.ID)
		}
		what = "changed"
		if r, err = changed(before, r); err != nil {
			return Rule{}, err
		}
	} else {
		r.ID, r.Origin, r.Created, r.Tuned, r.Correction, r.MutedUntil = s.Clock.NewID(), Own, now, nil, "", time.Time{}
	}
	r.Changed, r.By = now, a.String()
	r = withDefaults(r)
	if err := s.check(ctx, r); err != nil {
		return Rule{}, err
	}
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		if err := s.unique(ctx, tx, r); err != nil {
			return err
		}
		if err := writeRule(ctx, tx, r); err != nil {
			return err
		}
		facts := []event.Fact{ruleFact(r, what, a.String())}
		if !r.Enabled {
			more, err := s.end(ctx, tx, r.ID, "the rule was switched off", a.String())
			if err != nil {
				return err
			}
			facts = append(facts, more...)
		}
		tx.AfterCommit(func() { s.reload(r.ID) })
		return s.Log.Append(ctx, tx, facts...)
	})
	return r, err
}

// changed returns what a stored rule becomes when somebody asks for another.
func changed(before, want Rule) (Rule, error) {
	if before.Origin == Recommended {
		return tune(before, want), nil
	}
	if want.Kind != "" && want.Kind != before.Kind {
		return Rule{}, fault.New(fault.Conflict, "Rule %s is a %s rule and stays one.", before.Name, before.Kind).WithNext("make a new rule")
	}
	want.Kind, want.Origin, want.Created, want.Tuned, want.Correction, want.MutedUntil = before.Kind, before.Origin, before.Created, nil, "", before.MutedUntil
	return want, nil
}

// unique sees to it that an alert's name says which rule it is of: names of the platform
// are not used by projects, nor the reverse.
func (s *Service) unique(ctx context.Context, tx *store.Tx, r Rule) error {
	query, args := `SELECT COUNT(*) FROM alert_rule WHERE name = ? AND id <> ? AND (project = ? OR project = '')`, []any{r.Name, r.ID, r.Project}
	if r.Project == "" {
		query, args = `SELECT COUNT(*) FROM alert_rule WHERE name = ? AND id <> ?`, []any{r.Name, r.ID}
	}
	var n int
	if err := tx.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return fmt.Errorf("looking for rules named %s: %w", r.Name, err)
	}
	if n > 0 {
		return fault.New(fault.Conflict, "There is a rule %q already, of this project or of the platform.", r.Name).WithNext("give this one another name")
	}
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM alert_rule WHERE project = ?`, r.Project).Scan(&n); err != nil {
		return fmt.Errorf("counting rules: %w", err)
	}
	if n > maxRules {
		return fault.New(fault.TooLarge, "A project has at most %d rules.", maxRules).WithNext("remove one that nobody needs")
	}
	return nil
}

func withDefaults(r Rule) Rule {
	if r.Severity == "" {
		r.Severity = Warning
	}
	if r.Every == 0 {
		r.Every = Duration(time.Minute)
		if r.Kind == Query {
			r.Every = Duration(5 * time.Minute)
		}
	}
	if r.Kind != Query {
		r.Condition = nil
		return r
	}
	r.For, r.KeepFiringFor = 0, 0
	var c Condition
	if r.Condition != nil {
		c = *r.Condition
	}
	if c.Period == 0 {
		c.Period = r.Every
	}
	if c.Operator == "" {
		c.Operator = ">"
	}
	if c.Measure != "" && c.Aggregate == "" {
		c.Aggregate = "max"
	}
	c.Bad, c.Of = max(c.Bad, 1), max(c.Of, c.Bad, 1)
	r.Condition = &c
	return r
}

// check says what is wrong with a rule.
func (s *Service) check(ctx context.Context, r Rule) error {
	if !ruleName.MatchString(r.Name) {
		return fault.New(fault.Invalid, "%q cannot be the name of a rule.", table.Clip(r.Name, maxName)).WithNext("use up to 100 letters, digits, spaces and . _ : -")
	}
	if !slices.Contains([]string{Critical, Error, Warning, Info}, r.Severity) {
		return fault.New(fault.Invalid, "%q is not a severity.", table.Clip(r.Severity, maxName)).WithNext("use critical, error, warning or info")
	}
	if r.Every.Go() < minEvery || r.Every.Go() > maxEvery {
		return fault.New(fault.Invalid, "A rule is evaluated every %s to every %s, not every %s.", Duration(minEvery), Duration(maxEvery), r.Every)
	}
	if len(r.Query) > maxQuery {
		return fault.New(fault.TooLarge, "The query is longer than %d bytes.", maxQuery)
	}
	for _, text := range []string{r.Summary, r.Description, r.NextStep} {
		if len(text) > maxText {
			return fault.New(fault.TooLarge, "A text of the rule is longer than %d bytes.", maxText)
		}
	}
	if len(r.Labels) > 20 {
		return fault.New(fault.TooLarge, "A rule has at most 20 labels.")
	}
	for k, v := range r.Labels {
		if !labelName.MatchString(k) || slices.Contains(reserved(), k) || len(v) > 512 {
			return fault.New(fault.Invalid, "The label %q cannot be set by a rule.", table.Clip(k, maxName)).WithNext("%s are set by the platform", strings.Join(reserved(), ", "))
		}
	}
	switch r.Kind {
	case Metric:
		return promrule.Check(s.metricRule(r))
	case Query:
		return s.checkQuery(ctx, r)
	}
	return fault.New(fault.Invalid, "%q is not a kind of rule.", table.Clip(r.Kind, maxName)).WithNext("use metric or query")
}

// reserved are labels that a rule does not set: they decide who sees an alert and where it goes.
func reserved() []string { return []string{"alertname", "severity", "project"} }

// DeleteRule removes a rule; its open alerts resolve. It needs what PutRule needs. A
// recommended rule is switched off instead.
func (s *Service) DeleteRule(ctx context.Context, a identity.Actor, id string) error {
	r, err := s.ruleFor(ctx, a, id, identity.Write)
	if err != nil {
		return err
	}
	if r.Origin == Recommended {
		return fault.New(fault.Conflict, "Rule %s comes with the platform.", r.Name).WithNext("switch it off instead")
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		facts, err := s.drop(ctx, tx, r, "the rule was removed", a.String())
		if err != nil {
			return err
		}
		tx.AfterCommit(func() { s.reload(r.ID) })
		return s.Log.Append(ctx, tx, facts...)
	})
}

// drop removes a rule with its evaluations and ends its alerts; it returns what is to be said.
func (s *Service) drop(ctx context.Context, tx *store.Tx, r Rule, why, actor string) ([]event.Fact, error) {
	facts, err := s.end(ctx, tx, r.ID, why, actor)
	if err != nil {
		return nil, err
	}
	for _, q := range []string{`DELETE FROM alert_evaluation WHERE rule = ?`, `DELETE FROM alert_rule WHERE id = ?`} {
		if _, err := tx.Exec(ctx, q, r.ID); err != nil {
			return nil, fmt.Errorf("removing rule %s: %w", r.ID, err)
		}
	}
	return append(facts, ruleFact(r, "removed", actor)), nil
}

// MuteRule keeps a rule from firing until a moment; zero ends it. It needs what PutRule needs.
func (s *Service) MuteRule(ctx context.Context, a identity.Actor, id string, until time.Time) error {
	r, err := s.ruleFor(ctx, a, id, identity.Write)
	if err != nil {
		return err
	}
	if now := s.Clock.Now(); !until.IsZero() && (until.Before(now) || until.Sub(now) > 366*24*time.Hour) {
		return fault.New(fault.Invalid, "A rule is muted until a moment within a year from now.")
	}
	r.MutedUntil = until.UTC()
	if until.IsZero() {
		r.MutedUntil = time.Time{}
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		if err := writeRule(ctx, tx, r); err != nil {
			return err
		}
		tx.AfterCommit(func() { s.reload(r.ID) })
		return s.Log.Append(ctx, tx, ruleFact(r, "muted", a.String()))
	})
}

// ruleFor reads a rule for somebody who needs a role in its project. A rule of a project
// that this actor may not read does not exist for them.
func (s *Service) ruleFor(ctx context.Context, a identity.Actor, id string, role identity.Role) (Rule, error) {
	if !a.Known() {
		return Rule{}, s.Auth.RequireAdmin(ctx, a)
	}
	r, err := s.readRule(ctx, s.DB, id)
	if err != nil {
		return Rule{}, err
	}
	if err := s.may(ctx, a, r.Project, role); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = noRule(id)
		}
		return Rule{}, err
	}
	return r, nil
}

// Evaluations returns the evaluations of a rule, newest first, at most limit (100 when it is
// 0, at most 1,000). It needs read of the project; of a rule of the platform it needs an
// administrator.
func (s *Service) Evaluations(ctx context.Context, a identity.Actor, rule string, limit int) ([]Evaluation, error) {
	r, err := s.ruleFor(ctx, a, rule, identity.Read)
	if err != nil {
		return nil, err
	}
	return bodies[Evaluation](ctx, s.DB, `SELECT body FROM alert_evaluation WHERE rule = ? ORDER BY at DESC LIMIT ?`, r.ID, limited(limit))
}

func limited(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}
