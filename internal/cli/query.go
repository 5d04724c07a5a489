package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor"
)

// maxQueryText is the longest query that is read from a file.
const maxQueryText = 256 << 10

// scoped gives a command the flags --project and --all.
func (e *env) scoped(c *cobra.Command, all *bool) *cobra.Command {
	c.Flags().BoolVar(all, "all", false, "telemetry of every project and of the platform (administrators)")
	return e.inProject(c)
}

// scope is the query part of an address that says whose telemetry is meant.
func (e *env) scope(all bool) (url.Values, error) {
	if all {
		return url.Values{"all": {"true"}}, nil
	}
	if _, err := e.projectPath(""); err != nil {
		return nil, err
	}
	return url.Values{"project": {e.project}}, nil
}

func (e *env) query() *cobra.Command {
	var all, explain, views bool
	var since time.Duration
	var limit int
	var file, promql string
	c := &cobra.Command{
		Use: "query [KQL]", Short: "Ask what runs: logs, requests, metrics, events", Args: cobra.MaximumNArgs(1),
		Long: "Answers a query of the Kusto query language (KQL), or with --promql one of PromQL. The text may come from a file or from\n" +
			"standard input (-). Tables: " + strings.Join(monitor.TableNames(), ", ") + ".",
		Example: `  towpath query --project shop 'ContainerLogV2 | where PodNamespace == "shop" | summarize count() by bin(TimeGenerated, 1m), LogLevel'
  towpath query --project shop --since 1h 'AppRequests | summarize p95 = percentile(DurationMs, 95), failed = countif(Success == false) by Name'
  towpath query --project shop --promql 'sum by (pod) (rate(container_cpu_usage_seconds_total[5m]))'
  towpath query --project shop --file errors.kql -o csv > errors.csv`,
	}
	c.Flags().DurationVar(&since, "since", 0, "only rows of the last, e.g. 30m")
	c.Flags().IntVar(&limit, "limit", 0, "at most so many rows (default 10000)")
	c.Flags().StringVarP(&file, "file", "f", "", "read the text from a file")
	c.Flags().StringVar(&promql, "promql", "", "ask the metrics in PromQL; with --since the values of the whole time")
	c.Flags().BoolVar(&explain, "explain", false, "say on standard error how it was answered")
	c.Flags().BoolVar(&views, "views", false, "list the saved queries")
	c.RunE = func(c *cobra.Command, args []string) error {
		if views {
			return e.views(c)
		}
		scope, err := e.scope(all)
		if err != nil {
			return err
		}
		if promql != "" {
			return e.promql(c, scope, promql, since)
		}
		text, err := queryText(c.InOrStdin(), file, args)
		if err != nil {
			return err
		}
		q := api.QueryText{Query: text, MaxRows: limit}
		if since > 0 {
			q.From = time.Now().Add(-since)
		}
		got, err := send[*monitor.Answer](c.Context(), e, http.MethodPost, "/monitor/query?"+scope.Encode(), q)
		if err != nil {
			return err
		}
		if got.Truncated {
			fmt.Fprintf(e.err, "there are more rows than these %d: narrow the query, or ask for more with --limit\n", len(got.Rows))
		}
		if explain {
			s := got.Stats
			fmt.Fprintf(e.err, "%d of %d segments read, %d rows scanned, %.1f ms (%.1f ms compiling, %.1f ms after the engine)\n%s\n",
				s.Read, s.Segments, s.Rows, s.Milliseconds, s.Compile, s.Tail, s.Pushed)
		}
		if e.output == "csv" {
			return writeCSV(e.out, got)
		}
		return e.print(got, func() table { return answerTable(got) })
	}
	return e.scoped(c, &all)
}

func queryText(in io.Reader, file string, args []string) (string, error) {
	switch {
	case file != "" && len(args) > 0:
		return "", fault.New(fault.Invalid, "The query is given twice, as an argument and as a file.").WithNext("leave one out")
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", fault.Wrap(fault.Invalid, err, "The file %s cannot be read.", file)
		}
		defer f.Close()
		in = f
	case len(args) == 0:
		return "", fault.New(fault.Invalid, "No query is given.").WithNext("try: towpath query 'ContainerLogV2 | take 10'")
	case args[0] != "-":
		return args[0], nil
	}
	b, err := io.ReadAll(io.LimitReader(in, maxQueryText+1))
	if err != nil {
		return "", fmt.Errorf("reading the query: %w", err)
	}
	if len(b) > maxQueryText {
		return "", fault.New(fault.TooLarge, "The query is longer than %d KiB.", maxQueryText>>10)
	}
	return string(b), nil
}

