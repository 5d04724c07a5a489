package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
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

func (e *env) policyAssign() *cobra.Command {
	var initiative, definition, scope, effect, name string
	var parameters, excluded []string
	var observe bool
	c := &cobra.Command{
		Use: "assign", Short: "Put an initiative or a definition to work in a scope", Args: cobra.NoArgs,
		Long: "Scopes are platform, project:NAME, cluster:NAME and environment:PROJECT/NAME. With --observe nothing is refused, but everything is\n" +
			"judged and shown.",
		Example: "  towpath policy assign --initiative restricted --scope environment:shop/production\n" +
			"  towpath policy assign --initiative supply-chain --scope project:shop --effect deny --observe",
		RunE: func(c *cobra.Command, _ []string) error {
			kind, target := "policySetDefinitions", initiative
			if definition != "" {
				kind, target = "policyDefinitions", definition
			}
			if target == "" || initiative != "" && definition != "" {
				return fault.New(fault.Invalid, "Either --initiative or --definition is needed.").WithNext("list them with `towpath policy initiatives` and `towpath policy definitions`")
			}
			if name == "" {
				name = target
				if scope != rule.Platform {
					_, of, _ := strings.Cut(scope, ":")
					name = strings.ReplaceAll(of, "/", "-") + "-" + target
				}
			}
			values := map[string]any{}
			if effect != "" {
				values["effect"] = map[string]any{"value": effect}
			}
			if len(excluded) > 0 {
				values["excludedNamespaces"] = map[string]any{"value": excluded}
			}
			for _, p := range parameters {
				key, text, ok := strings.Cut(p, "=")
				if !ok {
					return fault.New(fault.Invalid, "%q is no KEY=VALUE.", p)
				}
				var v any
				if json.Unmarshal([]byte(text), &v) != nil {
					v = text
				}
				values[key] = map[string]any{"value": v}
			}
			mode := "Default"
			if observe {
				mode = "DoNotEnforce"
			}
			return e.applyPolicy(c, map[string]any{"name": name, "properties": map[string]any{
				"policyDefinitionId": "/providers/Microsoft.Authorization/" + kind + "/" + target, "scope": scope, "parameters": values, "enforcementMode": mode,
			}})
		},
	}
	f := c.Flags()
	f.StringVar(&initiative, "initiative", "", "initiative to assign")
	f.StringVar(&definition, "definition", "", "definition to assign")
	f.StringVar(&scope, "scope", rule.Platform, "where it holds")
	f.StringVar(&effect, "effect", "", "deny, audit or disabled (default: the initiative's)")
	f.StringVar(&name, "name", "", "name of the assignment (default: made of scope and initiative)")
	f.StringArrayVar(&parameters, "parameter", nil, "KEY=VALUE, the value as JSON or text")
	f.StringSliceVar(&excluded, "exclude-namespace", nil, "namespace in which it does not hold")
	f.BoolVar(&observe, "observe", false, "judge and show, refuse nothing")
	return c
}

// applyPolicy sends a document and says what became of it.
func (e *env) applyPolicy(c *cobra.Command, document any) error {
	got, err := send[policy.Applied](c.Context(), e, http.MethodPost, "/policy/documents", document)
	if err != nil {
		return err
	}
	return e.print(got, func() table {
		return table{rows: [][]string{{fmt.Sprintf("%s %s %s; the policy set is %s", got.Kind, got.Name, got.Action, short(got.Set))}}}
	})
}

func (e *env) policyApply() *cobra.Command {
	return &cobra.Command{
		Use: "apply FILE", Short: "Store a definition, initiative, assignment or exemption in Azure Policy's form", Args: cobra.ExactArgs(1),
		Long:    "Reads one document as JSON or YAML, from a file or from standard input (-). When the policies do not compile with it, nothing changes.",
		Example: "  towpath policy apply definitions/no-latest.json",
		RunE: func(c *cobra.Command, args []string) error {
			b, err := e.readInput(args[0])
			if err != nil {
				return err
			}
			text, err := yaml.YAMLToJSONStrict(b)
			if err != nil {
				return fault.Wrap(fault.Invalid, err, "The file %s is no JSON and no YAML: %v.", args[0], err)
			}
			return e.applyPolicy(c, json.RawMessage(text))
		},
	}
}

