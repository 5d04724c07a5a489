package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/source/pull"
)

// inRepo gives a command the flags --project and --repo.
func (e *env) inRepo(c *cobra.Command) *cobra.Command {
	e.inProject(c)
	c.Flags().StringVarP(&e.repo, "repo", "r", "", "repository in the project (default: $TOWPATH_REPO, else the one named like the project)")
	return c
}

// repoPath is "/projects/NAME/repos/NAME" + rest.
func (e *env) repoPath(rest string) (string, error) {
	path, err := e.projectPath("/repos/")
	if err != nil {
		return "", err
	}
	for _, name := range []string{e.repo, e.getenv("TOWPATH_REPO"), e.project} {
		if name != "" {
			e.repo = name
			break
		}
	}
	return path + url.PathEscape(e.repo) + rest, nil
}

// pullAt is the path of a pull request given as "7" or "#7".
func (e *env) pullAt(arg, rest string) (string, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(arg, "#"), 10, 64)
	if err != nil || n < 1 {
		return "", fault.New(fault.Invalid, "%q is no number of a pull request.", arg).WithNext("list them with `towpath pull list`")
	}
	return e.repoPath(fmt.Sprintf("/pulls/%d%s", n, rest))
}

func (e *env) pulls() *cobra.Command {
	return noun("pull", "Pull requests: propose, review, merge",
		e.pullList(), e.pullCreate(), e.pullShow(), e.pullDiff(), e.pullReview(), e.pullComment(), e.pullResolve(), e.pullMerge(), e.pullEdit(),
		e.pullEnd("close", "Close a pull request without merging it"), e.pullEnd("reopen", "Open a closed pull request again"), e.pullManifests())
}

func (e *env) pullList() *cobra.Command {
	q := map[string]*string{}
	c := e.inProject(&cobra.Command{
		Use: "list", Short: "List pull requests", Args: cobra.NoArgs,
		Example: "  towpath pull list --project shop\n  towpath pull list --reviewer ada --state open --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/pulls")
			if err != nil {
				return err
			}
			query := url.Values{}
			for k, v := range q {
				if *v != "" {
					query.Set(k, *v)
				}
			}
			got, err := fetch[api.Pulls](c.Context(), e, path, query)
			if err != nil {
				return err
			}
			return e.print(got.Pulls, func() table {
				t := table{head: []string{"number", "title", "branch", "author", "state", "updated"},
					none: "No pull requests here. Push a branch, then: towpath pull create --source BRANCH"}
				for _, p := range got.Pulls {
					state := p.State
					if p.Draft && state == pull.Open {
						state = "draft"
					}
					t.rows = append(t.rows, []string{fmt.Sprintf("#%d", p.Number), p.Title, p.Source + " → " + p.Target, p.Author, state, ago(p.Updated)})
				}
				return t
			})
		},
	})
	for name, what := range map[string]string{
		"repo": "only of this repository", "state": "open, merged, closed or all (default open)", "author": "only by this user",
		"reviewer": "only those that wait for this user's review", "text": "only with this text in title, body or branch",
	} {
		q[name] = c.Flags().String(name, "", what)
	}
	return c
}

func (e *env) pullCreate() *cobra.Command {
	var p pull.Proposal
	c := e.inRepo(&cobra.Command{
		Use: "create", Short: "Open a pull request", Args: cobra.NoArgs,
		Long:    "Opens a pull request from a branch that is pushed. Without --source it is the branch of the folder that you are in; without\n--title the title of its last commit.",
		Example: "  git push origin fix\n  towpath pull create --source fix --title \"Cart keeps its items\" --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.repoPath("/pulls")
			if err != nil {
				return err
			}
			if p.Source == "" {
				p.Source = inFolder(c.Context(), "rev-parse", "--abbrev-ref", "HEAD")
			}
			if p.Title == "" {
				p.Title = inFolder(c.Context(), "log", "-1", "--format=%s", p.Source)
			}
			if p.Source == "" || p.Title == "" {
				return fault.New(fault.Invalid, "The source branch and the title are not known here.").WithNext("add --source BRANCH --title TEXT")
			}
			got, err := send[pull.Pull](c.Context(), e, http.MethodPost, path, p)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{fmt.Sprintf("pull request #%d is open: %s → %s", got.Number, got.Source, got.Target)},
					{fmt.Sprintf("what it waits for: towpath pull show %d --project %s --repo %s", got.Number, e.project, e.repo)}}}
			})
		},
	})
	f := c.Flags()
	f.StringVar(&p.Source, "source", "", "branch to merge (default: the one that you are on)")
	f.StringVar(&p.Target, "target", "", "branch to merge it into (default: the default branch)")
	f.StringVar(&p.Title, "title", "", "title (default: that of the last commit)")
	f.StringVar(&p.Body, "body", "", "text, Markdown")
	f.BoolVar(&p.Draft, "draft", false, "not ready to be reviewed yet")
	f.StringSliceVar(&p.Reviewers, "reviewer", nil, "ask this user for a review")
	return c
}

