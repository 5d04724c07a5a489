package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/work"
)

func (e *env) board() *cobra.Command {
	var sprint, lane string
	c := e.inProject(&cobra.Command{
		Use: "board", Short: "Show items by state", Args: cobra.NoArgs, Example: "  towpath item board --project shop --sprint @current",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/board")
			if err != nil {
				return err
			}
			got, err := fetch[work.Board](c.Context(), e, path, url.Values{"sprint": {sprint}, "lane": {lane}})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"state", "items", "points", "item", "title", "assignee"}}
				for _, k := range got.Columns {
					t.rows = append(t.rows, []string{k.Name, strconv.Itoa(k.Count), estimate(k.Points), "", "", ""})
					for _, i := range k.Items {
						t.rows = append(t.rows, []string{"", "", "", fmt.Sprintf("#%d", i.Number), i.Title, orDash(i.Assignee)})
					}
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&sprint, "sprint", "", "name, @current, all or none (default @current where there is one)")
	c.Flags().StringVar(&lane, "lane", "", "cut by assignee, type or parent")
	return c
}

func (e *env) itemStates() *cobra.Command {
	var file string
	c := e.inProject(&cobra.Command{
		Use: "states", Short: "Show the states of a project's items, or replace them from a file", Args: cobra.NoArgs,
		Example: "  towpath item states --project shop\n  towpath item states --file states.yaml --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/states")
			if err != nil {
				return err
			}
			var got []work.State
			if file == "" {
				got, err = fetch[[]work.State](c.Context(), e, path, nil)
			} else {
				in := []work.State{}
				if err := e.document(c, file, &in); err != nil {
					return err
				}
				got, err = send[[]work.State](c.Context(), e, http.MethodPut, path, in)
			}
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"state", "category"}}
				for _, s := range got {
					t.rows = append(t.rows, []string{s.Name, s.Category})
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&file, "file", "", "YAML or JSON list of name and category; an empty list puts the default back")
	return c
}
