package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert"
)

func (e *env) ruleList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List alert rules with their states", Args: cobra.NoArgs, Example: "  towpath alert rule list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]alert.RuleState](c.Context(), e, "/monitor/rules", e.ofProject(nil))
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "name", "state", "severity", "kind", "every", "for", "evaluated", "error"}, wide: 1, none: "No rules."}
				for _, r := range got {
					state := r.State
					if !r.Enabled {
						state = "disabled"
					} else if r.MutedUntil.After(time.Now()) {
						state = "muted"
					}
					t.rows = append(t.rows, []string{r.ID, r.Name, state, r.Severity, r.Kind, r.Every.String(), r.For.String(), ago(r.Evaluated), orDash(r.Error)})
				}
				return t
			})
		},
	})
}

// document reads a YAML or JSON file of at most a mebibyte into v; unknown fields are errors.
func (e *env) document(c *cobra.Command, file string, v any) error {
	in := io.Reader(c.InOrStdin())
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "The file %s cannot be read.", file)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	if err := yaml.UnmarshalStrict(b, v); err != nil {
		return fault.Wrap(fault.Invalid, err, "%s is not what was expected: %v.", file, err)
	}
	return nil
}

func (e *env) ruleApply() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "apply FILE", Short: "Make an alert rule, or change the one of its id", Args: cobra.ExactArgs(1),
		Long: "The file is YAML or JSON with the fields that `towpath alert rule list -o yaml` shows. A metric rule asks in PromQL, a query\n" +
			"rule in KQL.",
		Example: "  towpath alert rule apply slow-checkout.yaml --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			var r alert.Rule
			if err := e.document(c, args[0], &r); err != nil {
				return err
			}
			if r.Project == "" {
				r.Project = e.ofProject(nil).Get("project")
			}
			got, err := send[alert.Rule](c.Context(), e, http.MethodPost, "/monitor/rules", r)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{got.ID, got.Name}}} })
		},
	})
}

// ruleOf finds a rule by its id or name.
func ruleOf(rules []alert.RuleState, name string) (*alert.Rule, error) {
	for i := range rules {
		if rules[i].ID == name || rules[i].Name == name {
			return &rules[i].Rule, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no rule %s.", name).WithNext("list them with `towpath alert rule list`")
}

// ruleID turns what somebody wrote into the id of a rule.
func (e *env) ruleID(c *cobra.Command, name string) (string, error) {
	rules, err := fetch[[]alert.RuleState](c.Context(), e, "/monitor/rules", e.ofProject(nil))
	if err != nil {
		// An id needs no list, which not everybody may see.
		return name, nil
	}
	found, err := ruleOf(rules, name)
	if err != nil {
		return "", err
	}
	return found.ID, nil
}

// ruleTune changes what may be changed of a rule.
func (e *env) ruleTune() *cobra.Command {
	var every, hold, keep time.Duration
	var severity string
	var enable, disable bool
	c := e.inProject(&cobra.Command{
		Use: "tune RULE", Short: "Change how soon a rule fires, its severity, or whether it runs", Args: cobra.ExactArgs(1),
		Example: "  towpath alert rule tune KubeContainerWaiting --for 30s --every 10s\n  towpath alert rule tune KubeQuotaAlmostFull --disable",
	})
	c.Flags().DurationVar(&every, "every", 0, "how often it is evaluated")
	c.Flags().DurationVar(&hold, "for", 0, "how long the condition holds before it fires")
	c.Flags().DurationVar(&keep, "keep-firing-for", 0, "how long it fires after the condition ended")
	c.Flags().StringVar(&severity, "severity", "", "critical, error, warning or info")
	c.Flags().BoolVar(&enable, "enable", false, "evaluate it")
	c.Flags().BoolVar(&disable, "disable", false, "do not evaluate it")
	c.RunE = func(c *cobra.Command, args []string) error {
		rules, err := fetch[[]alert.RuleState](c.Context(), e, "/monitor/rules", e.ofProject(nil))
		if err != nil {
			return err
		}
		found, err := ruleOf(rules, args[0])
		if err != nil {
			return err
		}
		for name, set := range map[string]func(){
			"every":           func() { found.Every = alert.Duration(every) },
			"for":             func() { found.For = alert.Duration(hold) },
			"keep-firing-for": func() { found.KeepFiringFor = alert.Duration(keep) },
			"severity":        func() { found.Severity = severity },
			"enable":          func() { found.Enabled = enable },
			"disable":         func() { found.Enabled = !disable },
		} {
			if c.Flags().Changed(name) {
				set()
			}
		}
		got, err := send[alert.Rule](c.Context(), e, http.MethodPost, "/monitor/rules", found)
		if err != nil {
			return err
		}
		return e.print(got, func() table {
			return table{rows: [][]string{{got.Name, "every " + got.Every.String(), "for " + got.For.String(), got.Severity, fmt.Sprintf("enabled %t", got.Enabled)}}}
		})
	}
	return c
}

func (e *env) ruleMute() *cobra.Command {
	var long time.Duration
	c := e.inProject(&cobra.Command{
		Use: "mute RULE", Short: "Keep a rule from firing for a while; --for 0 ends it", Args: cobra.ExactArgs(1), Example: "  towpath alert rule mute KubeJobFailed --for 2h",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := e.ruleID(c, args[0])
			if err != nil {
				return err
			}
			in := map[string]any{}
			if long > 0 {
				in["until"] = time.Now().Add(long)
			}
			_, err = send[any](c.Context(), e, http.MethodPost, "/monitor/rules/"+url.PathEscape(id)+"/mute", in)
			return err
		},
	})
	c.Flags().DurationVar(&long, "for", time.Hour, "how long")
	return c
}

func (e *env) ruleRemove() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "remove RULE", Short: "Remove an alert rule; its open alerts resolve", Args: cobra.ExactArgs(1), Example: "  towpath alert rule remove slow-checkout --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := e.ruleID(c, args[0])
			if err != nil {
				return err
			}
			_, err = send[any](c.Context(), e, http.MethodDelete, "/monitor/rules/"+url.PathEscape(id), nil)
			return err
		},
	})
}

func (e *env) ruleEvaluations() *cobra.Command {
	var limit int
	c := e.inProject(&cobra.Command{
		Use: "evaluations RULE", Short: "List what a rule found, newest first", Args: cobra.ExactArgs(1), Example: "  towpath alert rule evaluations KubePodCrashLooping",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := e.ruleID(c, args[0])
			if err != nil {
				return err
			}
			got, err := fetch[[]alert.Evaluation](c.Context(), e, "/monitor/rules/"+url.PathEscape(id)+"/evaluations", url.Values{"limit": {strconv.Itoa(limit)}})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"at", "state", "groups", "worst", "took ms", "error"}, none: "It was not evaluated yet."}
				for _, v := range got {
					worst := "-"
					if len(v.Values) > 0 {
						b, err := json.Marshal(v.Values[0].Labels)
						if err == nil {
							worst = fmt.Sprintf("%g %s", v.Values[0].Value, b)
						}
					}
					t.rows = append(t.rows, []string{v.At.Local().Format(time.DateTime), v.State, fmt.Sprint(v.Groups), cellText("string", worst), fmt.Sprintf("%.1f", v.Took), orDash(v.Error)})
				}
				return t
			})
		},
	})
	c.Flags().IntVar(&limit, "limit", 30, "at most so many")
	return c
}
