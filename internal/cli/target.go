package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/pipeline"
)

// envTargets are the machines that deployment jobs of an environment go to.
func (e *env) envTargets() *cobra.Command {
	return noun("target", "Machines that an environment deploys to", e.targetList(), e.targetAdd(), e.targetEdit(), e.targetRemove(), e.targetHistory())
}

// targetPath is the path of the targets of an environment, or of one of them.
func (e *env) targetPath(environment string, name ...string) (string, error) {
	rest := "/envs/" + url.PathEscape(environment) + "/targets"
	for _, n := range name {
		rest += "/" + url.PathEscape(n)
	}
	return e.projectPath(rest)
}

func (e *env) targetList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list ENVIRONMENT", Short: "List the targets of an environment", Args: cobra.ExactArgs(1),
		Example: "  towpath env target list production --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.targetPath(args[0])
			if err != nil {
				return err
			}
			got, err := fetch[[]pipeline.Machine](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{
					head: []string{"name", "state", "tags", "system", "seen", "agent", "id"}, wide: 2,
					none: "No targets. Deployments go to the environment's namespace; for a machine: towpath env target add " + args[0] + " NAME",
				}
				for _, m := range got {
					state, system := "never came", "-"
					if !m.Registered.IsZero() {
						state, system = "offline", m.OS+"/"+m.Arch
					}
					if m.Online {
						state = "online"
					}
					t.rows = append(t.rows, []string{m.Name, state, strings.Join(m.Tags, ","), system, ago(m.Seen), m.Version, m.ID})
				}
				return t
			})
		},
	})
}

func (e *env) targetAdd() *cobra.Command {
	var tags []string
	add := e.inProject(&cobra.Command{
		Use: "add ENVIRONMENT NAME", Short: "Make a target and the token of its agent, which is shown once", Args: cobra.ExactArgs(2),
		Example: "  towpath env target add production web-1 --project shop > web-1.token\n  towpath env target add production web-1 --tags web,eu --project shop -o json",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.targetPath(args[0])
			if err != nil {
				return err
			}
			got, err := send[pipeline.NewMachine](c.Context(), e, http.MethodPost, path, map[string]any{"name": args[1], "tags": tags})
			if err != nil {
				return err
			}
			fmt.Fprintf(e.err, "Keep the token now: it is not shown again. On %s, with the token in a file that only its owner reads:\n"+
				"  towpath-agent --environment %s/%s --name %s --server URL --token-file FILE --work DIR --user NAME\n", got.Name, got.Project, got.Environment, got.Name)
			return e.print(got, func() table { return table{rows: [][]string{{got.Token}}} })
		},
	})
	add.Flags().StringSliceVar(&tags, "tags", nil, "what jobs choose it by (default: those that its agent is started with)")
	return add
}

func (e *env) targetEdit() *cobra.Command {
	var tags []string
	edit := e.inProject(&cobra.Command{
		Use: "edit ENVIRONMENT NAME", Short: "Set the tags of a target", Args: cobra.ExactArgs(2),
		Example: "  towpath env target edit production web-1 --tags web,eu,canary --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.targetPath(args[0], args[1])
			if err != nil {
				return err
			}
			if tags == nil {
				tags = []string{}
			}
			got, err := send[pipeline.Machine](c.Context(), e, http.MethodPut, path, map[string]any{"tags": tags})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				words := "no tags"
				if len(got.Tags) > 0 {
					words = strings.Join(got.Tags, ",")
				}
				return table{rows: [][]string{{"target " + got.Name + " of " + got.Environment + " has " + words}}}
			})
		},
	})
	edit.Flags().StringSliceVar(&tags, "tags", nil, "all of its tags, with commas between them; \"\" for none")
	_ = edit.MarkFlagRequired("tags") // Fails only for a flag that is not there.
	return edit
}

func (e *env) targetRemove() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "remove ENVIRONMENT NAME", Short: "Take a target away; its token ends at once, and so do its jobs", Args: cobra.ExactArgs(2),
		Example: "  towpath env target remove production web-1 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.targetPath(args[0], args[1])
			if err != nil {
				return err
			}
			_, err = send[any](c.Context(), e, http.MethodDelete, path, nil)
			return err
		},
	})
}

func (e *env) targetHistory() *cobra.Command {
	return e.history("history ENVIRONMENT [NAME]", "List what was deployed to an environment, or to one of its targets", "  towpath env target history production web-1 --project shop")
}

// envHistory lists the deployment jobs of an environment and what became of them.
func (e *env) envHistory() *cobra.Command {
	return e.history("history ENVIRONMENT [RESOURCE]", "List which runs deployed to an environment, or to one of its resources", "  towpath env history production --project shop")
}

func (e *env) history(use, about, example string) *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: use, Short: about, Args: cobra.RangeArgs(1, 2), Example: example,
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/envs/" + url.PathEscape(args[0]) + "/deployments")
			if err != nil {
				return err
			}
			got, err := fetch[[]pipeline.Deployment](c.Context(), e, path, url.Values{"resource": args[1:]})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{
					head: []string{"run", "job", "target", "state", "commit", "title", "started", "why"},
					none: "Nothing was deployed there. A deployment job does it: `environment: " + args[0] + "` in azure-pipelines.yml",
				}
				for _, d := range got {
					state := d.Result
					if state == "" {
						state = d.Status
					}
					target := d.Resource
					if target == "" {
						target = "-"
					}
					t.rows = append(t.rows, []string{fmt.Sprint(d.Run), d.Job, target, strings.ToLower(state), short(d.Commit), d.Title, ago(d.Started), d.Why})
				}
				return t
			})
		},
	})
}