// inFolder asks git about the folder that the user is in; "" when it does not know.
func inFolder(ctx context.Context, args ...string) string {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (e *env) pullShow() *cobra.Command {
	return e.inRepo(&cobra.Command{
		Use: "show NUMBER", Short: "Show a pull request and what keeps it from being merged", Args: cobra.ExactArgs(1),
		Example: "  towpath pull show 7 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.pullAt(args[0], "")
			if err != nil {
				return err
			}
			got, err := fetch[api.PullDetail](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return pullTable(got) })
		},
	})
}

func pullTable(d api.PullDetail) table {
	t := table{rows: [][]string{
		{fmt.Sprintf("#%d", d.Number), d.Title}, {"state", d.State}, {"branch", d.Source + " → " + d.Target},
		{"author", d.Author + ", " + ago(d.Opened)}, {"head", short(d.Head)}, {"page", d.URL},
	}}
	for _, r := range d.Reviews {
		word := r.Verdict
		if !r.Counts && r.Why != "" {
			word += " (" + r.Why + ")"
		}
		t.rows = append(t.rows, []string{"review", r.Reviewer, word, ago(r.Time)})
	}
	for _, c := range d.Checks {
		t.rows = append(t.rows, []string{"check", c.Name, c.State, c.Title})
		for _, a := range c.Annotations {
			t.rows = append(t.rows, []string{"", fmt.Sprintf("%s:%d", a.Path, a.StartLine), a.Message})
			if a.Fix != "" {
				t.rows = append(t.rows, []string{"", "", "fix: " + a.Fix})
			}
		}
	}
	for _, b := range d.Gate.Blocks {
		t.rows = append(t.rows, []string{"blocked", b.What, b.Why}, []string{"", "next", b.Next})
	}
	if d.State == pull.Open && d.Gate.Allowed {
		t.rows = append(t.rows, []string{"ready", fmt.Sprintf("towpath pull merge %d", d.Number)})
	}
	return t
}

func (e *env) pullDiff() *cobra.Command {
	return e.inRepo(&cobra.Command{
		Use: "diff NUMBER", Short: "Show what a pull request changes", Args: cobra.ExactArgs(1), Example: "  towpath pull diff 7 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.pullAt(args[0], "/diff")
			if err != nil {
				return err
			}
			got, err := fetch[api.Diff](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{none: "It changes nothing."}
				for _, f := range got.Files {
					t.rows = append(t.rows, []string{fmt.Sprintf("%s %s (+%d −%d)", f.Kind, f.New, f.Additions, f.Deletions)})
					for _, h := range f.Hunks {
						t.rows = append(t.rows, []string{fmt.Sprintf("@@ -%d +%d @@ %s", h.Old, h.New, h.Section)})
						for _, l := range h.Lines {
							t.rows = append(t.rows, []string{l.Kind + l.Text})
						}
					}
				}
				return t
			})
		},
	})
}

func (e *env) pullManifests() *cobra.Command {
	var environment string
	c := e.inRepo(&cobra.Command{
		Use: "manifests NUMBER", Short: "Print what a pull request would apply, rendered for its environments", Args: cobra.ExactArgs(1),
		Example: "  towpath pull manifests 7 --environment production --project shop | towpath kubectl apply --dry-run=server -f -",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.pullAt(args[0], "/manifests")
			if err != nil {
				return err
			}
			got, err := fetch[api.Manifests](c.Context(), e, path, url.Values{"environment": {environment}})
			if err != nil {
				return err
			}
			if e.output != "table" {
				return e.print(got, nil)
			}
			_, err = fmt.Fprint(e.out, got.YAML)
			return err
		},
	})
	c.Flags().StringVar(&environment, "environment", "", "only for this environment")
	return c
}

func (e *env) checks() *cobra.Command {
	list := e.inRepo(&cobra.Command{
		Use: "list COMMIT", Short: "List the checks of a commit", Args: cobra.ExactArgs(1), Example: "  towpath check list $(git rev-parse HEAD) --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.repoPath("/commits/" + url.PathEscape(args[0]) + "/checks")
			if err != nil {
				return err
			}
			got, err := fetch[[]pull.Check](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "source", "state", "title", "when"}, none: "No checks were reported for this commit."}
				for _, k := range got {
					t.rows = append(t.rows, []string{k.Name, k.Source, k.State, k.Title, ago(k.Time)})
				}
				return t
			})
		},
	})
	var in api.CheckReport
	report := e.inRepo(&cobra.Command{
		Use: "report COMMIT NAME STATE", Short: "Report a check of a commit", Args: cobra.ExactArgs(3),
		Example: "  towpath check report $(git rev-parse HEAD) lint success --title \"0 findings\" --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.repoPath("/commits/" + url.PathEscape(args[0]) + "/checks")
			if err != nil {
				return err
			}
			in.Name, in.State = args[1], args[2]
			got, err := send[pull.Check](c.Context(), e, http.MethodPost, path, in)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{got.Name + ": " + got.State}}} })
		},
	})
	report.Flags().StringVar(&in.Title, "title", "", "one line")
	report.Flags().StringVar(&in.Summary, "summary", "", "Markdown")
	report.Flags().StringVar(&in.URL, "url", "", "where to read more")
	return noun("check", "Checks of commits, and checks on the resources of pipelines", append(e.gates(), list, report)...)
}

// readInput reads a file, or standard input for "-".
func (e *env) readInput(name string) ([]byte, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(io.LimitReader(e.in, 8<<20))
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The file %s cannot be read.", name)
	}
	return b, nil
}
