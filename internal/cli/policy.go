package cli

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/rule"
)

func (e *env) policies() *cobra.Command {
	return noun("policy", "What may run, and who says so",
		e.policyList(), e.policyShow(), e.policyAssign(), e.policyRemove("unassign NAME", "Remove an assignment with its exemptions", "assignments"),
		e.policyExempt(), e.policyExemptions(), e.policyRemove("unexempt NAME", "Remove an exemption", "exemptions"), e.policyApply(),
		e.policyDefinitions(), e.policyInitiatives(), e.policyCompliance(), e.policyDecisions(), e.policyDecision(), e.policyStatus(), e.policyTest())
}

// ofProject adds the project, when one is chosen, to a query.
func (e *env) ofProject(q url.Values) url.Values {
	if q == nil {
		q = url.Values{}
	}
	if e.project == "" {
		e.project = e.getenv("TOWPATH_PROJECT")
	}
	if e.project != "" {
		q.Set("project", e.project)
	}
	return q
}

func (e *env) policyList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List the assignments that concern a project", Args: cobra.NoArgs, Example: "  towpath policy list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]policy.Assignment](c.Context(), e, "/policy/assignments", e.ofProject(nil))
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "assigns", "scope", "effect", "rules", "policy"}, none: "Nothing is assigned. Assign an initiative: towpath policy assign --initiative baseline --scope platform"}
				for _, a := range got {
					effect := a.Effect
					if a.Enforcement == "DoNotEnforce" {
						effect += " (not enforced)"
					}
					t.rows = append(t.rows, []string{a.Name, a.Target, scopeWord(a.Scope), effect, fmt.Sprint(len(a.Rules)), short(a.Policy)})
				}
				return t
			})
		},
	})
}

func scopeWord(s rule.Scope) string {
	if s.Name == "" {
		return s.Kind
	}
	return s.Kind + ":" + s.Name
}

func (e *env) policyShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show an assignment with its rules", Args: cobra.ExactArgs(1), Example: "  towpath policy show baseline",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := fetch[policy.Assignment](c.Context(), e, "/policy/assignments/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return e.print(a, func() table {
				t := table{rows: [][]string{{"name", a.Name}, {"title", a.Title}, {"assigns", a.Target}, {"scope", scopeWord(a.Scope)}, {"policy", a.Policy}}}
				for _, r := range a.Rules {
					t.rows = append(t.rows, []string{"rule", r.Reference, r.Effect, r.Title})
				}
				return t
			})
		},
	}
}

func (e *env) policyDefinitions() *cobra.Command {
	return &cobra.Command{
		Use: "definitions [NAME]", Short: "List definitions, or show one with its program", Args: cobra.MaximumNArgs(1),
		Example: "  towpath policy definitions\n  towpath policy definitions container-no-privilege",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				d, err := fetch[policy.Definition](c.Context(), e, "/policy/definitions/"+url.PathEscape(args[0]), nil)
				if err != nil {
					return err
				}
				if e.output != "table" && e.output != "wide" {
					return e.print(d, nil)
				}
				_, err = fmt.Fprintf(e.out, "# %s %s: %s\n# %s\n%s", d.Name, d.Version, d.Title, d.Description, d.Program)
				return err
			}
			got, err := fetch[[]policy.Definition](c.Context(), e, "/policy/definitions", nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "version", "engine", "title", "used by"}, none: "No definitions."}
				for _, d := range got {
					t.rows = append(t.rows, []string{d.Name, d.Version, d.Engine, d.Title, orDash(strings.Join(d.UsedBy, " "))})
				}
				return t
			})
		},
	}
}

func (e *env) policyInitiatives() *cobra.Command {
	return &cobra.Command{
		Use: "initiatives", Short: "List initiatives", Args: cobra.NoArgs, Example: "  towpath policy initiatives",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]policy.Initiative](c.Context(), e, "/policy/initiatives", nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "version", "definitions", "title", "used by"}, none: "No initiatives."}
				for _, i := range got {
					t.rows = append(t.rows, []string{i.Name, i.Version, fmt.Sprint(len(i.Members)), i.Title, orDash(strings.Join(i.UsedBy, " "))})
				}
				return t
			})
		},
	}
}

func (e *env) policyCompliance() *cobra.Command {
	q := map[string]*string{}
	var limit, offset int
	c := e.inProject(&cobra.Command{
		Use: "compliance", Short: "What each assignment says of each live object, and since when", Args: cobra.NoArgs,
		Example: "  towpath policy compliance --project shop\n  towpath policy compliance --outcome violated -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			query := e.ofProject(url.Values{"limit": {fmt.Sprint(limit)}, "offset": {fmt.Sprint(offset)}})
			for k, v := range q {
				if *v != "" {
					query.Set(k, *v)
				}
			}
			got, err := fetch[audit.Report](c.Context(), e, "/policy/compliance", query)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"assignment", "rule", "object", "verdict", "since", "message"}, none: "Nothing that runs is matched by an assignment.", wide: 1}
				for _, o := range got.Objects {
					t.rows = append(t.rows, []string{o.Assignment, o.Rule, o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/"), o.Outcome, ago(o.Since), orDash(o.Message)})
				}
				for _, a := range got.Assignments {
					t.rows = append(t.rows, []string{a.Name, "", fmt.Sprintf("%d objects", a.Objects), fmt.Sprintf("%.1f %%", a.Percent), ago(a.Since), ""})
				}
				return t
			})
		},
	})
	for name, what := range map[string]string{
		"environment": "only of this environment", "assignment": "only by this assignment", "kind": "only of this kind", "namespace": "only in this namespace",
		"outcome": "only compliant, denied, audited, exempt, error or violated", "text": "only with this text in name or message",
	} {
		q[name] = c.Flags().String(name, "", what)
	}
	c.Flags().IntVar(&limit, "limit", 200, "at most so many verdicts")
	c.Flags().IntVar(&offset, "offset", 0, "leave so many out")
	return c
}

