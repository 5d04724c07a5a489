package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// pipelineParameters lists what a run of a pipeline can be given.
func (e *env) pipelineParameters() *cobra.Command {
	var ref string
	c := e.inProject(&cobra.Command{
		Use: "parameters PIPELINE", Short: "Parameters of a pipeline, with their defaults", Args: cobra.ExactArgs(1), Example: "  towpath pipeline parameters shop --ref main",
		RunE: func(c *cobra.Command, args []string) error {
			path, q, err := e.ofPipeline(c.Context(), args[0], "/parameters")
			if err != nil {
				return err
			}
			q.Set("ref", ref)
			got, err := fetch[[]plan.Parameter](c.Context(), e, path, q)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"parameter", "type", "default", "values"}, none: "The pipeline declares no parameters."}
				for _, p := range got {
					t.rows = append(t.rows, []string{p.Name, p.Type, fmt.Sprint(p.Value), strings.Join(p.Values, ", ")})
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&ref, "ref", "", "branch or full ref (default: the default branch)")
	return c
}

// pipelineVariables are the variables of a pipeline that do not stand in its file.
func (e *env) pipelineVariables() *cobra.Command {
	path := func(c *cobra.Command, of, name string) (string, error) {
		p := "/variables"
		if name != "" {
			p += "/" + url.PathEscape(name)
		}
		at, q, err := e.ofPipeline(c.Context(), of, p)
		return withQuery(at, q), err
	}
	list := e.inProject(&cobra.Command{
		Use: "list PIPELINE", Short: "List the variables of a pipeline", Args: cobra.ExactArgs(1), Example: "  towpath pipeline variable list shop",
		RunE: func(c *cobra.Command, args []string) error {
			at, err := path(c, args[0], "")
			if err != nil {
				return err
			}
			got, err := fetch[[]pipeline.Variable](c.Context(), e, at, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"variable", "value", "settable", "by"}, none: "The pipeline has no variables beside those of its file."}
				for _, v := range got {
					t.rows = append(t.rows, []string{v.Name, v.Value, fmt.Sprint(v.Settable), v.Actor})
				}
				return t
			})
		},
	})
	var value string
	var settable bool
	set := e.inProject(&cobra.Command{
		Use: "set PIPELINE NAME", Short: "Set a variable of a pipeline", Args: cobra.ExactArgs(2), Example: "  towpath pipeline variable set shop LEVEL --value info --settable",
		RunE: func(c *cobra.Command, args []string) error {
			at, err := path(c, args[0], args[1])
			if err != nil {
				return err
			}
			client, err := e.client()
			if err != nil {
				return err
			}
			return client.Do(c.Context(), http.MethodPut, at, map[string]any{"value": value, "settable": settable}, nil)
		},
	})
	set.Flags().StringVar(&value, "value", "", "what it holds")
	set.Flags().BoolVar(&settable, "settable", false, "who starts a run may give it another value")
	remove := e.inProject(&cobra.Command{
		Use: "delete PIPELINE NAME", Short: "Remove a variable of a pipeline", Args: cobra.ExactArgs(2), Example: "  towpath pipeline variable delete shop LEVEL",
		RunE: func(c *cobra.Command, args []string) error {
			at, err := path(c, args[0], args[1])
			if err != nil {
				return err
			}
			client, err := e.client()
			if err != nil {
				return err
			}
			return client.Do(c.Context(), http.MethodDelete, at, nil, nil)
		},
	})
	return noun("variable", "Variables of a pipeline that do not stand in its file", list, set, remove)
}
