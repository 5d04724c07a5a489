package cli

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
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
