package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	gate "towpath.dev/towpath/internal/pipeline/check"
)

// gates are the verbs of `towpath check` about the resources of pipelines.
func (e *env) gates() []*cobra.Command {
	return []*cobra.Command{e.gateList(), e.gateShow(), e.gateAdd(), e.gateRemove(), e.gatePermit()}
}

func (e *env) gateList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List the checks on the resources that pipelines use", Args: cobra.NoArgs, Example: "  towpath check list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/gates")
			if err != nil {
				return err
			}
			got, err := fetch[[]gate.Definition](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"resource", "check", "asks", "time-out", "id"}, none: "No checks: every stage may use every resource. Add one: towpath check add environment/production approval --approver user:NAME"}
				for _, d := range got {
					t.rows = append(t.rows, []string{d.Resource.Path(), d.Name(), asks(d), span(d.Timeout()), d.ID})
				}
				return t
			})
		},
	})
}

// asks says in a few words what a check wants.
func asks(d gate.Definition) string {
	switch d.Type {
	case gate.Approval:
		text := strings.Join(d.Approval.Approvers, " ")
		if d.Approval.Minimum > 0 {
			text = fmt.Sprintf("%d of %s", d.Approval.Minimum, text)
		}
		return text
	case gate.BranchControl:
		return strings.Join(d.Branches.Allowed, " ")
	case gate.RequiredTemplate:
		return d.Template.Templates[0].Repo + ":" + d.Template.Templates[0].Path
	case gate.EvaluateArtifact:
		return orDash(d.Artifact.Expression)
	case gate.BusinessHours:
		return fmt.Sprintf("%s %s-%s %s", strings.Join(d.Hours.Days, ","), d.Hours.Start, d.Hours.End, d.Hours.Zone)
	case gate.REST:
		return d.REST.URL
	case gate.Alerts:
		return "no alert of " + d.Alerts.Severity
	}
	return "-"
}

func (e *env) gateShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show ID", Short: "Show a check on a resource", Args: cobra.ExactArgs(1), Example: "  towpath check show 01K9ZQ3M -o yaml --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/gates/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			got, err := fetch[gate.Definition](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{"id", got.ID}, {"resource", got.Resource.Path()}, {"check", got.Name()}, {"type", string(got.Type)}, {"asks", asks(got)},
					{"time-out", span(got.Timeout())}, {"changed", ago(got.Changed) + " by " + got.By}}}
			})
		},
	})
}

// newGate are the flags of `towpath check add`.
type newGate struct {
	file     string
	approval gate.ApprovalRule
	allowed  []string
	hours    gate.HoursRule
	rest     gate.RESTRule
	artifact gate.ArtifactRule
	alerts   gate.AlertRule
	in       api.NewCheck
}

func (e *env) gateAdd() *cobra.Command {
	var g newGate
	c := e.inProject(&cobra.Command{
		Use: "add RESOURCE TYPE", Short: "Put a check on a resource of pipelines", Args: cobra.ExactArgs(2),
		Long: "Puts a check on an environment, connection, group, file, repository or pool, written as KIND/NAME. Each stage that uses the resource\n" +
			"waits until the check is passed. The types: approval, branchControl, requiredTemplate, evaluateArtifact, businessHours, rest, alerts,\n" +
			"exclusiveLock. What a type asks for is said by flags, or by --file with its rule as YAML or JSON (`towpath check show ID -o yaml`\n" +
			"prints one).",
		Example: "  towpath check add environment/production approval --approver role:maintain --minimum 1 --requester-cannot-approve --project shop\n" +
			"  towpath check add environment/production exclusiveLock --project shop\n" +
			"  towpath check add environment/production evaluateArtifact --expression 'image.signed && image.critical == 0' --project shop\n" +
			"  echo '{templates: [{repo: shop/templates, ref: refs/heads/main, path: secure.yml}]}' | towpath check add pool/default requiredTemplate --file - --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			g.in.Resource, g.in.Type = args[0], gate.Type(args[1])
			if err := e.fillGate(&g); err != nil {
				return err
			}
			path, err := e.projectPath("/gates")
			if err != nil {
				return err
			}
			got, err := send[gate.Definition](c.Context(), e, http.MethodPost, path, g.in)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{fmt.Sprintf("check %s on %s: %s", got.ID, got.Resource.Path(), got.Name())}}}
			})
		},
	})
	f := c.Flags()
	f.StringVarP(&g.file, "file", "f", "", "the rule as YAML or JSON; - is standard input")
	f.StringVar(&g.in.Title, "title", "", "name for people")
	f.IntVar(&g.in.TimeoutMinutes, "timeout", 0, "minutes after which the stage is skipped (default: 30 days)")
	f.StringSliceVar(&g.approval.Approvers, "approver", nil, "approval: user:NAME, or a group role:ROLE")
	f.IntVar(&g.approval.Minimum, "minimum", 0, "approval: how many must approve (default: all)")
	f.BoolVar(&g.approval.InSequence, "in-sequence", false, "approval: one after the other")
	f.BoolVar(&g.approval.RequesterCannotApprove, "requester-cannot-approve", false, "approval: who started the run is barred")
	f.StringVar(&g.approval.Instructions, "instructions", "", "approval: what to look at")
	f.StringVar(&g.approval.Moment, "moment", "", "approval: before or after the dynamic checks (default: with them)")
	f.StringSliceVar(&g.allowed, "branch", nil, "branchControl: refs/heads/main, refs/heads/release/*")
	f.StringSliceVar(&g.hours.Days, "day", nil, "businessHours: mon to sun")
	f.StringVar(&g.hours.Start, "start", "", "businessHours: 09:00")
	f.StringVar(&g.hours.End, "end", "", "businessHours: 17:00")
	f.StringVar(&g.hours.Zone, "zone", "", "businessHours: Europe/Rome")
	f.StringVar(&g.rest.URL, "url", "", "rest: address that is asked")
	f.StringVar(&g.rest.Success, "success", "", "rest: expression over the answer, eq(root['status'], 'ok')")
	f.StringVar(&g.rest.Connection, "connection", "", "rest: generic service connection whose credentials the request bears")
	f.IntVar(&g.rest.RetryMinutes, "retry", 0, "rest, alerts: minutes until it is asked again")
	f.StringVar(&g.alerts.Severity, "severity", "", "alerts: the least that counts: info, warning, error, critical")
	f.StringVar(&g.artifact.Expression, "expression", "", "evaluateArtifact: CEL over image and run")
	f.BoolVar(&g.artifact.Signed, "signed", false, "evaluateArtifact: every image is signed")
	f.BoolVar(&g.artifact.NoCritical, "no-critical", false, "evaluateArtifact: no scan has a critical finding")
	return c
}

