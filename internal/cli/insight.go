package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/insight/drain"
)

func (e *env) errors() *cobra.Command {
	return noun("error", "Exceptions that are one problem", e.errorList(), e.errorShow(),
		e.errorSet("resolve", "resolved", "Say that it is mended; it opens again when it comes back"),
		e.errorSet("ignore", "ignored", "Say nothing of it any more"), e.errorSet("reopen", "open", "Open it again"))
}

func (e *env) errorList() *cobra.Command {
	var state, release string
	c := e.inProject(&cobra.Command{
		Use: "list", Short: "List error groups, the last seen first", Args: cobra.NoArgs,
		Example: "  towpath error list --project shop\n  towpath error list --project shop --release shop/production/3",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/errors")
			if err != nil {
				return err
			}
			q := url.Values{}
			for name, v := range map[string]string{"state": state, "release": release} {
				if v != "" {
					q.Set(name, v)
				}
			}
			got, err := fetch[[]insight.Group](c.Context(), e, path, q)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"group", "state", "service", "type", "message", "count", "first", "last", "came with"}, wide: 2,
					none: "No errors. Exceptions that services record on their spans are grouped here."}
				for _, g := range got {
					t.rows = append(t.rows, []string{
						g.Fingerprint, g.State, g.Role, g.Type, cellText("string", g.Message), fmt.Sprint(g.Count), ago(g.FirstSeen), ago(g.LastSeen), orDash(g.FirstRelease),
					})
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&state, "state", "", "open, resolved or ignored")
	c.Flags().StringVar(&release, "release", "", "only those that came with this release")
	return c
}

func (e *env) errorShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show GROUP", Short: "Show an error group, and how to find its occurrences", Args: cobra.ExactArgs(1), Example: "  towpath error show v1:3f2a… --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/errors/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			g, err := fetch[insight.Group](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(g, func() table { return groupTable(g) })
		},
	})
}

// errorSet is a command that gives an error group a state.
func (e *env) errorSet(verb, state, short string) *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: verb + " GROUP", Short: short, Args: cobra.ExactArgs(1), Example: "  towpath error " + verb + " v1:3f2a… --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/errors/" + url.PathEscape(args[0]) + "/state")
			if err != nil {
				return err
			}
			g, err := send[insight.Group](c.Context(), e, http.MethodPost, path, map[string]string{"state": state})
			if err != nil {
				return err
			}
			return e.print(g, func() table { return groupTable(g) })
		},
	})
}

func groupTable(g insight.Group) table {
	return table{rows: [][]string{
		{"group", g.Fingerprint}, {"state", g.State}, {"service", g.Role}, {"type", g.Type}, {"message", cellText("string", g.Message)}, {"count", fmt.Sprint(g.Count)},
		{"first seen", g.FirstSeen.Local().Format(time.DateTime) + " with " + orDash(g.FirstRelease)}, {"last seen", g.LastSeen.Local().Format(time.DateTime) + " with " + orDash(g.LastRelease)},
		{"one trace", orDash(g.Operation)}, {"query", strings.ReplaceAll(g.Query, "\n", " ")},
	}}
}

// since gives a question a time that ends now.
func since(q url.Values, d time.Duration) url.Values {
	q.Set("from", time.Now().UTC().Add(-d).Format(time.RFC3339))
	return q
}

// services shows the application map, or the operations of a service.
func (e *env) services() *cobra.Command {
	return noun("service", "What services do, and whom they call", e.serviceMap(), e.serviceOperations(), e.patterns(), e.comparison())
}

// window says whose telemetry of which time a command looks at.
type window struct {
	all         bool
	back        time.Duration
	environment string
}

func (w *window) flags(e *env, c *cobra.Command) *cobra.Command {
	c.Flags().DurationVar(&w.back, "since", time.Hour, "how far back to look")
	c.Flags().StringVar(&w.environment, "environment", "", "only of this environment")
	return e.scoped(c, &w.all)
}

func (w *window) ask(e *env) (url.Values, error) {
	q, err := e.scope(w.all)
	if err != nil {
		return nil, err
	}
	if w.environment != "" {
		q.Set("environment", w.environment)
	}
	return since(q, w.back), nil
}

