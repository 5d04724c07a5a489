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
	var file string
	cmd := &cobra.Command{
		Use: "trace KIND/ID", Short: "Print the evidence chain through a thing, back to its commits and forward to its items", Args: cobra.ExactArgs(1),
		Long: "Print the evidence chain: what a thing came from, and what came of it. With --bundle the chain goes into a file,\n" +
			"with its events, their hashes, and the documents that they name (SBOM, scan, signature, provenance), signed by the\n" +
			"server; `towpath verify FILE` checks it without any server.\n\n" +
			"KIND/ID is commit/SHA, pull/PROJECT/REPOSITORY/N, image/DIGEST, image/REPOSITORY:TAG, run/N, job/N/STAGE.JOB,\n" +
			"decision/ID, release/PROJECT/ENVIRONMENT/N, pod/NAME, alert/ID, item/N, session/ID, sbom/DIGEST, scan/ID,\n" +
			"signature/DIGEST, provenance/DIGEST, repo/PROJECT/REPOSITORY, project/NAME or user/NAME.",
		Example: "  towpath trace commit/41ab07d\n  towpath trace image/shop/web:12\n  towpath trace release/shop/production/3\n  towpath trace pod/web-5d8c7-x2x4k -o json\n" +
			"  towpath trace item/12\n  towpath trace item/12 --bundle item-12.json",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			if file != "" {
				return e.export(c.Context(), client, args[0], file)
			}
			var got evidence.Chain
			if err := client.Get(c.Context(), "/trace", url.Values{"ref": {args[0]}}, &got); err != nil {
				return err
			}
			return e.print(got, func() table { return chainTable(got) })
		},
	}
	cmd.Flags().StringVar(&file, "bundle", "", "write the chain and its documents to this file, signed; - is standard output")
	return e.inProject(cmd)
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
