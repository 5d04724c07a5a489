package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert"
)

func (e *env) alerts() *cobra.Command {
	return noun("alert", "What is wrong now, who is told, and by which rule",
		e.alertList(), e.alertShow(), e.alertAck(), e.alertClose(),
		noun("rule", "Conditions that fire alerts", e.ruleList(), e.ruleApply(), e.ruleTune(), e.ruleMute(), e.ruleEvaluations(), e.ruleRemove()),
		noun("silence", "Notifications kept back for a while", e.silenceList(), e.silenceCreate(), e.alertRemove("silences", "expire SILENCE", "End a silence now", "5f0c…")),
		noun("receiver", "Where notifications go", e.receiverList(), e.receiverPut(), e.receiverTest(), e.receiverRemove()),
		noun("route", "Which alerts go where", e.routeShow(), e.routeApply()))
}

func (e *env) alertList() *cobra.Command {
	var f struct{ environment, state, severity, release string }
	var limit int
	c := e.inProject(&cobra.Command{
		Use: "list", Short: "List alerts, newest first", Args: cobra.NoArgs,
		Example: "  towpath alert list --project shop\n  towpath alert list --project shop --state firing --severity critical",
		RunE: func(c *cobra.Command, _ []string) error {
			q := e.ofProject(url.Values{"limit": {strconv.Itoa(limit)}})
			for name, v := range map[string]string{"environment": f.environment, "state": f.state, "severity": f.severity, "release": f.release} {
				if v != "" {
					q.Set(name, v)
				}
			}
			got, err := fetch[[]alert.Alert](c.Context(), e, "/monitor/alerts", q)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "state", "severity", "rule", "what", "environment", "release", "fired", "resolved"}, wide: 2,
					none: "No alerts. The rules that would fire: towpath alert rule list"}
				for _, a := range got {
					ended := "-"
					if !a.Resolved.IsZero() {
						ended = ago(a.Resolved)
					}
					t.rows = append(t.rows, []string{a.ID, a.State, a.Severity, a.Name, cellText("string", a.Summary), orDash(a.Environment), orDash(a.Release), ago(a.Fired), ended})
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&f.environment, "environment", "", "only of this environment")
	c.Flags().StringVar(&f.state, "state", "", "firing or resolved")
	c.Flags().StringVar(&f.severity, "severity", "", "critical, error, warning or info")
	c.Flags().StringVar(&f.release, "release", "", "only of this release, e.g. shop/production/3")
	c.Flags().IntVar(&limit, "limit", 50, "at most so many")
	return c
}

func (e *env) alertShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ALERT", Short: "Show an alert with its rule, history and notifications", Args: cobra.ExactArgs(1), Example: "  towpath alert show 01JAB…",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := fetch[alert.Detail](c.Context(), e, "/monitor/alerts/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				a := got.Alert
				t := table{rows: [][]string{{"alert", a.ID}, {"rule", a.Name}, {"state", a.State}, {"severity", a.Severity}, {"what", a.Summary}}}
				for _, f := range [][2]string{{"next step", a.NextStep}, {"environment", a.Environment}, {"release", a.Release}, {"pod", a.Pod}, {"query", a.Query}, {"why resolved", a.Why}} {
					if f[1] != "" {
						t.rows = append(t.rows, f[:])
					}
				}
				for _, h := range got.History {
					t.rows = append(t.rows, []string{h.What, h.At.Local().Format(time.DateTime), h.By, h.Note})
				}
				for _, n := range got.Notifications {
					t.rows = append(t.rows, []string{"told " + n.Receiver, n.State, n.Error, ago(n.Last)})
				}
				return t
			})
		},
	}
}

// alertNote is a command that says something about an alert.
func (e *env) alertNote(verb, path, short, flag string) *cobra.Command {
	var note string
	c := &cobra.Command{
		Use: verb + " ALERT", Short: short, Args: cobra.ExactArgs(1), Example: "  towpath alert " + verb + " 01JAB… --" + flag + " 'the disk is being replaced'",
		RunE: func(c *cobra.Command, args []string) error {
			_, err := send[any](c.Context(), e, http.MethodPost, "/monitor/alerts/"+url.PathEscape(args[0])+"/"+path, api.Note{Note: note})
			return err
		},
	}
	c.Flags().StringVar(&note, flag, "", "a sentence for the others")
	return c
}

func (e *env) alertAck() *cobra.Command {
	return e.alertNote("ack", "acknowledge", "Say that you look after an alert", "note")
}

