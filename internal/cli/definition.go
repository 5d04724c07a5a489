package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// ofPipeline is an address below that of the repository of a pipeline, and the query that says
// which of its pipelines is meant. The pipeline is given by its name or number, or, also before
// its first run, by the name of its repository.
func (e *env) ofPipeline(ctx context.Context, name, rest string) (string, url.Values, error) {
	at, err := e.definitionPath(name)
	if err != nil {
		return "", nil, err
	}
	d, err := fetch[pipeline.Definition](ctx, e, at, nil)
	q := url.Values{}
	switch {
	case err == nil:
		_, name, _ = strings.Cut(d.Repo, "/")
		if d.File != pipeline.File {
			q.Set("file", d.File)
		}
	case !fault.Is(err, fault.NotFound):
		return "", nil, err
	}
	path, err := e.projectPath("/repos/" + url.PathEscape(name) + rest)
	return path, q, err
}

// withQuery is a path with its query.
func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func (e *env) definitionPath(name string) (string, error) {
	return e.projectPath("/pipelines/" + url.PathEscape(name))
}

// definitions are the verbs on the pipelines of a project.
func (e *env) definitions() []*cobra.Command {
	disable := e.pipelineSwitch("disable", "Let nothing start a run of a pipeline", true)
	enable := e.pipelineSwitch("enable", "Let a disabled pipeline run again", false)
	return []*cobra.Command{e.pipelineList(), e.pipelineShow(), e.pipelineCreate(), e.pipelineRename(), e.pipelineMove(), disable, enable, e.pipelineDelete()}
}

func (e *env) pipelineList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List the pipelines of a project with their newest runs", Args: cobra.NoArgs, Example: "  towpath pipeline list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/pipelines")
			if err != nil {
				return err
			}
			got, err := fetch[[]pipeline.Definition](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "pipeline", "folder", "file", "last run", "result"}, none: "No pipelines yet. A push with an " + pipeline.File + " makes one, or: towpath pipeline create NAME --file PATH"}
				for _, d := range got {
					t.rows = append(t.rows, definitionRow(d))
				}
				return t
			})
		},
	})
}

func definitionRow(d pipeline.Definition) []string {
	last, result := "-", "never ran"
	if d.Last != nil {
		last, result = fmt.Sprint(d.Last.Number), state(d.Last.Status, d.Last.Result)
	}
	if d.Disabled {
		result += ", disabled"
	}
	_, repo, _ := strings.Cut(d.Repo, "/")
	return []string{fmt.Sprint(d.ID), d.Name, d.Folder, repo + "/" + d.File, last, result}
}

func (e *env) pipelineShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show PIPELINE", Short: "Show a pipeline by its name or number", Args: cobra.ExactArgs(1), Example: "  towpath pipeline show nightly --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.definitionPath(args[0])
			if err != nil {
				return err
			}
			got, err := fetch[pipeline.Definition](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.printDefinition(got)
		},
	})
}

func (e *env) printDefinition(d pipeline.Definition) error {
	return e.print(d, func() table {
		row := definitionRow(d)
		t := table{}
		for i, what := range []string{"number", "name", "folder", "file", "last run", "result"} {
			t.rows = append(t.rows, []string{what, row[i]})
		}
		t.rows = append(t.rows, []string{"branch", orDash(strings.TrimPrefix(d.Branch, "refs/heads/"))}, []string{"in permissions", d.Key()})
		return t
	})
}

