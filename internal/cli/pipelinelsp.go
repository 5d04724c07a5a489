package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/lsp"
)

// pipelineLSP is the language server for editors.
func (e *env) pipelineLSP() *cobra.Command {
	var resources, variables, tasks []string
	c := &cobra.Command{
		Use: "lsp", Short: "Language server for pipeline files, on stdin and stdout", Args: cobra.NoArgs,
		Long: "Speaks the Language Server Protocol with an editor, which starts it: errors of the compiler while you type, also through\n" +
			"templates; completion of keys, values, tasks, inputs and template parameters; explanations; the way to a template.\n" +
			"It needs no server and no network, and writes nothing. docs/pipelines/editor.md says how editors start it.",
		Example: "  towpath pipeline lsp\n  towpath pipeline lsp --resource templates=../templates",
		RunE: func(c *cobra.Command, _ []string) error {
			given, err := assignments("--var", variables)
			if err != nil {
				return err
			}
			folders := map[string]string{}
			for _, r := range resources {
				name, dir, ok := strings.Cut(r, "=")
				if !ok || name == "" || dir == "" {
					return fault.New(fault.Invalid, "--resource %s has not the form NAME=DIR.", r)
				}
				name, _, _ = strings.Cut(name, "@")
				if folders[strings.ToLower(name)], err = filepath.Abs(dir); err != nil {
					return err
				}
			}
			_, catalog, err := localTasks(tasks)
			if err != nil {
				return err
			}
			server := lsp.New(lsp.Config{Version: e.version, Repositories: folders, Variables: localVariables(given), Tasks: catalog})
			return server.Serve(c.Context(), e.in, e.out)
		},
	}
	c.Flags().StringArrayVar(&resources, "resource", nil, "folder of another repository, NAME=DIR; NAME is its alias or name")
	c.Flags().StringArrayVar(&variables, "var", nil, "predefined variable that ${{ }} may read, NAME=VALUE")
	c.Flags().StringArrayVar(&tasks, "task", nil, "folder of a task, or a .vsix, that pipelines may use beside the built-in tasks; may be repeated")
	return c
}