// fillGate sets the rule of the type from the file or the flags.
func (e *env) fillGate(g *newGate) error {
	g.alerts.RetryMinutes = g.rest.RetryMinutes
	var rule any
	switch g.in.Type {
	case gate.Approval:
		g.in.Approval, rule = &g.approval, &g.approval
	case gate.BranchControl:
		g.in.Branches = &gate.BranchRule{Allowed: g.allowed}
		rule = g.in.Branches
	case gate.RequiredTemplate:
		g.in.Template = &gate.TemplateRule{}
		rule = g.in.Template
	case gate.EvaluateArtifact:
		g.in.Artifact, rule = &g.artifact, &g.artifact
	case gate.BusinessHours:
		g.in.Hours, rule = &g.hours, &g.hours
	case gate.REST:
		g.in.REST, rule = &g.rest, &g.rest
	case gate.Alerts:
		g.in.Alerts, rule = &g.alerts, &g.alerts
	}
	if g.file == "" || rule == nil {
		return nil
	}
	b, err := e.readInput(g.file)
	if err != nil {
		return err
	}
	text, err := yaml.YAMLToJSONStrict(b)
	if err == nil {
		err = json.Unmarshal(text, rule)
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The file %s is no rule of the type %s: %v.", g.file, g.in.Type, err).WithNext("see `towpath check add --help`")
	}
	return nil
}

func (e *env) gateRemove() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "remove ID", Short: "Remove a check from a resource", Args: cobra.ExactArgs(1), Example: "  towpath check remove 01K9ZQ3M --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/gates/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			_, err = send[any](c.Context(), e, http.MethodDelete, path, nil)
			return err
		},
	})
}

func (e *env) gatePermit() *cobra.Command {
	var forbid bool
	c := e.inProject(&cobra.Command{
		Use: "permit RESOURCE [PIPELINE]", Short: "Show or change which pipelines may use a resource", Args: cobra.RangeArgs(1, 2),
		Long:    "Without a pipeline, shows which pipelines may use the resource. With one (PROJECT/REPO, or \"*\" for all of the project), lets it.",
		Example: "  towpath check permit connection/cluster shop/web --project shop\n  towpath check permit connection/cluster \"*\" --forbid --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			kind, name, ok := strings.Cut(args[0], "/")
			if !ok {
				return fault.New(fault.Invalid, "%q names no resource.", args[0]).WithNext("write KIND/NAME, such as environment/production")
			}
			path, err := e.projectPath("/access/" + url.PathEscape(kind) + "/" + url.PathEscape(name))
			if err != nil {
				return err
			}
			var got gate.Access
			if len(args) == 1 {
				got, err = fetch[gate.Access](c.Context(), e, path, nil)
			} else {
				got, err = send[gate.Access](c.Context(), e, http.MethodPut, path, map[string]any{"pipeline": args[1], "allowed": !forbid})
			}
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				who := strings.Join(got.Pipelines, " ")
				if !got.Restricted {
					who = "every pipeline of the project"
				}
				return table{rows: [][]string{{got.Resource.Path(), "may be used by " + orNobody(who)}}}
			})
		},
	})
	c.Flags().BoolVar(&forbid, "forbid", false, "take the permission back")
	return c
}

func orNobody(s string) string {
	if s == "" {
		return "no pipeline"
	}
	return s
}
