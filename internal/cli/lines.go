package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/monitor"
)

func (e *env) lines() *cobra.Command {
	var all, follow bool
	var since time.Duration
	var limit int
	var f monitor.Lines
	c := e.scoped(&cobra.Command{
		Use: "logs [POD]", Short: "Show what containers write; -f goes on with what comes", Args: cobra.MaximumNArgs(1),
		Long:    "POD is the beginning of the names of pods: `cart` shows every pod of that workload. Nothing is asked of the cluster's API server.",
		Example: "  towpath logs --project shop\n  towpath logs cart -f --project shop --environment production\n  towpath logs --project shop --level ERROR,WARNING --since 1h",
	}, &all)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	c.Flags().DurationVar(&since, "since", time.Hour, "how far back to look")
	c.Flags().IntVar(&limit, "tail", 200, "at most so many lines of what there is")
	c.Flags().StringVar(&f.Environment, "environment", "", "only of this environment")
	c.Flags().StringVarP(&f.Namespace, "namespace", "n", "", "only of this namespace")
	c.Flags().StringVarP(&f.Container, "container", "c", "", "only of containers of this name")
	c.Flags().StringSliceVar(&f.Levels, "level", nil, "only of these levels: ERROR, WARNING, …")
	c.Flags().StringVar(&f.Contains, "contains", "", "only lines with this text")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			f.Pod = args[0]
		}
		q, err := e.scope(all)
		if err != nil {
			return err
		}
		for name, v := range map[string]string{"environment": f.Environment, "namespace": f.Namespace, "pod": f.Pod, "container": f.Container, "contains": f.Contains, "level": strings.Join(f.Levels, ",")} {
			if v != "" {
				q.Set(name, v)
			}
		}
		if follow {
			return e.followLines(c, q, since, limit)
		}
		got, err := e.recentLines(c, q, since, limit)
		if err != nil {
			return err
		}
		if e.output != "table" && e.output != "wide" {
			return e.print(got, nil)
		}
		if len(got) == 0 {
			fmt.Fprintln(e.err, "No lines. Look further back with --since, or follow with -f")
		}
		return e.printLines(got)
	}
	return c
}

func (e *env) recentLines(c *cobra.Command, q url.Values, since time.Duration, limit int) ([]monitor.Line, error) {
	q.Set("since", strconv.Itoa(int(since.Seconds())))
	q.Set("limit", strconv.Itoa(limit))
	return fetch[[]monitor.Line](c.Context(), e, "/monitor/lines", q)
}

// followLines shows what there is, then what comes. The stream is open before what there is
// is asked for, so that nothing is missed between the two; what comes by both is shown once.
func (e *env) followLines(c *cobra.Command, q url.Values, since time.Duration, limit int) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	shown := map[string]bool{}
	return cl.Stream(c.Context(), "/monitor/live?"+q.Encode(), func(v client.Event) error {
		switch v.Type {
		case "open":
			before, err := e.recentLines(c, q, since, limit)
			if err != nil {
				return err
			}
			clear(shown)
			for _, l := range before {
				shown[lineKey(l)] = true
			}
			return e.printLines(before)
		case "dropped":
			_, err := fmt.Fprintf(e.err, "%s lines came faster than they could be shown\n", v.Data)
			return err
		}
		var lines []monitor.Line
		if err := json.Unmarshal(v.Data, &lines); err != nil {
			return fmt.Errorf("reading the stream: %w", err)
		}
		return e.printLines(slices.DeleteFunc(lines, func(l monitor.Line) bool { return shown[lineKey(l)] }))
	})
}

// lineKey tells lines apart.
func lineKey(l monitor.Line) string {
	return l.Time.String() + " " + l.Pod + " " + l.Container + " " + l.Text
}

func (e *env) printLines(lines []monitor.Line) error {
	for _, l := range lines {
		if e.output == "json" {
			if err := json.NewEncoder(e.out).Encode(l); err != nil {
				return err
			}
			continue
		}
		cells := clean([]string{l.Time.Local().Format("15:04:05.000"), l.Pod, l.Level, l.Text})
		if _, err := fmt.Fprintf(e.out, "%s  %s  %-8s %s\n", cells[0], cells[1], cells[2], cells[3]); err != nil {
			return err
		}
	}
	return nil
}
