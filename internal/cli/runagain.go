package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// rerun runs a commit again, or a part of a run in it.
func (e *env) rerun() *cobra.Command {
	var part pipeline.Part
	var keep string
	c := &cobra.Command{
		Use: "rerun RUN", Short: "Run the same commit again, or only what failed of the run", Args: cobra.ExactArgs(1),
		Long: "Without flags a new run of the same commit with the same parameters begins. With --failed or --stage a part of the\n" +
			"run runs again in the run itself: what is not part of it stays as it is, with its outputs and artifacts. Stages behind\n" +
			"it that never started follow. The logs of earlier attempts stay: towpath run logs RUN --attempt N.",
		Example: "  towpath run rerun 7\n  towpath run rerun 7 --failed\n  towpath run rerun 7 --stage Deploy --following\n  towpath run rerun 7 --failed --keep-on-failure=1h",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := runNumber(args[0])
			if err != nil {
				return err
			}
			if part.Following && part.Whole() {
				return fault.New(fault.Invalid, "--following needs a stage to follow.").WithNext("add --stage or --failed")
			}
			stay, err := keepSeconds(keep)
			if err != nil {
				return err
			}
			var in any
			if !part.Whole() || stay != 0 {
				in = struct {
					pipeline.Part
					Keep int `json:"keep_seconds,omitempty"`
				}{part, stay}
			}
			got, err := send[pipeline.Run](c.Context(), e, http.MethodPost, fmt.Sprintf("/runs/%d/rerun", n), in)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				said := fmt.Sprintf("run %d queued", got.Number)
				if got.Number == n {
					said = fmt.Sprintf("run %d goes on; follow it with: towpath run logs -f %d", n, n)
				}
				return table{rows: [][]string{{said}}}
			})
		},
	}
	c.Flags().BoolVar(&part.Failed, "failed", false, "only the jobs that failed or were cancelled, and what depends on them")
	c.Flags().StringVar(&part.Stage, "stage", "", "only this stage")
	c.Flags().BoolVar(&part.Following, "following", false, "and the stages that depend on it, also those that ran already")
	keepFlag(c.Flags(), &keep)
	return c
}

// onStage does something with one stage of a run.
func (e *env) onStage(verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " RUN STAGE", Short: short, Args: cobra.ExactArgs(2), Example: "  towpath run " + verb + " 7 Deploy",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := runNumber(args[0])
			if err != nil {
				return err
			}
			got, err := send[pipeline.Detail](c.Context(), e, http.MethodPost, fmt.Sprintf("/runs/%d/stages/%s/%s", n, url.PathEscape(args[1]), verb), nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return runTable(got) })
		},
	}
}

// attemptLogs prints the logs of an attempt that was made again.
func (e *env) attemptLogs(ctx context.Context, c *client.Client, arg, only string, attempt int) error {
	n, err := runNumber(arg)
	if err != nil {
		return err
	}
	var jobs []pipeline.Job
	if err := c.Get(ctx, fmt.Sprintf("/runs/%d/attempts", n), nil, &jobs); err != nil {
		return err
	}
	found := false
	for _, j := range jobs {
		if j.Attempt != attempt || only != "" && j.Path != only {
			continue
		}
		found = true
		path := fmt.Sprintf("%s#%d", j.Path, attempt)
		for _, p := range j.Steps {
			if _, _, err := e.stepLog(ctx, c, n, path, p, map[string]int64{}, path, false); err != nil {
				return err
			}
		}
	}
	if !found {
		return fault.New(fault.NotFound, "No job of run %d was made again after its attempt %d.", n, attempt).
			WithNext("the last attempt needs no flag: towpath run logs %d", n)
	}
	return nil
}
