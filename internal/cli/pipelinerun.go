package cli

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// pipelineRun runs a file here, or the pipeline of a repository on the server: what is a
// file is meant as one.
func (e *env) pipelineRun() *cobra.Command {
	var files pipelineFlags
	var here localFlags
	var ref string
	var skip []string
	var keep string
	c := &cobra.Command{
		Use: "run [FILE | PIPELINE]", Short: "Run a pipeline file on this machine, or a pipeline on the server", Args: cobra.MaximumNArgs(1),
		Long: "With a FILE (default: " + pipeline.File + "), runs it here: no server, no network, the engine and the agent of the server.\n" +
			"Jobs check out a snapshot of the working tree, with what is not committed yet and without what Git ignores; the\n" +
			"working tree itself is never changed. What needs a server, such as deployment jobs, is left out and named.\n" +
			"The first interrupt cancels the run, and steps with always() still run; the second breaks it off.\n\n" +
			"With a PIPELINE, by its name, its number or its repository, starts a run of a branch on the server.",
		Example: "  towpath pipeline run\n  towpath pipeline run ci/build.yml --job Build.Test -p configuration=Debug\n" +
			"  towpath pipeline run --step 'Run tests' --shell-on-failure\n  towpath pipeline run --group shared=shared.env --secret NUGET_TOKEN --artifacts out\n" +
			"  towpath pipeline run shop --project shop --ref main --skip Deploy\n  towpath pipeline run shop --keep-on-failure=1h",
		RunE: func(c *cobra.Command, args []string) error {
			name := pipeline.File
			if len(args) > 0 {
				name = args[0]
			}
			if isFile(name, files.repo) {
				if keep != "" {
					return fault.New(fault.Invalid, "--keep-on-failure is for runs on the server.").WithNext("use --shell-on-failure for a run here")
				}
				return e.runLocal(c.Context(), &files, &here, args)
			}
			if len(args) == 0 {
				return fault.New(fault.NotFound, "There is no %s here.", pipeline.File).WithNext("name a file to run here, or a pipeline that the server is to run")
			}
			if !pipelineName(name) {
				return fault.New(fault.NotFound, "There is no file %s here.", name).WithNext("name a file to run here, or a pipeline that the server is to run")
			}
			return e.runOnServer(c, name, ref, files, skip, keep)
		},
	}
	files.add(c)
	here.add(c)
	f := c.Flags()
	f.StringVar(&e.project, "project", "", "with PIPELINE: its project (default: $TOWPATH_PROJECT)")
	f.StringVar(&ref, "ref", "", "with PIPELINE: branch or full ref (default: the default branch)")
	f.StringSliceVar(&skip, "skip", nil, "with PIPELINE: stages to leave out")
	keepFlag(f, &keep)
	return c
}

// runOnServer starts a run of a pipeline.
func (e *env) runOnServer(c *cobra.Command, name, ref string, given pipelineFlags, skip []string, keep string) error {
	stay, err := keepSeconds(keep)
	if err != nil {
		return err
	}
	path, q, err := e.ofPipeline(c.Context(), name, "/runs")
	if err != nil {
		return err
	}
	params, err := assignments("-p", given.parameters)
	if err != nil {
		return err
	}
	vars, err := assignments("--var", given.variables)
	if err != nil {
		return err
	}
	in := map[string]any{"ref": ref, "parameters": params, "variables": vars, "skip": skip, "keep_seconds": stay}
	got, err := send[pipeline.Run](c.Context(), e, http.MethodPost, withQuery(path, q), in)
	if err != nil {
		return err
	}
	return e.print(got, func() table {
		return table{rows: [][]string{{fmt.Sprintf("run %d queued; follow it with: towpath run logs -f %d", got.Number, got.Number)}}}
	})
}

// pipelineName reports whether a word may be the name of a pipeline or a repository; everything else was
// meant as a file.
func pipelineName(name string) bool {
	for _, r := range name {
		if r == '/' || r == '\\' {
			return false
		}
	}
	return len(name) > 0 && !hasExtension(name, ".yml", ".yaml")
}