func (e *env) policyDecisions() *cobra.Command {
	q := map[string]*string{}
	var refused bool
	var run, pull int64
	c := e.inProject(&cobra.Command{
		Use: "decisions", Short: "List decisions, newest first", Args: cobra.NoArgs,
		Example: "  towpath policy decisions --refused --project shop\n  towpath policy decisions --run 12 --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			query := e.ofProject(url.Values{"refused": {fmt.Sprint(refused)}, "run": {fmt.Sprint(run)}, "pull": {fmt.Sprint(pull)}})
			for k, v := range q {
				if *v != "" {
					query.Set(k, *v)
				}
			}
			got, err := fetch[[]policy.Decision](c.Context(), e, "/policy/decisions", query)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "when", "point", "answer", "objects", "why", "actor"}, none: "No decisions are recorded."}
				for _, d := range got {
					answer, why := "allowed", ""
					if !d.Allowed {
						answer, why = "refused", firstWhy(d)
					}
					t.rows = append(t.rows, []string{d.ID, ago(d.Time), d.Point, answer, objectsOf(d), why, d.Actor})
				}
				return t
			})
		},
	})
	for name, what := range map[string]string{"environment": "only of this environment", "point": "only at pull, pipeline, deploy, admission or audit", "commit": "only of this commit"} {
		q[name] = c.Flags().String(name, "", what)
	}
	c.Flags().BoolVar(&refused, "refused", false, "only refusals")
	c.Flags().Int64Var(&run, "run", 0, "only of this run")
	c.Flags().Int64Var(&pull, "pull", 0, "only of this pull request")
	return c
}

func objectsOf(d policy.Decision) string {
	if len(d.Objects) == 1 {
		o := d.Objects[0]
		return o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
	}
	return fmt.Sprintf("%d objects", len(d.Objects))
}

func firstWhy(d policy.Decision) string {
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if v.Refuses {
				return v.Assignment + "/" + v.Reference
			}
		}
	}
	return ""
}

func (e *env) policyDecision() *cobra.Command {
	return &cobra.Command{
		Use: "decision ID", Short: "Show a decision", Args: cobra.ExactArgs(1), Example: "  towpath policy decision 01JQ…",
		RunE: func(c *cobra.Command, args []string) error {
			d, err := fetch[policy.Decision](c.Context(), e, "/policy/decisions/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return e.print(d, func() table { return decisionTable(d) })
		},
	}
}

func decisionTable(d policy.Decision) table {
	answer := "allowed"
	if !d.Allowed {
		answer = "refused"
	}
	t := table{rows: [][]string{{"decision", d.ID}, {"answer", answer + " at " + d.Point + ", " + ago(d.Time)}, {"actor", d.Actor}, {"policy set", d.Set}, {"input", d.Input}}}
	for _, j := range d.Judges {
		t.rows = append(t.rows, []string{"judges", string(j)})
	}
	for _, o := range d.Objects {
		t.rows = append(t.rows, []string{"object", o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")})
		for _, v := range o.Verdicts {
			if v.Outcome == rule.Compliant {
				continue
			}
			t.rows = append(t.rows, []string{"", v.Assignment + "/" + v.Reference, v.Outcome, "policy " + short(v.Policy)})
			for i, x := range v.Violations {
				at := ""
				if i < len(v.At) && v.At[i].File != "" {
					at = fmt.Sprintf("%s:%d ", v.At[i].File, v.At[i].Line)
				}
				t.rows = append(t.rows, []string{"", at + x.Path, x.Message})
			}
			if v.Fix != "" {
				t.rows = append(t.rows, []string{"", "fix", v.Fix})
			}
		}
	}
	return t
}

func (e *env) policyStatus() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "status", Short: "What is in force, and how it is enforced", Args: cobra.NoArgs, Example: "  towpath policy status",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := fetch[api.PolicyStatus](c.Context(), e, "/policy/status", e.ofProject(nil))
			if err != nil {
				return err
			}
			return e.print(s, func() table {
				return table{rows: [][]string{
					{"policy set", s.Set}, {"rules", fmt.Sprint(s.Rules)},
					{"in the API server", fmt.Sprintf("%d policies, %d changes by others undone", s.Enforcement.Policies, s.Enforcement.Drift)},
					{"webhook", fmt.Sprint(s.Enforcement.Webhook)}, {"error", orDash(s.Enforcement.Error)},
					{"audit", fmt.Sprintf("%d objects, %d differences in the last sweep", s.Audit.Objects, s.Audit.Differences)},
				}}
			})
		},
	})
}
