package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/deploy"
)

func (e *env) envs() *cobra.Command {
	return noun("env", "Environments, releases and pods", e.envList(), e.envShow(), e.envCreate(), e.envEdit(), e.envEnd(), e.envRouting(), e.envTargets(), e.envHistory())
}

func (e *env) envList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List the environments of a project", Args: cobra.NoArgs, Example: "  towpath env list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/envs")
			if err != nil {
				return err
			}
			got, err := fetch[[]deploy.Environment](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{
					head: []string{"name", "namespace", "release", "commit", "pods", "deployed"},
					none: "No environments yet. A deployment job makes one: `environment: production` in azure-pipelines.yml",
				}
				for _, v := range got {
					row := []string{v.Name, v.Namespace, "-", "-", "-", "-"}
					if r := v.Current; r != nil {
						row = []string{v.Name, v.Namespace, fmt.Sprint(r.Number), short(r.Commit), ready(r.Pods), ago(r.Finished)}
					}
					t.rows = append(t.rows, row)
				}
				return t
			})
		},
	})
}

func (e *env) envShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show NAME", Short: "Show an environment: pods and releases", Args: cobra.ExactArgs(1), Example: "  towpath env show production --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/envs/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			client, err := e.client()
			if err != nil {
				return err
			}
			var got struct {
				deploy.Environment
				Releases []deploy.Release `json:"releases"`
			}
			if err := client.Get(c.Context(), path, nil, &got.Environment); err != nil {
				return err
			}
			if err := client.Get(c.Context(), path+"/releases", url.Values{"limit": {"10"}}, &got.Releases); err != nil {
				return err
			}
			return e.print(got, func() table { return environmentTable(got.Environment, got.Releases) })
		},
	})
}

// environmentTable says how an environment is and what was deployed to it.
func environmentTable(v deploy.Environment, releases []deploy.Release) table {
	t := table{rows: [][]string{{"environment", v.Name}, {"namespace", v.Namespace}}}
	if v.Connection != "" {
		t.rows = append(t.rows, []string{"cluster", "that of the service connection " + v.Connection})
	}
	if r := v.Review; r != nil {
		t.rows = append(t.rows, []string{"review app", fmt.Sprintf("of %s, for pull request %s#%d", r.Base, r.Repo, r.Pull)})
		if !r.Ended.IsZero() {
			t.rows = append(t.rows, []string{"ended", ago(r.Ended)})
		}
	}
	t.rows = append(t.rows, settingRows(v.Settings)...)
	for _, d := range v.Drifted {
		by := ""
		if d.Manager != "" {
			by = "by " + d.Manager + ", "
		}
		t.rows = append(t.rows, []string{"drifted", d.Object, strings.Join(d.Fields, ", "), strings.TrimSpace(by + ago(d.Found) + " " + d.Why)})
	}
	if r := v.Current; r != nil {
		t.rows = append(t.rows, []string{"serves", strings.Join(r.Hosts, " ")})
		for _, p := range r.Pods {
			state := "ready"
			if !p.Ready {
				state = p.Why
			}
			t.rows = append(t.rows, []string{"pod", p.Name, state, p.UID})
		}
	}
	for _, r := range releases {
		t.rows = append(t.rows, []string{"release", r.ID(), r.Result, fmt.Sprintf("run %d, %s %s", r.Run, ago(r.Started), r.Why)})
	}
	return t
}

func (e *env) envCreate() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "create NAME [NAMESPACE]", Short: "Make an environment", Args: cobra.RangeArgs(1, 2), Example: "  towpath env create staging --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/envs")
			if err != nil {
				return err
			}
			in := map[string]string{"name": args[0], "namespace": strings.Join(args[1:], "")}
			got, err := send[deploy.Environment](c.Context(), e, http.MethodPost, path, in)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{"environment " + got.Name + " deploys to namespace " + got.Namespace}}}
			})
		},
	})
}

func (e *env) envEnd() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "end NAME", Short: "Take a review app away with its namespace", Args: cobra.ExactArgs(1), Example: "  towpath env end review.web-pr-7 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/envs/" + url.PathEscape(args[0]) + "/end")
			if err != nil {
				return err
			}
			got, err := send[deploy.Environment](c.Context(), e, http.MethodPost, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{"review app " + got.Name + " is gone; the next run of the pull request makes it again"}}}
			})
		},
	})
}

// ready says how many pods are ready: "4 of 4".
func ready(pods []deploy.Pod) string {
	n, all := 0, 0
	for _, p := range pods {
		if p.Gone {
			continue
		}
		all++
		if p.Ready {
			n++
		}
	}
	return fmt.Sprintf("%d of %d", n, all)
}