func (e *env) serviceMap() *cobra.Command {
	w := &window{}
	return w.flags(e, &cobra.Command{
		Use: "map", Short: "Show which service calls which", Args: cobra.NoArgs, Example: "  towpath service map --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := w.ask(e)
			if err != nil {
				return err
			}
			got, err := fetch[*insight.Map](c.Context(), e, "/monitor/map", q)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"from", "to", "kind", "calls", "failed", "p50 ms", "p95 ms"}, none: "No calls in this time. Services send their spans by OpenTelemetry."}
				for _, n := range got.Nodes {
					t.rows = append(t.rows, []string{"-", n.Role, orDash(n.Kind), fmt.Sprint(n.Count), fmt.Sprint(n.Failures), fmt.Sprintf("%.1f", n.P50), fmt.Sprintf("%.1f", n.P95)})
				}
				for _, v := range got.Edges {
					t.rows = append(t.rows, []string{v.From, v.To, orDash(v.Kind), fmt.Sprint(v.Count), fmt.Sprint(v.Failures), fmt.Sprintf("%.1f", v.P50), fmt.Sprintf("%.1f", v.P95)})
				}
				return t
			})
		},
	})
}

func (e *env) serviceOperations() *cobra.Command {
	w := &window{}
	return w.flags(e, &cobra.Command{
		Use: "operations [SERVICE]", Short: "Show rate, errors and duration of every operation", Args: cobra.MaximumNArgs(1), Example: "  towpath service operations web --project shop --since 15m",
		RunE: func(c *cobra.Command, args []string) error {
			q, err := w.ask(e)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				q.Set("role", args[0])
			}
			got, err := fetch[[]insight.Operation](c.Context(), e, "/monitor/operations", q)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"service", "operation", "requests", "per s", "failed", "p50 ms", "p95 ms", "p99 ms"}, none: "No requests in this time."}
				for _, o := range got {
					t.rows = append(t.rows, []string{
						o.Role, cellText("string", o.Name), fmt.Sprint(o.Count), fmt.Sprintf("%.2f", o.Rate), fmt.Sprint(o.Failures), fmt.Sprintf("%.1f", o.P50), fmt.Sprintf("%.1f", o.P95), fmt.Sprintf("%.1f", o.P99),
					})
				}
				return t
			})
		},
	})
}

func (e *env) patterns() *cobra.Command {
	var all bool
	var back time.Duration
	c := e.scoped(&cobra.Command{
		Use: "patterns [KQL]", Short: "Show what log lines have in common", Args: cobra.MaximumNArgs(1),
		Example: "  towpath service patterns --project shop\n  towpath service patterns 'ContainerLogV2 | where LogLevel == \"ERROR\"' --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			q, err := e.scope(all)
			if err != nil {
				return err
			}
			in := api.QueryText{From: time.Now().Add(-back)}
			if len(args) == 1 {
				in.Query = args[0]
			}
			got, err := send[[]drain.Pattern](c.Context(), e, http.MethodPost, "/monitor/patterns?"+q.Encode(), in)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"lines", "pattern"}, none: "No lines in this time."}
				for _, p := range got {
					t.rows = append(t.rows, []string{fmt.Sprint(p.Count), cellText("string", p.Text)})
				}
				return t
			})
		},
	}, &all)
	c.Flags().DurationVar(&back, "since", time.Hour, "how far back to look")
	return c
}

func (e *env) comparison() *cobra.Command {
	return &cobra.Command{
		Use: "comparison RELEASE", Short: "Show what a release does beside what the one before did", Args: cobra.ExactArgs(1), Example: "  towpath service comparison shop/production/3",
		RunE: func(c *cobra.Command, args []string) error {
			parts := strings.Split(args[0], "/")
			if len(parts) != 3 {
				return fault.New(fault.Invalid, "%q is no release.", args[0]).WithNext("write it as PROJECT/ENVIRONMENT/N")
			}
			path := "/projects/" + url.PathEscape(parts[0]) + "/envs/" + url.PathEscape(parts[1]) + "/releases/" + url.PathEscape(parts[2]) + "/comparison"
			got, err := fetch[insight.Comparison](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{rows: [][]string{{got.Release, got.Verdict, "beside " + got.Baseline, got.Why}}}
				for _, o := range got.Operations {
					t.rows = append(t.rows, []string{
						o.Role + " " + o.Name, o.Verdict, fmt.Sprintf("%.2f %% failed of %d, before %.2f %% of %d", 100*o.FailureShare, o.Requests, 100*o.FailureBefore, o.RequestsBefore),
						fmt.Sprintf("p95 %.1f ms, before %.1f ms, p = %.4f", o.P95, o.P95Before, o.P),
					})
				}
				for _, g := range got.Errors {
					t.rows = append(t.rows, []string{"new error", g.Type, cellText("string", g.Message), g.Fingerprint})
				}
				return t
			})
		},
	}
}