func (e *env) alertClose() *cobra.Command {
	return e.alertNote("close", "close", "Resolve an alert by hand; it fires anew if its condition still holds", "why")
}

// alertRemove is a command that deletes one thing below /monitor.
func (e *env) alertRemove(noun, use, short, example string) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1), Example: "  towpath alert " + strings.TrimSuffix(noun, "s") + " " + verb + " " + example,
		RunE: func(c *cobra.Command, args []string) error {
			_, err := send[any](c.Context(), e, http.MethodDelete, "/monitor/"+noun+"/"+url.PathEscape(args[0]), nil)
			return err
		},
	}
}

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

func (e *env) silenceList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List silences, expired ones too", Args: cobra.NoArgs, Example: "  towpath alert silence list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]alert.Silence](c.Context(), e, "/monitor/silences", e.ofProject(nil))
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "state", "matches", "until", "by", "why"}, none: "No silences. Make one: towpath alert silence create alertname=KubeJobFailed --for 2h --why 'being mended'"}
				for _, s := range got {
					var m []string
					for _, one := range s.Matchers {
						m = append(m, one.Label+one.Operator+one.Value)
					}
					t.rows = append(t.rows, []string{s.ID, s.State, strings.Join(m, " "), s.Until.Local().Format(time.DateTime), s.By, s.Why})
				}
				return t
			})
		},
	})
}

func (e *env) silenceCreate() *cobra.Command {
	var long time.Duration
	var why string
	c := e.inProject(&cobra.Command{
		Use: "create LABEL=VALUE…", Short: "Keep notifications of matching alerts back", Args: cobra.MinimumNArgs(1),
		Example: "  towpath alert silence create alertname=KubeJobFailed environment=production --for 2h --why 'being mended' --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			s := alert.Silence{Project: e.ofProject(nil).Get("project"), Until: time.Now().Add(long), Why: why}
			for _, arg := range args {
				m, err := matcher(arg)
				if err != nil {
					return err
				}
				s.Matchers = append(s.Matchers, m)
			}
			got, err := send[alert.Silence](c.Context(), e, http.MethodPost, "/monitor/silences", s)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{got.ID, "until " + got.Until.Local().Format(time.DateTime)}}}
			})
		},
	})
	c.Flags().DurationVar(&long, "for", time.Hour, "how long")
	c.Flags().StringVar(&why, "why", "", "the reason (required)")
	return c
}

// matcher reads LABEL=VALUE, LABEL!=VALUE, LABEL=~RE or LABEL!~RE.
func matcher(s string) (alert.Matcher, error) {
	i := strings.IndexAny(s, "=!")
	if i > 0 {
		for _, op := range []string{"=~", "!~", "!=", "="} {
			if v, ok := strings.CutPrefix(s[i:], op); ok {
				return alert.Matcher{Label: s[:i], Operator: op, Value: v}, nil
			}
		}
	}
	return alert.Matcher{}, fault.New(fault.Invalid, "%q matches nothing.", s).WithNext("write it as LABEL=VALUE, e.g. alertname=KubeJobFailed")
}

func (e *env) receiverList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List receivers with what became of their last notification", Args: cobra.NoArgs, Example: "  towpath alert receiver list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]alert.ReceiverState](c.Context(), e, "/monitor/receivers", e.ofProject(nil))
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "kind", "to", "last", "error"}, none: "No receivers: alerts stand on their pages only. Make one: towpath alert receiver put team --webhook https://…"}
				for _, r := range got {
					to, last, wrong := r.URL, "-", "-"
					if r.Kind == alert.Mail {
						to = strings.Join(r.To, " ")
					}
					if r.Last != nil {
						last, wrong = r.Last.State+" "+ago(r.Last.Last), orDash(r.Last.Error)
					}
					t.rows = append(t.rows, []string{r.Name, r.Kind, orDash(to), last, wrong})
				}
				return t
			})
		},
	})
}

