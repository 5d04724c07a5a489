package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/event"
)

func (e *env) log() *cobra.Command {
	var subject, kind string
	var limit int
	var follow bool
	list := e.inProject(&cobra.Command{
		Use: "list", Short: "List events of the logbook, newest first", Args: cobra.NoArgs,
		Example: "  towpath log list --project shop\n  towpath log list --subject run:7 --project shop\n  towpath log list -f --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.client()
			if err != nil {
				return err
			}
			if e.project == "" {
				e.project = e.getenv("TOWPATH_PROJECT")
			}
			q := url.Values{"project": {e.project}, "subject": {subject}, "type": {kind}, "limit": {strconv.Itoa(limit)}, "newest": {"true"}}
			var got []event.Event
			if err := cl.Get(c.Context(), "/log", q, &got); err != nil {
				return err
			}
			err = e.print(got, func() table {
				t := table{head: []string{"seq", "when", "type", "subject", "actor", "hash"}, wide: 1, none: "No events."}
				for _, v := range got {
					t.rows = append(t.rows, []string{fmt.Sprint(v.Seq), ago(v.Time), v.Type, string(v.Subject), v.Actor, v.Hash})
				}
				return t
			})
			if err != nil || !follow {
				return err
			}
			return cl.Stream(c.Context(), "/events?"+url.Values{"project": {e.project}}.Encode(), func(v client.Event) error {
				var ev event.Event
				if err := json.Unmarshal(v.Data, &ev); err != nil {
					return err
				}
				_, err := fmt.Fprintf(e.out, "%d\t%s\t%s\t%s\n", ev.Seq, ev.Type, ev.Subject, ev.Actor)
				return err
			})
		},
	})
	list.Flags().StringVar(&subject, "subject", "", "only events about this subject (kind:id)")
	list.Flags().StringVar(&kind, "type", "", "only events of this type")
	list.Flags().IntVar(&limit, "limit", 50, "at most so many")
	list.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes next")
	verify := &cobra.Command{
		Use: "verify", Short: "Verify the hash chain of the logbook; exit 1 when it is broken", Args: cobra.NoArgs, Example: "  towpath log verify",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.client()
			if err != nil {
				return err
			}
			var got event.Report
			if err := cl.Do(c.Context(), http.MethodPost, "/log/verify", nil, &got); err != nil {
				return err
			}
			err = e.print(got, func() table {
				if !got.OK {
					return table{rows: [][]string{{"BROKEN: " + got.Why}}}
				}
				return table{rows: [][]string{{fmt.Sprintf("the logbook is whole: %d events, head %s", got.Events, got.Head)}}}
			})
			if err == nil && !got.OK {
				return exitCode(1)
			}
			return err
		},
	}
	return noun("log", "The logbook: every fact, hash-chained", list, verify)
}
