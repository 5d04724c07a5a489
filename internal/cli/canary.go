package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/fault"
)

// releasePath is the path of a release that is named "project/environment/number".
func releasePath(id, rest string) (string, error) {
	parts := strings.Split(strings.TrimPrefix(id, "release:"), "/")
	if len(parts) != 3 {
		return "", fault.New(fault.Invalid, "%q names no release.", id).WithNext("write it as project/environment/number: shop/production/48")
	}
	return "/projects/" + url.PathEscape(parts[0]) + "/envs/" + url.PathEscape(parts[1]) + "/releases/" + url.PathEscape(parts[2]) + rest, nil
}

func (e *env) canaries() *cobra.Command {
	var environment, why string
	var full bool
	list := e.inProject(&cobra.Command{
		Use: "list", Short: "List the canaries of a project", Args: cobra.NoArgs, Example: "  towpath canary list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/canaries")
			if err != nil {
				return err
			}
			got, err := fetch[[]canary.View](c.Context(), e, path, url.Values{"environment": {environment}})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"release", "state", "step", "weight", "stable", "started", "why"}, none: "No canary yet. Give an environment a strategy: towpath env edit NAME --strategy FILE"}
				for _, v := range got {
					t.rows = append(t.rows, []string{v.Release, v.State, fmt.Sprintf("%d of %d", v.Step, len(v.Steps)), fmt.Sprintf("%d %%", v.Weight), v.Stable, ago(v.Started), v.Why})
				}
				return t
			})
		},
	})
	list.Flags().StringVar(&environment, "environment", "", "only those of this environment")
	show := &cobra.Command{
		Use: "show RELEASE", Short: "Show a canary beside its baseline", Args: cobra.ExactArgs(1), Example: "  towpath canary show shop/production/48",
		RunE: func(c *cobra.Command, args []string) error {
			return e.canary(c, http.MethodGet, args[0], "/canary", nil)
		},
	}
	promote := &cobra.Command{
		Use: "promote RELEASE", Short: "Let a canary that waits go on, or promote it", Args: cobra.ExactArgs(1), Example: "  towpath canary promote shop/production/48",
		RunE: func(c *cobra.Command, args []string) error {
			return e.canary(c, http.MethodPost, args[0], "/canary/promote", map[string]any{"full": full})
		},
	}
	promote.Flags().BoolVar(&full, "full", false, "promote it now, whatever step it is at")
	reject := &cobra.Command{
		Use: "reject RELEASE", Short: "Take a canary back", Args: cobra.ExactArgs(1), Example: "  towpath canary reject shop/production/48 --why 'prices are wrong'",
		RunE: func(c *cobra.Command, args []string) error {
			return e.canary(c, http.MethodPost, args[0], "/canary/reject", map[string]any{"why": why})
		},
	}
	reject.Flags().StringVar(&why, "why", "", "the reason, for the record")
	return noun("canary", "Releases that are tried on a share of the traffic", list, show, promote, reject)
}

func (e *env) canary(c *cobra.Command, method, release, rest string, in any) error {
	path, err := releasePath(release, rest)
	if err != nil {
		return err
	}
	v, err := send[canary.View](c.Context(), e, method, path, in)
	if err != nil {
		return err
	}
	return e.print(v, func() table {
		t := table{rows: [][]string{
			{"release", v.Release}, {"state", v.State + " " + v.Why}, {"stable", v.Stable}, {"step", fmt.Sprintf("%d of %d, %d %%", v.Step, len(v.Steps), v.Weight)},
			{"services", strings.Join(v.Services, " ")}, {"workloads", strings.Join(v.Workloads, " ")},
			{"samples", fmt.Sprintf("%d of %d", v.Samples, v.MinSamples)},
		}}
		if !v.Deadline.IsZero() {
			t.rows = append(t.rows, []string{"decide by", v.Deadline.Local().Format(time.DateTime) + ", else it is rejected"})
		}
		for _, m := range v.Counts {
			l := m.Last
			t.rows = append(t.rows, []string{m.Service, m.Metric, l.Outcome, fmt.Sprintf("canary %.4g, baseline %.4g, %d requests, p %.2g", l.Canary, l.Baseline, l.Samples, l.P)})
		}
		for _, o := range v.Operations {
			t.rows = append(t.rows, []string{"failing", o.Role, o.Name, fmt.Sprintf("%.1f %% of %d requests", o.FailureShare*100, o.Requests)})
		}
		return t
	})
}