func (e *env) pipelineCreate() *cobra.Command {
	var repo, file, folder, branch string
	c := e.inProject(&cobra.Command{
		Use: "create NAME", Short: "Make a pipeline of another file of a repository", Args: cobra.ExactArgs(1),
		Long: "The file must be there and compile on the branch. From then on pushes start it as its trigger says, and its schedules\n" +
			"and resources count. The pipeline of an " + pipeline.File + " at the root is made by the file itself.",
		Example: "  towpath pipeline create nightly --file ci/nightly.yml --project shop\n  towpath pipeline create release --repo shop --file .azure/release.yml --folder delivery --branch main",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/pipelines")
			if err != nil {
				return err
			}
			if repo == "" {
				if repo, err = e.onlyRepo(c.Context()); err != nil {
					return err
				}
			}
			in := map[string]string{"name": args[0], "repo": repo, "file": file, "folder": folder, "branch": branch}
			got, err := send[pipeline.Definition](c.Context(), e, http.MethodPost, path, in)
			if err != nil {
				return err
			}
			return e.printDefinition(got)
		},
	})
	f := c.Flags()
	f.StringVar(&file, "file", "", "path of the YAML file in the repository")
	f.StringVar(&repo, "repo", "", "repository of the file (default: that of the project, when there is one)")
	f.StringVar(&folder, "folder", "", "where lists show it, such as team/nightly")
	f.StringVar(&branch, "branch", "", "branch that runs without one are of (default: that of the repository)")
	cobra.CheckErr(c.MarkFlagRequired("file"))
	return c
}

// onlyRepo is the repository of the project, when it has one.
func (e *env) onlyRepo(ctx context.Context) (string, error) {
	path, err := e.projectPath("/repos")
	if err != nil {
		return "", err
	}
	got, err := fetch[[]api.Repo](ctx, e, path, nil)
	if err != nil {
		return "", err
	}
	if len(got) != 1 {
		return "", fault.New(fault.Invalid, "The project has %d repositories.", len(got)).WithNext("say which one the file is in: --repo NAME")
	}
	return got[0].Name, nil
}

// changePipeline changes a pipeline and prints it.
func (e *env) changePipeline(c *cobra.Command, name string, change pipeline.DefinitionChange) error {
	path, err := e.definitionPath(name)
	if err != nil {
		return err
	}
	got, err := send[pipeline.Definition](c.Context(), e, http.MethodPatch, path, change)
	if err != nil {
		return err
	}
	return e.printDefinition(got)
}

func (e *env) pipelineRename() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "rename PIPELINE NAME", Short: "Call a pipeline otherwise; its number, runs and permissions stay", Args: cobra.ExactArgs(2),
		Example: "  towpath pipeline rename nightly night --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			return e.changePipeline(c, args[0], pipeline.DefinitionChange{Name: &args[1]})
		},
	})
}

func (e *env) pipelineMove() *cobra.Command {
	var folder, branch string
	c := e.inProject(&cobra.Command{
		Use: "set PIPELINE", Short: "Change the folder or the default branch of a pipeline", Args: cobra.ExactArgs(1),
		Example: "  towpath pipeline set nightly --folder team/nightly --branch main --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			var change pipeline.DefinitionChange
			if c.Flags().Changed("folder") {
				change.Folder = &folder
			}
			if c.Flags().Changed("branch") {
				change.Branch = &branch
			}
			return e.changePipeline(c, args[0], change)
		},
	})
	c.Flags().StringVar(&folder, "folder", "", "where lists show it; empty: none")
	c.Flags().StringVar(&branch, "branch", "", "branch that runs without one are of; empty: that of the repository")
	return c
}

func (e *env) pipelineSwitch(verb, short string, off bool) *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: verb + " PIPELINE", Short: short, Args: cobra.ExactArgs(1), Example: "  towpath pipeline " + verb + " nightly --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			return e.changePipeline(c, args[0], pipeline.DefinitionChange{Disabled: &off})
		},
	})
}

func (e *env) pipelineDelete() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "delete PIPELINE", Short: "Delete a pipeline; its runs stay as the rules of retention say", Args: cobra.ExactArgs(1),
		Example: "  towpath pipeline delete nightly --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.definitionPath(args[0])
			if err != nil {
				return err
			}
			client, err := e.client()
			if err != nil {
				return err
			}
			return client.Do(c.Context(), http.MethodDelete, path, nil, nil)
		},
	})
}