func (e *env) receiverPut() *cobra.Command {
	var webhook, slack, channel, from, server, user, tokenFile, passwordFile string
	var to []string
	var item bool
	c := e.inProject(&cobra.Command{
		Use: "put NAME", Short: "Make a receiver, or change the one of that name", Args: cobra.ExactArgs(1),
		Example: "  towpath alert receiver put team --webhook https://hooks.example.com/towpath\n" +
			"  towpath alert receiver put sre --mail sre@example.com --from towpath@example.com --smtp mail.example.com:587",
		RunE: func(c *cobra.Command, args []string) error {
			r := alert.Receiver{Project: e.ofProject(nil).Get("project"), Name: args[0], SendResolved: true}
			switch {
			case webhook != "":
				r.Kind, r.URL = alert.Webhook, webhook
			case slack != "":
				r.Kind, r.URL, r.Channel = alert.Slack, slack, channel
			case len(to) > 0:
				r.Kind, r.To, r.From, r.Server, r.User, r.RequireTLS = alert.Mail, to, from, server, user, true
			case item:
				r.Kind = alert.Item
			default:
				return fault.New(fault.Invalid, "Where the notifications go is not said.").WithNext("add --webhook URL, --slack URL, --mail ADDRESS or --item")
			}
			for file, secret := range map[string]*string{tokenFile: &r.Token, passwordFile: &r.Password} {
				if file == "" {
					continue
				}
				b, err := os.ReadFile(file)
				if err != nil {
					return fault.Wrap(fault.Invalid, err, "The file %s cannot be read.", file)
				}
				*secret = strings.TrimSpace(string(b))
			}
			got, err := send[alert.Receiver](c.Context(), e, http.MethodPost, "/monitor/receivers", r)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{got.Name, got.Kind}}} })
		},
	})
	f := c.Flags()
	f.StringVar(&webhook, "webhook", "", "URL that gets Alertmanager's JSON")
	f.StringVar(&tokenFile, "token-file", "", "file with the bearer token of the webhook")
	f.StringVar(&slack, "slack", "", "URL of a Slack-compatible incoming webhook")
	f.StringVar(&channel, "channel", "", "channel there")
	f.StringSliceVar(&to, "mail", nil, "mail addresses")
	f.StringVar(&from, "from", "", "sender of the mails")
	f.StringVar(&server, "smtp", "", "HOST:PORT of the mail server")
	f.StringVar(&user, "smtp-user", "", "user at the mail server")
	f.StringVar(&passwordFile, "smtp-password-file", "", "file with the password there")
	f.BoolVar(&item, "item", false, "open work items")
	return c
}

func (e *env) receiverTest() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "test NAME", Short: "Send an invented alert to a receiver", Args: cobra.ExactArgs(1), Example: "  towpath alert receiver test team",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := send[alert.Notification](c.Context(), e, http.MethodPost, "/monitor/receivers/"+url.PathEscape(args[0])+"/test?"+e.ofProject(nil).Encode(), nil)
			if err != nil {
				return err
			}
			if err := e.print(got, func() table { return table{rows: [][]string{{got.Receiver, got.State, got.Error}}} }); err != nil {
				return err
			}
			if got.State != "sent" {
				return exitCode(1)
			}
			return nil
		},
	})
}

func (e *env) receiverRemove() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "remove NAME", Short: "Remove a receiver that no route names", Args: cobra.ExactArgs(1), Example: "  towpath alert receiver remove team",
		RunE: func(c *cobra.Command, args []string) error {
			_, err := send[any](c.Context(), e, http.MethodDelete, "/monitor/receivers/"+url.PathEscape(args[0])+"?"+e.ofProject(nil).Encode(), nil)
			return err
		},
	})
}

func (e *env) routeShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show", Short: "Show which alerts go where", Args: cobra.NoArgs, Example: "  towpath alert route show --project shop -o yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[alert.Routes](c.Context(), e, "/monitor/routes", e.ofProject(nil))
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"match", "receiver", "grouped by", "continue"}, none: "No routes: nobody is told. Make some: towpath alert route apply FILE"}
				for _, r := range got.Routes {
					m := []string{}
					for _, one := range r.Match {
						m = append(m, one.Label+one.Operator+one.Value)
					}
					t.rows = append(t.rows, []string{orDash(strings.Join(m, " ")), r.Receiver, orDash(strings.Join(r.GroupBy, " ")), fmt.Sprint(r.Continue)})
				}
				return t
			})
		},
	})
}

func (e *env) routeApply() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "apply FILE", Short: "Replace the routes of a project, or without one those of the installation", Args: cobra.ExactArgs(1),
		Example: "  towpath alert route apply routes.yaml --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			var r alert.Routes
			if err := e.document(c, args[0], &r); err != nil {
				return err
			}
			r.Project = e.ofProject(nil).Get("project")
			got, err := send[alert.Routes](c.Context(), e, http.MethodPost, "/monitor/routes", r)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{fmt.Sprintf("%d routes", len(got.Routes))}}} })
		},
	})
}
