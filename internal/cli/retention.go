package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// retention are the verbs of `towpath retention`.
func (e *env) retention() *cobra.Command {
	return noun("retention", "How long runs stay", e.retentionShow(), e.retentionSet(), e.retentionExpired(), e.retentionKept())
}

// rulesPath is where the rules of the project are, or those of the installation.
func (e *env) rulesPath(installation bool) (string, error) {
	if installation {
		return "/retention", nil
	}
	return e.projectPath("/retention")
}

func (e *env) retentionShow() *cobra.Command {
	var installation bool
	c := e.inProject(&cobra.Command{
		Use: "show", Short: "Show the rules, in their order", Args: cobra.NoArgs, Example: "  towpath retention show --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.rulesPath(installation)
			if err != nil {
				return err
			}
			got, err := fetch[api.Retention](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"of", "pipeline", "branch", "days", "always the newest"}}
				add := func(of string, rules []pipeline.RetentionRule) {
					for _, r := range rules {
						t.rows = append(t.rows, []string{of, orDash(strings.Trim(r.Repo+"/"+r.File, "/")), orDash(r.Branch), fmt.Sprint(r.Days), fmt.Sprint(r.Keep)})
					}
				}
				if installation {
					add("installation", got.Rules)
					return t
				}
				add("project", got.Rules)
				add("installation", got.Installation)
				return t
			})
		},
	})
	c.Flags().BoolVar(&installation, "installation", false, "the rules where a project says nothing")
	return c
}

func (e *env) retentionSet() *cobra.Command {
	var installation bool
	var rules []string
	c := e.inProject(&cobra.Command{
		Use: "set", Short: "Replace the rules; the first that matches a run counts", Args: cobra.NoArgs,
		Long:    "Each rule is a list of repo=NAME, file=PATH, branch=PATTERN, days=N and keep=N, separated by commas. The branch pull stands for the runs\nof pull requests. Without a rule the rules of the installation count alone.",
		Example: "  towpath retention set --project shop --rule branch=main,days=365,keep=20 --rule days=14,keep=2",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.rulesPath(installation)
			if err != nil {
				return err
			}
			in := api.Retention{Rules: []pipeline.RetentionRule{}}
			for _, text := range rules {
				r, err := parseRule(text)
				if err != nil {
					return err
				}
				in.Rules = append(in.Rules, r)
			}
			client, err := e.client()
			if err != nil {
				return err
			}
			return client.Do(c.Context(), http.MethodPut, path, in, nil)
		},
	})
	c.Flags().BoolVar(&installation, "installation", false, "the rules where a project says nothing")
	c.Flags().StringArrayVar(&rules, "rule", nil, "a rule: repo=NAME,file=PATH,branch=PATTERN,days=N,keep=N")
	return c
}

// parseRule reads "branch=main,days=30,keep=3".
func parseRule(text string) (pipeline.RetentionRule, error) {
	var r pipeline.RetentionRule
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var err error
		switch key {
		case "repo":
			r.Repo = value
		case "file":
			r.File = value
		case "branch":
			r.Branch = value
		case "days":
			r.Days, err = strconv.Atoi(value)
		case "keep":
			r.Keep, err = strconv.Atoi(value)
		default:
			err = strconv.ErrSyntax
		}
		if err != nil {
			return r, fault.New(fault.Invalid, "%q is no part of a rule.", part).WithNext("write repo=NAME,file=PATH,branch=PATTERN,days=N,keep=N")
		}
	}
	return r, nil
}

func (e *env) retentionKept() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "kept", Short: "List the runs that are kept, whatever the rules say", Args: cobra.NoArgs, Example: "  towpath retention kept --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/retention/kept")
			if err != nil {
				return err
			}
			got, err := fetch[[]pipeline.KeptRun](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"run", "name", "why", "by", "since"}, none: "No run is kept by hand. Keep one with: towpath run keep RUN"}
				for _, k := range got {
					t.rows = append(t.rows, []string{fmt.Sprint(k.Run), k.Name, orDash(k.Why), k.By, ago(k.Created)})
				}
				return t
			})
		},
	})
}

func (e *env) retentionExpired() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "expired", Short: "List the runs that the rules let go now", Args: cobra.NoArgs, Example: "  towpath retention expired --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/retention/expired")
			if err != nil {
				return err
			}
			got, err := fetch[[]pipeline.Run](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"run", "name", "ref", "queued"}, none: "No run is old enough to go."}
				for _, r := range got {
					t.rows = append(t.rows, []string{fmt.Sprint(r.Number), r.Label, r.Ref, ago(r.Queued)})
				}
				return t
			})
		},
	})
}

func (e *env) keepRun() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "keep RUN", Short: "Keep a run, whatever the rules of retention say", Args: cobra.ExactArgs(1), Example: "  towpath run keep 7 --why 'release 1.4'",
		RunE: func(c *cobra.Command, args []string) error {
			return e.onKeep(c, http.MethodPut, args[0], map[string]string{"why": why})
		},
	}
	c.Flags().StringVar(&why, "why", "", "the reason, one line")
	return c
}

func (e *env) unkeepRun() *cobra.Command {
	return &cobra.Command{
		Use: "unkeep RUN", Short: "Let the rules of retention decide about a run again", Args: cobra.ExactArgs(1), Example: "  towpath run unkeep 7",
		RunE: func(c *cobra.Command, args []string) error { return e.onKeep(c, http.MethodDelete, args[0], nil) },
	}
}

func (e *env) onKeep(c *cobra.Command, method, run string, in any) error {
	n, err := runNumber(run)
	if err != nil {
		return err
	}
	client, err := e.client()
	if err != nil {
		return err
	}
	return client.Do(c.Context(), method, fmt.Sprintf("/runs/%d/keep", n), in, nil)
}
