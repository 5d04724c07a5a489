package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert"
)

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
		Long: `Replace the routes of a project, or without one those of the installation.

Alerts are matched by their labels, and so are work items of critical and high severity
when they open, or open again: alertname is TowpathWorkItem, severity is critical or
error, and there are project, item, kind and source. They are sent once. A route without
a match takes all of them.`,
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
