package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/work"
)

func (e *env) items() *cobra.Command {
	return noun("item", "What is to be done: bugs, tasks, stories, security",
		e.itemList(), e.itemShow(), e.itemCreate(), e.itemEdit(), e.itemComment(), e.itemClose(), e.itemLink(), e.itemMove(), e.board(), e.itemStates())
}

// itemNumber reads "12", "#12", "AB#12" and "item/12".
func itemNumber(s string) (int64, error) {
	bare := s
	for _, p := range []string{"AB", "ab", "#", "item/", "item:"} {
		bare = strings.TrimPrefix(bare, p)
	}
	n, err := strconv.ParseInt(bare, 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Invalid, "%q is no number of an item.", printable(s)).WithNext("list them with `towpath item list`")
	}
	return n, nil
}

func itemNumbers(args []string) ([]int64, error) {
	out := make([]int64, 0, len(args))
	for _, a := range args {
		n, err := itemNumber(a)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func itemPath(arg, rest string) (string, error) {
	n, err := itemNumber(arg)
	return "/items/" + strconv.FormatInt(n, 10) + rest, err
}

// itemTable lists items.
func itemTable(list []work.Item, none string) table {
	t := table{head: []string{"item", "type", "state", "title", "points", "assignee", "sprint", "severity", "labels"}, wide: 2, none: none}
	for _, i := range list {
		t.rows = append(t.rows, []string{fmt.Sprintf("#%d", i.Number), i.Type, i.State, i.Title, estimate(i.Points), orDash(i.Assignee), orDash(i.Sprint),
			orDash(i.Severity), orDash(strings.Join(i.Labels, ", "))})
	}
	return t
}

func estimate(p float64) string {
	if p == 0 {
		return "-"
	}
	return strconv.FormatFloat(p, 'f', -1, 64)
}

func (e *env) itemList() *cobra.Command {
	f := map[string]*string{}
	var limit int
	c := e.inProject(&cobra.Command{
		Use: "list", Short: "List items in the order of the backlog", Args: cobra.NoArgs,
		Example: "  towpath item list --project shop\n  towpath item list --project shop --sprint @current --assignee ada\n  towpath item list --state open --type bug --text cart",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/items")
			if err != nil {
				return err
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, v := range f {
				if *v != "" {
					q.Set(name, *v)
				}
			}
			got, err := fetch[work.Backlog](c.Context(), e, path, q)
			if err != nil {
				return err
			}
			if got.Next != "" {
				defer fmt.Fprintf(e.err, "There are more: add --after %s\n", got.Next)
			}
			return e.print(got, func() table {
				return itemTable(got.Items, "No items. Make one: towpath item create 'What is to be done'")
			})
		},
	})
	for name, text := range map[string]string{
		"state": "a state, a category, open or closed", "type": "bug, task, story or security", "assignee": "user, or none", "label": "with this label",
		"severity": "critical, high, medium or low", "sprint": "name, @current, @next or none", "source": "of the signal that made it, or any",
		"text": "words of the title", "link": "subject that they link to, such as release:shop/production/48; of commit:<hash> also what links to what became of it", "after": "the page after this one",
	} {
		f[name] = c.Flags().String(name, "", text)
	}
	c.Flags().IntVar(&limit, "limit", 50, "at most so many")
	return c
}

func (e *env) itemShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ITEM", Short: "Show an item with its links, comments and history", Args: cobra.ExactArgs(1), Example: "  towpath item show 12\n  towpath item show '#12' -o json",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := itemPath(args[0], "")
			if err != nil {
				return err
			}
			got, err := fetch[api.ItemDetail](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return detailTable(got) })
		},
	}
}

func detailTable(d api.ItemDetail) table {
	t := table{rows: [][]string{
		{"item", fmt.Sprintf("#%d %s", d.Number, d.Title)}, {"type", d.Type}, {"state", d.State + " (" + d.Category + ")"}, {"url", d.URL},
	}}
	add := func(name, value string) {
		if value != "" {
			t.rows = append(t.rows, []string{name, value})
		}
	}
	add("assignee", d.Assignee)
	add("sprint", d.Sprint)
	add("severity", d.Severity)
	if d.Points > 0 {
		add("points", estimate(d.Points))
	}
	add("labels", strings.Join(d.Labels, ", "))
	if d.Above != nil {
		add("parent", fmt.Sprintf("#%d %s", d.Above.Number, d.Above.Title))
	}
	if n := d.Insight; n != nil {
		add("signal", fmt.Sprintf("%s, seen %d times, last %s", n.Source, n.Count, ago(n.LastSeen)))
		if n.WontFix != "" {
			add("won't fix", n.WontFix+" (until "+n.Until.Format(time.DateOnly)+")")
		}
	}
	for line := range strings.Lines(d.Body) {
		add("", strings.TrimRight(line, "\n"))
	}
	for _, k := range d.Children {
		add("child", fmt.Sprintf("#%d %s (%s)", k.Number, k.Title, k.State))
	}
	for _, l := range d.Links {
		add(l.Rel, strings.TrimSpace(l.Subject+" "+l.URL+" "+l.Title))
	}
	for _, c := range d.Comments {
		add("comment", c.Author+", "+ago(c.Made)+": "+c.Body)
	}
	for _, h := range d.History {
		add(h.Time.Local().Format(time.DateTime), strings.TrimSpace(h.Actor+" "+h.Field+" "+arrow(h)+" "+h.Reason))
	}
	return t
}

func arrow(h work.Change) string {
	if h.From == "" && h.To == "" {
		return ""
	}
	return orDash(h.From) + " → " + orDash(h.To)
}
