package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/pipeline"
)

// tests are the verbs of `towpath test`.
func (e *env) tests() *cobra.Command {
	return noun("test", "Tests of pipelines: outcomes over runs, and which are flaky",
		e.testList("list", "List the tests of a pipeline, those first that fail most", nil),
		e.testList("flaky", "List the tests that failed and passed on one commit", url.Values{"flaky": {"true"}}), e.testHistory())
}

func (e *env) testList(verb, short string, fixed url.Values) *cobra.Command {
	var branch string
	var failed bool
	c := e.inProject(&cobra.Command{
		Use: verb + " PIPELINE", Short: short, Args: cobra.ExactArgs(1), Example: "  towpath test " + verb + " shop --project shop --branch main",
		RunE: func(c *cobra.Command, args []string) error {
			path, q, err := e.ofPipeline(c.Context(), args[0], "/tests")
			if err != nil {
				return err
			}
			q.Set("branch", branch)
			q.Set("failed", strconv.FormatBool(failed))
			q["flaky"] = fixed["flaky"]
			got, err := fetch[[]pipeline.TestCase](c.Context(), e, path, q)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"test", "outcome", "failed", "mark", "run", "seconds"}, none: "No tests. A PublishTestResults@2 step brings them."}
				for _, x := range got {
					mark := ""
					if x.Flaky {
						mark = "flaky on " + short7(x.Commit)
					}
					t.rows = append(t.rows, []string{x.Suite + "/" + x.Name, strings.ToLower(x.Outcome), fmt.Sprintf("%d of %d", x.Failed, x.Runs), mark, fmt.Sprint(x.Run), fmt.Sprintf("%.2f", x.Seconds)})
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&branch, "branch", "", "only runs of this branch")
	c.Flags().BoolVar(&failed, "failed", false, "only tests that failed in their newest run")
	return c
}

// short7 is a commit as people write it.
func short7(commit string) string { return commit[:min(len(commit), 7)] }

func (e *env) testHistory() *cobra.Command {
	var branch string
	var limit int
	c := e.inProject(&cobra.Command{
		Use: "history PIPELINE TEST", Short: "Outcomes of a test, newest first", Args: cobra.ExactArgs(2), Example: "  towpath test history shop Cart/adds --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, q, err := e.ofPipeline(c.Context(), args[0], "/tests/history")
			if err != nil {
				return err
			}
			q.Set("test", args[1])
			q.Set("branch", branch)
			q.Set("limit", strconv.Itoa(limit))
			got, err := fetch[[]pipeline.Outcome](c.Context(), e, path, q)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"run", "outcome", "commit", "ref", "seconds", "queued"}, none: "The test has no outcomes."}
				for _, x := range got {
					t.rows = append(t.rows, []string{fmt.Sprint(x.Run) + attemptOf(x.Attempt), strings.ToLower(x.Outcome), short7(x.Commit), strings.TrimPrefix(x.Ref, "refs/heads/"), fmt.Sprintf("%.2f", x.Seconds), ago(x.Queued)})
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&branch, "branch", "", "only runs of this branch")
	c.Flags().IntVar(&limit, "limit", 50, "at most so many")
	return c
}
