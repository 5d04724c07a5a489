package cli

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/identity"
)

func (e *env) tokens() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List your personal tokens", Args: cobra.NoArgs, Example: "  towpath token list",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]identity.Token](c.Context(), e, "/tokens", nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "name", "scope", "created", "expires"}, none: "No tokens. Make one: towpath token create NAME"}
				for _, k := range got {
					ends := "never"
					switch {
					case k.Revoked:
						ends = "revoked"
					case !k.Expires.IsZero():
						ends = date(k.Expires)
					}
					t.rows = append(t.rows, []string{k.ID, k.Name, k.Scope, ago(k.Created), ends})
				}
				return t
			})
		},
	}
	var scope string
	var days int
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a personal token; its secret is shown once", Args: cobra.ExactArgs(1),
		Example: "  towpath token create laptop\n  towpath token create mirror --scope read --days 7 -o json",
		RunE: func(c *cobra.Command, args []string) error {
			in := map[string]any{"name": args[0], "scope": scope, "days": days}
			got, err := send[api.NewToken](c.Context(), e, http.MethodPost, "/tokens", in)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.err, "Token %s may %s and expires on %s. Keep it now: it is not shown again.\n", got.Name, got.Scope, date(got.Expires))
			return e.print(got, func() table { return table{rows: [][]string{{got.Secret}}} })
		},
	}
	create.Flags().StringVar(&scope, "scope", "write", "the most that it may do: read, write, maintain or admin")
	create.Flags().IntVar(&days, "days", 30, "days until it expires, at most 366")
	revoke := &cobra.Command{
		Use: "revoke ID", Short: "Revoke a personal token", Args: cobra.ExactArgs(1), Example: "  towpath token revoke 01M8385MRN337KK2B0J1G58TE7",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			if err := client.Do(c.Context(), http.MethodDelete, "/tokens/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(e.err, "Token %s is revoked.\n", args[0])
			return nil
		},
	}
	return noun("token", "Your personal tokens", list, create, revoke)
}

func (e *env) users() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List users", Args: cobra.NoArgs, Example: "  towpath user list",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]identity.User](c.Context(), e, "/users", nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "admin", "created"}, none: "No users."}
				for _, u := range got {
					t.rows = append(t.rows, []string{u.Name, fmt.Sprint(u.Admin), ago(u.Created)})
				}
				return t
			})
		},
	}
	var admin bool
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a user; the password is read from stdin, empty for none", Args: cobra.ExactArgs(1),
		Example: "  towpath user create ada < password.txt",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			password, err := e.readSecret("Password for " + args[0] + " (empty: tokens only): ")
			if err != nil {
				return err
			}
			var got identity.User
			in := map[string]any{"name": args[0], "password": password, "admin": admin}
			if err := client.Do(c.Context(), http.MethodPost, "/users", in, &got); err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{"user " + got.Name + " made; give a role: towpath project grant " + got.Name + " write --project NAME"}}}
			})
		},
	}
	create.Flags().BoolVar(&admin, "admin", false, "administrator of the installation")
	return noun("user", "Users of the installation", list, create)
}
