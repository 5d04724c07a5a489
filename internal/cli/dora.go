package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/work/dora"
)

// dora shows the four numbers, or the list behind one of them.
func (e *env) dora() *cobra.Command {
	var environment, bucket, of string
	var back time.Duration
	c := e.inProject(&cobra.Command{
		Use: "dora", Short: "Deployment frequency, lead time, change failure rate and time to restore", Args: cobra.NoArgs,
		Long:    "The four numbers of DORA by GitLab's formulas, from the platform's own events. --of lists what a number is made of.",
		Example: "  towpath dora --project shop\n  towpath dora --project shop --by month --since 8760h\n  towpath dora --project shop --of incidents",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/dora")
			if err != nil {
				return err
			}
			q := url.Values{"bucket": {bucket}}
			if environment != "" {
				q.Set("environment", environment)
			}
			got, err := fetch[dora.Report](c.Context(), e, path, since(q, back))
			if err != nil {
				return err
			}
			lists := map[string]func(dora.Report) table{"": doraTable, "deployments": doraDeployments, "changes": doraChanges, "incidents": doraIncidents}
			show, ok := lists[of]
			if !ok {
				return fmt.Errorf("invalid argument %q for --of: deployments, changes and incidents are known", of)
			}
			return e.print(got, func() table { return show(got) })
		},
	})
	c.Flags().StringVar(&environment, "environment", "", "environment (default: production)")
	c.Flags().StringVar(&bucket, "by", dora.Week, "day, week or month")
	c.Flags().StringVar(&of, "of", "", "deployments, changes or incidents: what the numbers are made of")
	c.Flags().DurationVar(&back, "since", 90*24*time.Hour, "how far back to look")
	return c
}

func doraTable(r dora.Report) table {
	t := table{head: []string{"from", "deployments", "a day", "lead time", "incidents", "failure rate", "restored", "time to restore"}}
	row := func(name string, n dora.Numbers) []string {
		return []string{
			name, strconv.Itoa(n.Deployments), fmt.Sprintf("%.2f", n.PerDay), seconds(n.Lead, n.Changes), strconv.Itoa(n.Incidents),
			fmt.Sprintf("%.0f %%", 100*n.FailureRate), strconv.Itoa(n.Restored), seconds(n.Restore, n.Restored),
		}
	}
	for _, p := range r.Points {
		t.rows = append(t.rows, row(p.Start.Format(time.DateOnly), p.Numbers))
	}
	t.rows = append(t.rows, row("all", r.Total))
	return t
}

// seconds writes a duration that is made of n values.
func seconds(s float64, n int) string {
	if n == 0 {
		return "-"
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

func doraDeployments(r dora.Report) table {
	t := table{head: []string{"release", "at", "commit", "changes", "run"}, none: "Nothing was deployed."}
	for _, d := range r.Deployments {
		t.rows = append(t.rows, []string{d.Release, when(d.At), orDash(fmt.Sprintf("%.12s", d.Commit)), strconv.Itoa(d.Changes), strconv.FormatInt(d.Run, 10)})
	}
	return t
}

func doraChanges(r dora.Report) table {
	t := table{head: []string{"commit", "what", "author", "lead time", "release"}, wide: 1, none: "No change arrived."}
	for _, c := range r.Changes {
		t.rows = append(t.rows, []string{fmt.Sprintf("%.12s", c.Commit), cellText("string", c.Title), cellText("string", c.Author), seconds(c.Lead, 1), c.Release})
	}
	return t
}

func doraIncidents(r dora.Report) table {
	t := table{head: []string{"item", "what", "source", "release", "opened", "open for"}, wide: 1, none: "No incident."}
	for _, i := range r.Incidents {
		open := "still"
		if !i.Closed.IsZero() {
			open = seconds(i.Closed.Sub(i.Opened).Seconds(), 1)
		}
		t.rows = append(t.rows, []string{strconv.FormatInt(i.Item, 10), cellText("string", i.Title), i.Source, i.Release, when(i.Opened), open})
	}
	return t
}
