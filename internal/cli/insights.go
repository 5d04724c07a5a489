package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	signals "towpath.dev/towpath/internal/work/insight"
)

// insights are what the platform saw that is work; what to do about it is `item` and
// `sprint`.
func (e *env) insights() *cobra.Command {
	return noun("insight", "What the platform saw that is work, and why", e.insightList(), e.insightShow(), e.insightCause())
}

func (e *env) insightList() *cobra.Command {
	var f struct{ state, source, environment string }
	var item int64
	var limit int
	c := e.inProject(&cobra.Command{
		Use: "list", Short: "List signals, the last seen first", Args: cobra.NoArgs,
		Example: "  towpath insight list --project shop\n  towpath insight list --project shop --state open --source canary",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/signals")
			if err != nil {
				return err
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, v := range map[string]string{"state": f.state, "source": f.source, "environment": f.environment} {
				if v != "" {
					q.Set(name, v)
				}
			}
			if item != 0 {
				q.Set("item", strconv.FormatInt(item, 10))
			}
			got, err := fetch[[]signals.Signal](c.Context(), e, path, q)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return signalTable(got) })
		},
	})
	c.Flags().StringVar(&f.state, "state", "", "candidate, open, resolved or dismissed")
	c.Flags().StringVar(&f.source, "source", "", "canary, regression, crash, error, alert, policy, admission, vulnerability, dependency, secret, pipeline or storm")
	c.Flags().StringVar(&f.environment, "environment", "", "only of this environment")
	c.Flags().Int64Var(&item, "item", 0, "only of this item")
	c.Flags().IntVar(&limit, "limit", 50, "at most so many")
	return c
}

func signalTable(list []signals.Signal) table {
	t := table{head: []string{"key", "state", "item", "severity", "source", "what", "release", "seen", "last"}, wide: 2,
		none: "No signals: nothing that runs, fails or is vulnerable asks for work."}
	for _, s := range list {
		item := "-"
		if s.Item != 0 {
			item = strconv.FormatInt(s.Item, 10)
		}
		t.rows = append(t.rows, []string{s.Key, s.State, item, s.Severity, s.Source, cellText("string", s.Title), orDash(s.Release), fmt.Sprint(s.Count), ago(s.Last)})
	}
	return t
}

func (e *env) insightShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show KEY", Short: "Show a signal with its evidence", Args: cobra.ExactArgs(1), Example: "  towpath insight show 5f0c… --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/signals/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			s, err := fetch[signals.Signal](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(s, func() table {
				t := table{rows: [][]string{
					{"signal", s.Key}, {"what", cellText("string", s.Title)}, {"state", s.State}, {"source", s.Source}, {"rule", s.Rule}, {"resource", s.Resource},
					{"severity", s.Severity}, {"release", orDash(s.Release)}, {"seen", fmt.Sprintf("%d times, %s to %s", s.Count, when(s.First), when(s.Last))},
				}}
				if s.Item != 0 {
					t.rows = append(t.rows, []string{"item", strconv.FormatInt(s.Item, 10)})
				}
				if s.Why != "" {
					t.rows = append(t.rows, []string{"why", cellText("string", oneLine(s.Why))})
				}
				t.rows = append(t.rows, evidenceRows(s.Evidence)...)
				return t
			})
		},
	})
}

func (e *env) insightCause() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "cause ITEM", Short: "Show what is known behind an item: suspects, owner, impact, signals", Args: cobra.ExactArgs(1), Example: "  towpath insight cause 12 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/items/" + url.PathEscape(strings.TrimPrefix(args[0], "#")) + "/cause")
			if err != nil {
				return err
			}
			k, err := fetch[signals.Cause](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(k, func() table {
				t := table{rows: [][]string{{"release", orDash(k.Release)}, {"before", orDash(k.Stable)}}}
				if k.Impact.Requests > 0 {
					t.rows = append(t.rows, []string{"impact", fmt.Sprintf("%.1f %% of %d requests fail, p95 %.0f ms", 100*k.Impact.FailureShare, k.Impact.Requests, k.Impact.P95)})
				}
				if k.Owner != "" {
					t.rows = append(t.rows, []string{"owner", k.Owner + " (" + k.OwnerBy + ")"})
				}
				for _, s := range k.Suspects {
					t.rows = append(t.rows, []string{"suspect", fmt.Sprintf("%.12s %s (%s)", s.Hash, cellText("string", s.Title), cellText("string", s.Author))})
				}
				for _, s := range k.Signals {
					t.rows = append(t.rows, []string{s.Source, s.State + ": " + cellText("string", s.Title)})
				}
				t.rows = append(t.rows, evidenceRows(k.Evidence)...)
				return t
			})
		},
	})
}

func evidenceRows(list []signals.Evidence) (rows [][]string) {
	for _, v := range list {
		rows = append(rows, []string{"evidence", cellText("string", v.Text)})
		if v.Query != "" {
			rows = append(rows, []string{"query", cellText("string", oneLine(v.Query))})
		}
	}
	return rows
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func when(t time.Time) string { return t.Local().Format(time.DateTime) }

// signalWindows are the options of the engine that the server's flag --signal-windows sets.
func signalWindows(given map[string]string, o *signals.Options) error {
	windows := map[string]*time.Duration{
		"every": &o.Every, "debounce": &o.Debounce, "window": &o.Window, "hold": &o.Hold, "alert": &o.AlertQuiet, "error": &o.ErrorQuiet, "crash": &o.CrashQuiet,
		"policy": &o.PolicyQuiet, "storm": &o.StormSpan, "flush": &o.FlushEvery,
	}
	for name, text := range given {
		to, ok := windows[name]
		if !ok {
			return fmt.Errorf("invalid argument %q for --signal-windows: every, debounce, window, hold, alert, error, crash, policy, storm and flush are known", name)
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return fmt.Errorf("invalid argument %q for --signal-windows: %s is no duration, such as 30s or 10m", name+"="+text, text)
		}
		*to = d
	}
	return nil
}
