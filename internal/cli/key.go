package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/identity"
)

// keys are a user's SSH keys, and with --repo the deploy keys of a repository.
func (e *env) keys() *cobra.Command {
	at := func() (string, error) {
		if e.repo == "" {
			return "/keys", nil
		}
		return e.repoPath("/keys")
	}
	flags := func(c *cobra.Command) *cobra.Command {
		e.inProject(c)
		c.Flags().StringVarP(&e.repo, "repo", "r", "", "deploy keys of this repository instead of your own keys")
		return c
	}
	list := flags(&cobra.Command{
		Use: "list", Short: "List SSH keys", Args: cobra.NoArgs, Example: "  towpath key list\n  towpath key list --repo shop --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := at()
			if err != nil {
				return err
			}
			got, err := fetch[[]identity.Key](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "title", "type", "fingerprint", "may", "added"}, none: "No SSH keys. Add one: towpath key add ~/.ssh/id_ed25519.pub"}
				for _, k := range got {
					may := "as you"
					switch {
					case k.Repo != "" && k.Write:
						may = "read and push"
					case k.Repo != "":
						may = "read"
					}
					t.rows = append(t.rows, []string{k.ID, k.Title, k.Type, k.Fingerprint, may, ago(k.Created)})
				}
				return t
			})
		},
	})
	var title string
	var write bool
	add := flags(&cobra.Command{
		Use: "add FILE", Short: "Use Git over SSH with a key, or make a deploy key", Args: cobra.ExactArgs(1),
		Example: "  towpath key add ~/.ssh/id_ed25519.pub\n  towpath key add deploy.pub --repo shop --write --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			b, err := e.readInput(args[0])
			if err != nil {
				return err
			}
			path, err := at()
			if err != nil {
				return err
			}
			got, err := send[identity.Key](c.Context(), e, http.MethodPost, path, map[string]any{"title": title, "key": strings.TrimSpace(string(b)), "write": write})
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{"key " + got.Fingerprint + " added as " + got.Title}}} })
		},
	})
	add.Flags().StringVar(&title, "title", "", "what it is (default: the key's comment)")
	add.Flags().BoolVar(&write, "write", false, "a deploy key may push as well")
	remove := &cobra.Command{
		Use: "remove ID", Short: "Take an SSH key away; it ends at once", Args: cobra.ExactArgs(1), Example: "  towpath key remove 01JQ…",
		RunE: func(c *cobra.Command, args []string) error {
			_, err := send[any](c.Context(), e, http.MethodDelete, "/keys/"+url.PathEscape(args[0]), nil)
			return err
		},
	}
	return noun("key", "SSH keys of users and repositories", list, add, remove)
}
