package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// noun makes a command that only groups verbs.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	for _, v := range verbs {
		if v.Name() == "list" {
			v.Aliases = append(v.Aliases, "ls")
		}
	}
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(verbs...)
	return c
}

// inProject gives a command the flag --project, which defaults to $TOWPATH_PROJECT.
func (e *env) inProject(c *cobra.Command) *cobra.Command {
	c.Flags().StringVarP(&e.project, "project", "p", "", "project (default: $TOWPATH_PROJECT)")
	return c
}

// projectPath is "/projects/NAME" + rest.
func (e *env) projectPath(rest string) (string, error) {
	if e.project == "" {
		e.project = e.getenv("TOWPATH_PROJECT")
	}
	if e.project == "" {
		return "", fault.New(fault.Invalid, "No project is chosen.").WithNext("add --project NAME, or set TOWPATH_PROJECT; list them with `towpath project list`")
	}
	return "/projects/" + url.PathEscape(e.project) + rest, nil
}

func (e *env) projects() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the projects that you may see", Args: cobra.NoArgs, Example: "  towpath project list",
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := e.client()
			if err != nil {
				return err
			}
			var got []identity.Project
			if err := api.Get(c.Context(), "/projects", nil, &got); err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "created"}, none: "No projects yet. Make one: towpath project create NAME"}
				for _, p := range got {
					t.rows = append(t.rows, []string{p.Name, ago(p.Created)})
				}
				return t
			})
		},
	}
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a project", Args: cobra.ExactArgs(1), Example: "  towpath project create shop",
		RunE: func(c *cobra.Command, args []string) error {
			api, err := e.client()
			if err != nil {
				return err
			}
			var got identity.Project
			if err := api.Do(c.Context(), http.MethodPost, "/projects", map[string]string{"name": args[0]}, &got); err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{"project " + got.Name + " made"}}} })
		},
	}
	members := e.inProject(&cobra.Command{
		Use: "members", Short: "List the members of a project and their roles", Args: cobra.NoArgs, Example: "  towpath project members --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/members")
			if err != nil {
				return err
			}
			api, err := e.client()
			if err != nil {
				return err
			}
			var got []identity.Member
			if err := api.Get(c.Context(), path, nil, &got); err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"user", "role"}, none: "No members."}
				for _, m := range got {
					t.rows = append(t.rows, []string{m.User, m.Word})
				}
				return t
			})
		},
	})
	grant := e.inProject(&cobra.Command{
		Use: "grant USER ROLE", Short: "Give a user a role: none, read, write, maintain or admin", Args: cobra.ExactArgs(2),
		Example: "  towpath project grant ada write --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/members/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			api, err := e.client()
			if err != nil {
				return err
			}
			return api.Do(c.Context(), http.MethodPut, path, map[string]string{"role": args[1]}, nil)
		},
	})
	return noun("project", "Projects and their members", list, create, members, grant)
}

func (e *env) repos() *cobra.Command {
	list := e.inProject(&cobra.Command{
		Use: "list", Short: "List the repositories of a project", Args: cobra.NoArgs, Example: "  towpath repo list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/repos")
			if err != nil {
				return err
			}
			got, err := fetch[[]api.Repo](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{
					head: []string{"name", "default branch", "clone", "created"},
					none: "No repositories yet. Make one: towpath repo create NAME --project " + e.project,
				}
				for _, r := range got {
					t.rows = append(t.rows, []string{r.Name, r.DefaultBranch, r.CloneURL, ago(r.Created)})
				}
				return t
			})
		},
	})
	create := e.inProject(&cobra.Command{
		Use: "create NAME", Short: "Make a repository", Args: cobra.ExactArgs(1), Example: "  towpath repo create shop --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/repos")
			if err != nil {
				return err
			}
			got, err := send[api.Repo](c.Context(), e, http.MethodPost, path, map[string]string{"name": args[0]})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{"repository " + got.Project + "/" + got.Name + " made"}, {"push to it: git push " + got.CloneURL + " HEAD:main"}}}
			})
		},
	})
	commits := e.inProject(&cobra.Command{
		Use: "commits REPO [REV]", Short: "List commits, newest first", Args: cobra.RangeArgs(1, 2), Example: "  towpath repo commits shop main --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/repos/" + url.PathEscape(args[0]) + "/commits")
			if err != nil {
				return err
			}
			got, err := fetch[api.Commits](c.Context(), e, path, url.Values{"rev": {strings.Join(args[1:], "")}})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"commit", "title", "author", "when"}, none: "No commits yet."}
				for _, m := range got.Commits {
					t.rows = append(t.rows, []string{short(m.Hash), m.Title, m.Author, ago(m.Authored)})
				}
				return t
			})
		},
	})
	return noun("repo", "Git repositories", list, create, commits)
}
