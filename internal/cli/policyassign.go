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

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
)

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
