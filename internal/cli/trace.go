package cli

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/evidence"
)

func (e *env) trace() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "trace KIND/ID", Short: "Print the evidence chain through a commit, image, run, release or pod", Args: cobra.ExactArgs(1),
		Example: "  towpath trace commit/41ab07d\n  towpath trace image/shop/web:12\n  towpath trace run/7\n  towpath trace release/shop/production/3\n  towpath trace pod/web-5d8c7-x2x4k -o json",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			var got evidence.Chain
			if err := client.Get(c.Context(), "/trace", url.Values{"ref": {args[0]}}, &got); err != nil {
				return err
			}
			return e.print(got, func() table { return chainTable(got) })
		},
	})
}

func chainTable(c evidence.Chain) table {
	t := table{head: []string{"station", "what", "digest", "when", "actor", "event"}, none: "Nothing is known about it."}
	for _, s := range c.Stations {
		what := s.Title
		var facts []string
		for _, f := range s.Facts {
			facts = append(facts, f.Name+" "+f.Value)
		}
		if len(facts) > 0 {
			what += "  (" + strings.Join(facts, ", ") + ")"
		}
		if len(what) > 90 {
			what = what[:89] + "…"
		}
		t.rows = append(t.rows, []string{s.Kind, what, orDash(short(s.Digest)), s.Time.Local().Format(time.DateTime), s.Actor, fmt.Sprintf("%d %.8s", s.Seq, s.Hash)})
	}
	for _, m := range c.Missing {
		t.rows = append(t.rows, []string{m, "no evidence yet", "-", "-", "-", "-"})
	}
	return t
}