func (e *env) policyExempt() *cobra.Command {
	var name, scope, category, reason, ticket string
	var rules, objects []string
	var lasts time.Duration
	c := &cobra.Command{
		Use: "exempt ASSIGNMENT", Short: "Take objects out of an assignment for a while", Args: cobra.ExactArgs(1),
		Long: "An exemption takes what it names out of the rules that it names, until it expires. An object is KIND/NAMESPACE/NAME, with the API\n" +
			"group after the kind where it has one; a workload stands for the pods that it makes as well. Waiver: the risk is accepted;\n" +
			"Mitigated: it is met by other means.",
		Example: "  towpath policy exempt baseline --rule privileged --object Deployment.apps/shop/legacy --category Waiver --reason \"until it is rewritten\" --for 720h",
		RunE: func(c *cobra.Command, args []string) error {
			p := map[string]any{"policyAssignmentId": args[0], "exemptionCategory": category, "description": reason}
			if scope != "" {
				p["scope"] = scope
			}
			if lasts > 0 {
				p["expiresOn"] = time.Now().Add(lasts).UTC().Format(time.RFC3339)
			}
			if len(rules) > 0 {
				p["policyDefinitionReferenceIds"] = rules
			}
			if ticket != "" {
				p["metadata"] = map[string]any{"ticketRef": ticket}
			}
			var refs []map[string]string
			for _, o := range objects {
				ref, err := objectRef(o)
				if err != nil {
					return err
				}
				refs = append(refs, ref)
			}
			if len(refs) > 0 {
				p["objects"] = refs
			}
			if name == "" {
				name = args[0] + "-" + time.Now().UTC().Format("20060102-150405")
			}
			return e.applyPolicy(c, map[string]any{"name": name, "properties": p})
		},
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "name of the exemption (default: made of assignment and time)")
	f.StringVar(&scope, "scope", "", "where it holds (default: where the assignment does)")
	f.StringVar(&category, "category", rule.Waiver, "Waiver or Mitigated")
	f.StringVar(&reason, "reason", "", "why, for whoever reads it later")
	f.StringVar(&ticket, "ticket", "", "where it was agreed")
	f.StringSliceVar(&rules, "rule", nil, "only this rule of the assignment")
	f.StringSliceVar(&objects, "object", nil, "only this object: KIND[.GROUP]/NAMESPACE/NAME")
	f.DurationVar(&lasts, "for", 0, "how long it holds (default: until it is removed)")
	return c
}

func objectRef(s string) (map[string]string, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" {
		return nil, fault.New(fault.Invalid, "%q is no object.", s).WithNext("write KIND/NAMESPACE/NAME, such as Deployment.apps/shop/cart")
	}
	kind, group, _ := strings.Cut(parts[0], ".")
	out := map[string]string{"kind": kind}
	for k, v := range map[string]string{"apiGroup": group, "namespace": parts[1], "name": parts[2]} {
		if v != "" {
			out[k] = v
		}
	}
	return out, nil
}

func (e *env) policyExemptions() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "exemptions", Short: "List exemptions, ended ones too", Args: cobra.NoArgs, Example: "  towpath policy exemptions --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]policy.Exemption](c.Context(), e, "/policy/exemptions", e.ofProject(nil))
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "assignment", "rules", "category", "by", "expires"}, none: "Nothing is exempt."}
				for _, x := range got {
					until := "never"
					if !x.Expires.IsZero() {
						until = x.Expires.Local().Format(time.DateTime)
					}
					if x.Expired {
						until = "ended " + ago(x.Expires)
					}
					t.rows = append(t.rows, []string{x.Name, x.Assignment, orDash(strings.Join(x.References, " ")), x.Category, x.By, until})
				}
				return t
			})
		},
	})
}

func (e *env) policyRemove(use, short, where string) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1), Example: "  towpath policy " + verb + " shop-restricted",
		RunE: func(c *cobra.Command, args []string) error {
			_, err := send[any](c.Context(), e, http.MethodDelete, "/policy/"+where+"/"+url.PathEscape(args[0]), nil)
			return err
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
