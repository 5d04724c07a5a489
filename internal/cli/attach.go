package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// runAttachment prints what a step left beside its log.
func (e *env) runAttachment() *cobra.Command {
	return &cobra.Command{
		Use: "attachment RUN [NAME]", Short: "List the attachments of a run, or print one", Args: cobra.RangeArgs(1, 2),
		Example: "  towpath run attachment 7\n  towpath run attachment 7 report",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			got, err := runDetail(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return e.print(got.Attachments, func() table { return attachmentTable(got.Attachments) })
			}
			for _, a := range got.Attachments {
				if a.Name != args[1] && a.ID != args[1] {
					continue
				}
				body, err := client.Raw(c.Context(), http.MethodGet, fmt.Sprintf("/runs/%d/attachments/%s", got.Number, url.PathEscape(a.ID)), "", nil)
				if err != nil {
					return err
				}
				defer body.Close()
				_, err = io.Copy(e.out, body)
				return err
			}
			return fault.New(fault.NotFound, "Run %d has no attachment %q.", got.Number, args[1]).WithNext("list them with `towpath run attachment %d`", got.Number)
		},
	}
}

func attachmentTable(list []pipeline.Attachment) table {
	t := table{head: []string{"name", "type", "job", "step", "size"}, none: "No step of this run left an attachment."}
	for _, a := range list {
		t.rows = append(t.rows, []string{a.Name, a.Type, a.Job, fmt.Sprint(a.Step), size(a.Bytes)})
	}
	return t
}

// extraRows are the rows of a run for what its steps added: tags, attachments, coverage.
func extraRows(r pipeline.Detail) [][]string {
	var rows [][]string
	if len(r.Tags) > 0 {
		rows = append(rows, []string{"tags", strings.Join(r.Tags, ", "), "", ""})
	}
	for _, c := range r.Coverage {
		rows = append(rows, []string{"coverage", fmt.Sprintf("%d of %d lines", c.LinesCovered, c.Lines), "", c.File})
	}
	for _, a := range r.Attachments {
		what := "attachment"
		switch {
		case a.Type == protocol.AttachmentSummary:
			what = "summary"
		case strings.HasPrefix(a.Type, protocol.AttachmentAssociated+"."):
			what = "elsewhere"
		}
		rows = append(rows, []string{what, a.Name, size(a.Bytes), a.Job})
	}
	return rows
}

// progress is how far a running step says that it is.
func progress(p pipeline.Step) string {
	switch {
	case p.Why != "":
		return p.Why
	case p.Progress == 0 && p.Operation == "":
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%d %% %s", p.Progress, p.Operation))
}
