package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/validate"
)

func (e *env) pipelines() *cobra.Command {
	check := &cobra.Command{
		Use: "validate [FILE]", Short: "Check an azure-pipelines.yml on this machine", Args: cobra.MaximumNArgs(1),
		Example: "  towpath pipeline validate\n  towpath pipeline validate examples/shop/azure-pipelines.yml",
		RunE: func(c *cobra.Command, args []string) error {
			root, file, err := split(args)
			if err != nil {
				return err
			}
			_, found := compile.Compile(c.Context(), file, folder(root), compile.Options{Features: validate.Features{Matrix: true, Canary: true, Rolling: true}})
			return e.diagnostics(found, file)
		},
	}
	expanded := &cobra.Command{
		Use: "expand [FILE]", Short: "Print the pipeline with its templates and ${{ }} expanded", Args: cobra.MaximumNArgs(1),
		Example: "  towpath pipeline expand examples/shop/azure-pipelines.yml",
		RunE: func(c *cobra.Command, args []string) error {
			root, file, err := split(args)
			if err != nil {
				return err
			}
			text, found := compile.Expand(c.Context(), file, folder(root), compile.Options{Features: validate.Features{Matrix: true, Canary: true, Rolling: true}})
			if err := e.diagnostics(found, ""); err != nil {
				return err
			}
			_, err = fmt.Fprint(e.out, string(text))
			return err
		},
	}
	var ref string
	var params map[string]string
	run := e.inProject(&cobra.Command{
		Use: "run REPO", Short: "Run the pipeline of a branch now", Args: cobra.ExactArgs(1), Example: "  towpath pipeline run shop --project shop --ref main",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/repos/" + url.PathEscape(args[0]) + "/runs")
			if err != nil {
				return err
			}
			in := map[string]any{"ref": ref, "parameters": params}
			got, err := send[pipeline.Run](c.Context(), e, http.MethodPost, path, in)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{fmt.Sprintf("run %d queued; follow it with: towpath run logs -f %d", got.Number, got.Number)}}}
			})
		},
	})
	run.Flags().StringVar(&ref, "ref", "", "branch or full ref (default: the default branch)")
	run.Flags().StringToStringVar(&params, "param", nil, "parameters, NAME=VALUE")
	return noun("pipeline", "Pipeline files: check, expand, run", check, expanded, run)
}

// split returns the folder that templates are relative to, and the file in it, which
// must be there.
func split(args []string) (root, file string, err error) {
	path := pipeline.File
	if len(args) > 0 {
		path = args[0]
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", "", fault.Wrap(fault.NotFound, err, "There is no file %s here.", path).WithNext("name the file: towpath pipeline validate FILE")
	}
	return filepath.Dir(path), filepath.Base(path), nil
}

// folder loads templates from a folder of this machine, and from nowhere else.
func folder(root string) expand.Loader {
	return expand.LoaderFunc(func(_ context.Context, ref expand.Ref) ([]byte, error) {
		if ref.Repository != nil {
			return nil, fmt.Errorf("template %s is in another repository, which is not on this machine: %w", ref.Path, fs.ErrNotExist)
		}
		dir, err := os.OpenRoot(root)
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		return dir.ReadFile(strings.TrimPrefix(path.Clean("/"+ref.Path), "/"))
	})
}

// diagnostics prints what was found; errors end the command with exit code 1.
func (e *env) diagnostics(found compile.Diagnostics, file string) error {
	for _, d := range found {
		fmt.Fprintln(e.err, d.Error())
	}
	if found.Err() != nil {
		return exitCode(1)
	}
	if file != "" {
		fmt.Fprintf(e.err, "%s is valid\n", file)
	}
	return nil
}