func (e *env) releases() *cobra.Command {
	redeploy := &cobra.Command{
		Use: "redeploy RELEASE", Short: "Deploy an earlier release again, as a new one", Args: cobra.ExactArgs(1), Example: "  towpath release redeploy shop/production/47",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := releasePath(args[0], "/redeploy")
			if err != nil {
				return err
			}
			r, err := send[deploy.Release](c.Context(), e, http.MethodPost, path, nil)
			if err != nil {
				return err
			}
			return e.print(r, func() table {
				return table{rows: [][]string{{"release", r.ID()}, {"result", r.Result + " " + r.Why}, {"of", args[0]}}}
			})
		},
	}
	return noun("release", "Releases", redeploy)
}

// settingRows are the settings of an environment, for people.
func settingRows(s deploy.Settings) [][]string {
	strategy := "all at once"
	if s.Strategy != nil {
		var steps []string
		for _, v := range s.Strategy.Steps {
			steps = append(steps, fmt.Sprintf("%d %%", v.Weight))
		}
		strategy = "canary: " + strings.Join(steps, ", ")
	}
	return [][]string{{"routing", s.Routing}, {"sessions", s.Sessions}, {"drift", s.Drift}, {"strategy", strategy}, {"review apps", s.ReviewApps}}
}

func (e *env) envEdit() *cobra.Command {
	var routing, sessions, drift, reviewApps, strategy string
	c := e.inProject(&cobra.Command{
		Use: "edit NAME", Short: "Change how an environment is deployed to", Args: cobra.ExactArgs(1),
		Example: "  towpath env edit production --routing on --project shop\n  towpath env edit production --strategy canary.json --project shop\n  towpath env edit review --review-apps on --project shop",
	})
	f := c.Flags()
	f.StringVar(&routing, "routing", "", "on: requests pass the namespace's router; off")
	f.StringVar(&sessions, "sessions", "", "allowed or forbidden: developers' sessions")
	f.StringVar(&drift, "drift", "", "off, warn or enforce")
	f.StringVar(&reviewApps, "review-apps", "", "on: runs of pull requests may make review apps of it; off takes them away")
	f.StringVar(&strategy, "strategy", "", `file with the steps of a canary as JSON, the JSON itself, or "none"`)
	c.RunE = func(c *cobra.Command, args []string) error {
		var in deploy.Change
		for name, to := range map[string]**string{"routing": &in.Routing, "sessions": &in.Sessions, "drift": &in.Drift, "review-apps": &in.ReviewApps} {
			if c.Flags().Changed(name) {
				v, err := c.Flags().GetString(name)
				if err != nil {
					return err
				}
				*to = &v
			}
		}
		if c.Flags().Changed("strategy") {
			s, err := readStrategy(strategy)
			if err != nil {
				return err
			}
			in.Strategy = &s
		}
		path, err := e.projectPath("/envs/" + url.PathEscape(args[0]))
		if err != nil {
			return err
		}
		got, err := send[deploy.Environment](c.Context(), e, http.MethodPatch, path, in)
		if err != nil {
			return err
		}
		return e.print(got, func() table {
			return table{rows: append([][]string{{"environment", got.Name}}, settingRows(got.Settings)...)}
		})
	}
	return c
}

// readStrategy reads a strategy from a file, or from the flag itself.
func readStrategy(s string) (canary.Strategy, error) {
	if s == "none" || s == "" {
		return canary.Strategy{Steps: []canary.Step{}}, nil
	}
	if !strings.HasPrefix(strings.TrimSpace(s), "{") {
		b, err := os.ReadFile(s)
		if err != nil {
			return canary.Strategy{}, fault.Wrap(fault.Invalid, err, "The strategy cannot be read from %s.", s)
		}
		s = string(b)
	}
	return canary.Parse(s)
}

func (e *env) envRouting() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "routing NAME", Short: "Show what the router of an environment knows", Args: cobra.ExactArgs(1), Example: "  towpath env routing production --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/envs/" + url.PathEscape(args[0]) + "/routing")
			if err != nil {
				return err
			}
			got, err := fetch[deploy.Routing](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{none: "Routing is off: towpath env edit " + args[0] + " --routing on"}
				for _, r := range got.Routers {
					t.rows = append(t.rows, []string{"router", r.Pod, fmt.Sprintf("table %d of %d", r.Version, got.Table.Version), r.Why})
				}
				for _, w := range got.Weights {
					t.rows = append(t.rows, []string{"service", w.Service, fmt.Sprintf("stable %d %%, baseline %d %%, canary %d %%", w.Stable, w.Baseline, w.Canary), ""})
				}
				for _, s := range got.Table.Sessions {
					t.rows = append(t.rows, []string{"session", s.Service, s.User, s.ID})
				}
				for _, u := range got.Unrouted {
					t.rows = append(t.rows, []string{"not routed", u.Service, u.Why, ""})
				}
				return t
			})
		},
	})
}