// answerTable shows an answer: times in this machine's zone, numbers short.
func answerTable(a *monitor.Answer) table {
	t := table{asIs: true, none: "No rows. Look further back with --since 24h, or see what there is: towpath query 'union withsource=Table * | summarize count() by Table'"}
	for _, c := range a.Columns {
		t.head = append(t.head, c.Name)
	}
	for _, r := range a.Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = cellText(a.Columns[i].Type, v)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// maxCell is how many characters of a cell a table shows.
const maxCell = 120

func cellText(kind string, v any) string {
	var s string
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		s = v
		if when, err := time.Parse(time.RFC3339Nano, v); err == nil && kind == "datetime" {
			s = when.Local().Format("2006-01-02 15:04:05.000")
		}
	case float64:
		s = strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
		if kind == "long" || kind == "int" {
			s = fmt.Sprintf("%.0f", v)
		}
	case bool:
		return fmt.Sprint(v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return "?"
		}
		s = string(b)
	}
	s = printable(s) // What a service wrote must not steer the terminal.
	if r := []rune(s); len(r) > maxCell {
		return string(r[:maxCell-1]) + "…"
	}
	if s == "" {
		return "-"
	}
	return s
}

func writeCSV(out io.Writer, a *monitor.Answer) error {
	w := csv.NewWriter(out)
	row := make([]string, len(a.Columns))
	for i, c := range a.Columns {
		row[i] = noFormula(c.Name)
	}
	if err := w.Write(row); err != nil {
		return err
	}
	for _, r := range a.Rows {
		for i, v := range r {
			switch v := v.(type) {
			case nil:
				row[i] = ""
			case string:
				row[i] = noFormula(v)
			default:
				b, err := json.Marshal(v)
				if err != nil {
					return err
				}
				row[i] = string(b)
			}
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// noFormula puts an apostrophe before a text that a spreadsheet would compute: what a service
// wrote must not run on the desk of who looks at it (OWASP, "CSV Injection"). Numbers are
// no texts and stay as they are.
func noFormula(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (e *env) views(c *cobra.Command) error {
	path, err := e.projectPath("/views")
	if err != nil {
		return err
	}
	got, err := fetch[[]monitor.View](c.Context(), e, path, nil)
	if err != nil {
		return err
	}
	return e.print(got, func() table {
		t := table{head: []string{"name", "owner", "shared", "query"}, none: "No saved queries yet. The log explorer keeps one with \"Save view\"."}
		for _, v := range got {
			t.rows = append(t.rows, []string{v.Name, v.Owner, fmt.Sprint(v.Shared), cellText("string", v.Query)})
		}
		return t
	})
}

// spans prints a trace.
func (e *env) spans() *cobra.Command {
	var all bool
	return e.scoped(&cobra.Command{
		Use: "spans TRACE", Short: "Print the spans of one trace", Args: cobra.ExactArgs(1),
		Example: "  towpath spans 4bf92f3577b34da6a3ce929d0e0e4736 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			scope, err := e.scope(all)
			if err != nil {
				return err
			}
			got, err := fetch[*monitor.Trace](c.Context(), e, "/monitor/traces/"+url.PathEscape(strings.ToLower(args[0])), scope)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"span", "service", "type", "at ms", "took ms", "code", "release"}}
				for i := range got.SpanID {
					name := strings.Repeat("  ", got.Depth[i]) + got.Names[got.Name[i]]
					code := got.Code[i]
					if got.Failed[i] {
						code = strings.TrimSpace(code + " failed")
					}
					t.rows = append(t.rows, []string{
						cellText("string", name), got.Roles[got.Role[i]], got.Types[got.Type[i]], fmt.Sprintf("%.1f", got.Offset[i]), fmt.Sprintf("%.1f", got.Took[i]),
						orDash(code), orDash(got.Releases[got.Release[i]]),
					})
				}
				return t
			})
		},
	}, &all)
}
