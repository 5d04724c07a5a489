package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/library"
)

// variableGroups are the verbs of `towpath variable-group`.
func (e *env) variableGroups() *cobra.Command {
	return noun("variable-group", "Variables that the pipelines of a project share", e.groupList(), e.groupShow(), e.groupCreate(), e.groupSet(), e.groupUnset(), e.groupRemove())
}

func (e *env) groupList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List variable groups", Args: cobra.NoArgs, Example: "  towpath variable-group list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/variable-groups")
			if err != nil {
				return err
			}
			got, err := fetch[[]library.Group](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "variables", "changed", "description"}, none: "No variable groups. Make one: towpath variable-group create NAME --set NAME=VALUE"}
				for _, g := range got {
					names := make([]string, len(g.Variables))
					for i, v := range g.Variables {
						names[i] = v.Name
					}
					t.rows = append(t.rows, []string{g.Name, orDash(strings.Join(names, " ")), ago(g.Changed), g.Description})
				}
				return t
			})
		},
	})
}

func (e *env) groupShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show GROUP", Short: "Show a variable group; secret values stay hidden", Args: cobra.ExactArgs(1), Example: "  towpath variable-group show production --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/variable-groups/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			got, err := fetch[library.Group](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.printGroup(got)
		},
	})
}

// printGroup prints the variables of a group.
func (e *env) printGroup(g library.Group) error {
	return e.print(g, func() table {
		t := table{head: []string{"variable", "value"}, none: "The group " + g.Name + " has no variables. Add one: towpath variable-group set " + g.Name + " NAME=VALUE"}
		for _, v := range g.Variables {
			value := v.Value
			if v.Secret {
				value = "(secret)"
			}
			t.rows = append(t.rows, []string{v.Name, value})
		}
		return t
	})
}

func (e *env) groupCreate() *cobra.Command {
	var in api.NewGroup
	var set []string
	c := e.inProject(&cobra.Command{
		Use: "create GROUP", Short: "Make a variable group", Args: cobra.ExactArgs(1),
		Long: "Makes a variable group. A pipeline names it in its variables (`- group: GROUP`) and is held until somebody permits it\n" +
			"(`towpath check permit group/GROUP PROJECT/REPO`); --open lets every pipeline of the project use it.",
		Example: "  towpath variable-group create production --set region=eu --open --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			in.Name = args[0]
			if in.Variables, err = libraryValues(set); err != nil {
				return err
			}
			path, err := e.projectPath("/variable-groups")
			if err != nil {
				return err
			}
			got, err := send[library.Group](c.Context(), e, http.MethodPost, path, in)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{"variable group " + got.Name}}} })
		},
	})
	c.Flags().StringVar(&in.Description, "description", "", "what it is for")
	c.Flags().StringArrayVar(&set, "set", nil, "a variable, NAME=VALUE; secrets are set with `towpath variable-group set`")
	c.Flags().BoolVar(&in.Open, "open", false, "every pipeline of the project may use it")
	return c
}

func (e *env) groupSet() *cobra.Command {
	var secret string
	c := e.inProject(&cobra.Command{
		Use: "set GROUP [NAME=VALUE…]", Short: "Set variables of a group", Args: cobra.MinimumNArgs(1),
		Long: "Sets variables of a group. A secret is read from standard input, so that it stands in no history and no list of processes;\n" +
			"nobody can read it again. A variable that was secret and is set without --secret is plain from then on.",
		Example: "  towpath variable-group set production region=eu tier=2 --project shop\n  towpath variable-group set production --secret token --project shop < token.txt",
		RunE: func(c *cobra.Command, args []string) error {
			values, err := libraryValues(args[1:])
			if err != nil {
				return err
			}
			if secret != "" {
				text, err := e.readSecret("Value of " + secret + ": ")
				if err != nil {
					return err
				}
				values = append(values, library.Value{Name: secret, Value: text, Secret: true})
			}
			if len(values) == 0 {
				return fault.New(fault.Invalid, "Nothing is to be set.").WithNext("write NAME=VALUE, or --secret NAME")
			}
			path, err := e.projectPath("/variable-groups/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			got, err := send[library.Group](c.Context(), e, http.MethodPatch, path, library.Change{Set: values})
			if err != nil {
				return err
			}
			return e.printGroup(got)
		},
	})
	c.Flags().StringVar(&secret, "secret", "", "`name` of a secret variable, whose value is read from standard input")
	return c
}

// libraryValues reads NAME=VALUE in the order in which they were given.
func libraryValues(list []string) ([]library.Value, error) {
	var out []library.Value
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fault.New(fault.Invalid, "%q sets no variable.", text).WithNext("write NAME=VALUE")
		}
		out = append(out, library.Value{Name: name, Value: value})
	}
	return out, nil
}

func (e *env) groupUnset() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "unset GROUP NAME…", Short: "Remove variables of a group", Args: cobra.MinimumNArgs(2), Example: "  towpath variable-group unset production tier --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/variable-groups/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			got, err := send[library.Group](c.Context(), e, http.MethodPatch, path, library.Change{Remove: args[1:]})
			if err != nil {
				return err
			}
			return e.printGroup(got)
		},
	})
}

func (e *env) groupRemove() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "remove GROUP", Short: "Remove a variable group with its secrets", Args: cobra.ExactArgs(1), Example: "  towpath variable-group remove production --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/variable-groups/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			_, err = send[any](c.Context(), e, http.MethodDelete, path, nil)
			return err
		},
	})
}
