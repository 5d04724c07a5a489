package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// approvals is `towpath approval`: what holds stages, and how it is released.
func (e *env) approvals() *cobra.Command {
	return noun("approval", "What holds stages of runs, and its release", e.approvalList(),
		e.approvalVerb("approve", "Approve"), e.approvalVerb("reject", "Reject, which fails the stage"),
		e.approvalDefer(), e.approvalReassign(), e.approvalPermit())
}

func (e *env) approvalList() *cobra.Command {
	var run string
	c := e.inProject(&cobra.Command{
		Use: "list", Short: "List what holds stages now, whom it waits for, and since when", Args: cobra.NoArgs,
		Example: "  towpath approval list --project shop\n  towpath approval list --run 7",
		RunE: func(c *cobra.Command, _ []string) error {
			path := ""
			if run != "" {
				n, err := runNumber(run)
				if err != nil {
					return err
				}
				path = fmt.Sprintf("/runs/%d/checks", n)
			} else {
				var err error
				if path, err = e.projectPath("/approvals"); err != nil {
					return err
				}
			}
			got, err := fetch[[]pipeline.Hold](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"run", "stage", "resource", "check", "state", "held by", "since", "id"}, none: "Nothing holds a stage."}
				for _, h := range got {
					held := strings.Join(h.Waits, ", ")
					if held == "" {
						held = h.Why
					}
					t.rows = append(t.rows, []string{fmt.Sprint(h.Run), h.Stage, h.For, h.Name, string(h.Status), orDash(held), ago(h.Started), h.Entry.Entry})
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&run, "run", "", "every check of this run, also those that are over")
	return c
}

// said prints what has become of an approval.
func (e *env) said(h pipeline.Hold) error {
	return e.print(h, func() table {
		text := fmt.Sprintf("%s of %s for run %d, %s: %s", h.Name, h.For, h.Run, h.Stage, h.Status)
		if len(h.Waits) > 0 {
			text += "; waits for " + strings.Join(h.Waits, ", ")
		}
		return table{rows: [][]string{{text}}}
	})
}

func (e *env) approvalVerb(verb, short string) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1), Example: "  towpath approval " + verb + " 01K9ZQ3M4N5P6Q7R8S9TAVBWCX --comment \"looked at the diff\"",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := send[pipeline.Hold](c.Context(), e, http.MethodPost, "/approvals/"+url.PathEscape(args[0])+"/"+verb, map[string]any{"comment": comment})
			if err != nil {
				return err
			}
			return e.said(got)
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "why")
	return c
}

func (e *env) approvalDefer() *cobra.Command {
	var comment, until string
	c := &cobra.Command{
		Use: "defer ID", Short: "Approve from a later time on", Args: cobra.ExactArgs(1),
		Example: "  towpath approval defer 01K9ZQ3M4N5P6Q7R8S9TAVBWCX --until 2026-11-05T06:00:00Z\n  towpath approval defer 01K9ZQ3M4N5P6Q7R8S9TAVBWCX --until 8h",
		RunE: func(c *cobra.Command, args []string) error {
			at, err := time.Parse(time.RFC3339, until)
			if d, perr := time.ParseDuration(until); perr == nil && d > 0 {
				at, err = time.Now().Add(d), nil
			}
			if err != nil {
				return fault.New(fault.Invalid, "%q is no time.", until).WithNext("write --until 2026-11-05T06:00:00Z, or --until 8h")
			}
			got, err := send[pipeline.Hold](c.Context(), e, http.MethodPost, "/approvals/"+url.PathEscape(args[0])+"/approve", map[string]any{"comment": comment, "until": at.UTC()})
			if err != nil {
				return err
			}
			return e.said(got)
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "why")
	c.Flags().StringVar(&until, "until", "", "time (RFC 3339), or how long from now")
	return c
}

func (e *env) approvalReassign() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use: "reassign ID USER", Short: "Have somebody else asked in your place", Args: cobra.ExactArgs(2), Example: "  towpath approval reassign 01K9ZQ3M4N5P6Q7R8S9TAVBWCX bob",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := send[pipeline.Hold](c.Context(), e, http.MethodPost, "/approvals/"+url.PathEscape(args[0])+"/reassign", map[string]any{"from": from, "to": args[1]})
			if err != nil {
				return err
			}
			return e.said(got)
		},
	}
	c.Flags().StringVar(&from, "from", "", "user:NAME or role:ROLE whose answer is given away; administrators of the project only (default: your own)")
	return c
}

func (e *env) approvalPermit() *cobra.Command {
	return &cobra.Command{
		Use: "permit ID", Short: "Let the pipeline that is held use the resource", Args: cobra.ExactArgs(1), Example: "  towpath approval permit 01K9ZQ3M4N5P6Q7R8S9TAVBWCX",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := send[pipeline.Hold](c.Context(), e, http.MethodPost, "/approvals/"+url.PathEscape(args[0])+"/permit", nil)
			if err != nil {
				return err
			}
			return e.said(got)
		},
	}
}

// retryStage is `towpath run retry`.
func (e *env) retryStage() *cobra.Command {
	return &cobra.Command{
		Use: "retry RUN STAGE", Short: "Ask the checks of a stage again that they have ended", Args: cobra.ExactArgs(2), Example: "  towpath run retry 7 Deploy",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := runNumber(args[0])
			if err != nil {
				return err
			}
			got, err := send[pipeline.Detail](c.Context(), e, http.MethodPost, fmt.Sprintf("/runs/%d/stages/%s/retry", n, url.PathEscape(args[1])), nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return runTable(got) })
		},
	}
}
