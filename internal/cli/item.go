package cli

import (
	"fmt"
	"io"
	"net/http"
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
		return 0, fault.New(fault.Invalid, "%q is no number of an item.", printable(s)).WithNext("list them with `towpath item ls`")
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
		Use: "ls", Aliases: []string{"list"}, Short: "List items in the order of the backlog", Args: cobra.NoArgs,
		Example: "  towpath item ls --project shop\n  towpath item ls --project shop --sprint @current --assignee ada\n  towpath item ls --state open --type bug --text cart",
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
		"text": "words of the title", "after": "the page after this one",
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

// itemFields are the flags that create and edit share.
type itemFields struct {
	kind, body, state, assignee, severity, sprint string
	points                                        float64
	priority                                      int
	labels                                        []string
	parent                                        int64
}

func (f *itemFields) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.kind, "type", "", "bug, task, story or security")
	c.Flags().StringVar(&f.body, "body", "", "description in Markdown; - reads standard input")
	c.Flags().StringVar(&f.state, "state", "", "a state of the project, or a category")
	c.Flags().StringVar(&f.assignee, "assignee", "", "user")
	c.Flags().StringVar(&f.severity, "severity", "", "critical, high, medium or low")
	c.Flags().StringVar(&f.sprint, "sprint", "", "name, @current, @next, or none")
	c.Flags().Float64Var(&f.points, "points", 0, "estimate")
	c.Flags().IntVar(&f.priority, "priority", 0, "1 (first) to 4")
	c.Flags().StringSliceVar(&f.labels, "label", nil, "labels, instead of those there are")
	c.Flags().Int64Var(&f.parent, "parent", 0, "number of the item above")
}

// text reads "-" from standard input.
func (e *env) text(s string) (string, error) {
	if s != "-" {
		return s, nil
	}
	b, err := io.ReadAll(io.LimitReader(e.in, 1<<20))
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "Standard input cannot be read.")
	}
	return string(b), nil
}

func (e *env) itemCreate() *cobra.Command {
	var f itemFields
	var top bool
	c := e.inProject(&cobra.Command{
		Use: "create TITLE", Short: "Make an item at the end of the backlog", Args: cobra.ExactArgs(1),
		Example: "  towpath item create 'The cart loses items' --type bug --severity high --sprint @current --project shop",
	})
	f.flags(c)
	c.Flags().BoolVar(&top, "top", false, "at the top of the backlog")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := e.projectPath("/items")
		if err != nil {
			return err
		}
		body, err := e.text(f.body)
		if err != nil {
			return err
		}
		if f.sprint == "none" {
			f.sprint = ""
		}
		got, err := send[work.Item](c.Context(), e, http.MethodPost, path, work.NewItem{
			Type: f.kind, Title: args[0], Body: body, State: f.state, Assignee: f.assignee, Points: f.points, Priority: f.priority, Severity: f.severity,
			Labels: f.labels, Parent: f.parent, Sprint: f.sprint, Top: top,
		})
		if err != nil {
			return err
		}
		return e.print(got, func() table { return itemTable([]work.Item{got}, "") })
	}
	return c
}

func (e *env) itemEdit() *cobra.Command {
	var f itemFields
	var title, why string
	c := &cobra.Command{
		Use: "edit ITEM", Short: "Change an item; flags that are left out leave it as it is", Args: cobra.ExactArgs(1),
		Example: "  towpath item edit 12 --state Active --assignee ada --points 3\n  towpath item edit 12 --sprint none",
	}
	f.flags(c)
	c.Flags().StringVar(&title, "title", "", "title")
	c.Flags().StringVar(&why, "why", "", "reason, for the history")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := itemPath(args[0], "")
		if err != nil {
			return err
		}
		in := work.Edit{Why: why}
		if f.body, err = e.text(f.body); err != nil {
			return err
		}
		any := false
		for name, set := range map[string]func(){
			"title": func() { in.Title = &title }, "type": func() { in.Type = &f.kind }, "body": func() { in.Body = &f.body }, "state": func() { in.State = &f.state },
			"assignee": func() { in.Assignee = &f.assignee }, "severity": func() { in.Severity = &f.severity }, "sprint": func() { in.Sprint = &f.sprint },
			"points": func() { in.Points = &f.points }, "priority": func() { in.Priority = &f.priority }, "label": func() { in.Labels = &f.labels },
			"parent": func() { in.Parent = &f.parent },
		} {
			if c.Flags().Changed(name) {
				set()
				any = true
			}
		}
		if !any {
			return fault.New(fault.Invalid, "Nothing is to be changed.").WithNext("add a flag; see `towpath item edit --help`")
		}
		return e.sendItem(c, http.MethodPatch, path, in)
	}
	return c
}

// sendItem changes an item and prints it.
func (e *env) sendItem(c *cobra.Command, method, path string, in any) error {
	got, err := send[work.Item](c.Context(), e, method, path, in)
	if err != nil {
		return err
	}
	return e.print(got, func() table { return itemTable([]work.Item{got}, "") })
}

func (e *env) itemComment() *cobra.Command {
	return &cobra.Command{
		Use: "comment ITEM TEXT", Short: "Say something about an item; - reads standard input", Args: cobra.ExactArgs(2),
		Example: "  towpath item comment 12 'It happens on phones only.'",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := itemPath(args[0], "/comments")
			if err != nil {
				return err
			}
			text, err := e.text(args[1])
			if err != nil {
				return err
			}
			got, err := send[work.Comment](c.Context(), e, http.MethodPost, path, api.Remark{Text: text})
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{got.ID, got.Author, got.Body}}} })
		},
	}
}

func (e *env) itemClose() *cobra.Command {
	var why, wontFix, until string
	c := &cobra.Command{
		Use: "close ITEM", Short: "Close an item, or silence its signal until a day", Args: cobra.ExactArgs(1),
		Example: "  towpath item close 12 --why 'done by hand'\n  towpath item close 12 --wont-fix 'the service goes away' --until 2027-01-31",
		RunE: func(c *cobra.Command, args []string) error {
			if wontFix == "" && until == "" {
				path, err := itemPath(args[0], "")
				if err != nil {
					return err
				}
				state := work.Completed
				return e.sendItem(c, http.MethodPatch, path, work.Edit{State: &state, Why: why})
			}
			path, err := itemPath(args[0], "/wont-fix")
			if err != nil {
				return err
			}
			day, err := time.Parse(time.DateOnly, until)
			if err != nil || wontFix == "" {
				return fault.New(fault.Invalid, "What is not to be fixed needs a reason and a last day.").WithNext("add --wont-fix 'WHY' --until 2027-01-31")
			}
			return e.sendItem(c, http.MethodPost, path, api.Silenced{Why: wontFix, Until: day})
		},
	}
	c.Flags().StringVar(&why, "why", "", "reason, for the history")
	c.Flags().StringVar(&wontFix, "wont-fix", "", "why it will not be fixed")
	c.Flags().StringVar(&until, "until", "", "date until which that stands")
	return c
}

func (e *env) itemLink() *cobra.Command {
	var rel, title string
	var remove bool
	c := &cobra.Command{
		Use: "link ITEM TARGET", Short: "Link an item to a subject or an address", Args: cobra.ExactArgs(2),
		Example: "  towpath item link 12 pull:shop/web/7\n  towpath item link 12 https://example.com/report --title Report\n  towpath item link 12 item:9 --remove",
		RunE: func(c *cobra.Command, args []string) error {
			l := work.Link{Rel: rel, Title: title}
			if strings.HasPrefix(args[1], "/") || strings.Contains(args[1], "://") {
				l.URL = args[1]
			} else {
				l.Subject = args[1]
			}
			rest := "/links"
			if remove {
				rest += "/remove"
			}
			path, err := itemPath(args[0], rest)
			if err != nil {
				return err
			}
			return e.sendItem(c, http.MethodPost, path, l)
		},
	}
	c.Flags().StringVar(&rel, "rel", "", "relates, concerns, suspects, fixed-by or mentioned (default relates)")
	c.Flags().StringVar(&title, "title", "", "words for the link")
	c.Flags().BoolVar(&remove, "remove", false, "remove the link")
	return c
}

func (e *env) itemMove() *cobra.Command {
	var in work.Move
	var sprint, state string
	c := e.inProject(&cobra.Command{
		Use: "move ITEM…", Short: "Place items in the backlog, into a sprint or a state, all or none", Args: cobra.MinimumNArgs(1),
		Example: "  towpath item move 12 --top --project shop\n  towpath item move 12 13 --after 9 --sprint @next\n  towpath item move 12 13 --state Resolved",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/items/move")
			if err != nil {
				return err
			}
			if in.Items, err = itemNumbers(args); err != nil {
				return err
			}
			if c.Flags().Changed("sprint") {
				in.Sprint = &sprint
			}
			if c.Flags().Changed("state") {
				in.State = &state
			}
			got, err := send[[]work.Item](c.Context(), e, http.MethodPost, path, in)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return itemTable(got, "") })
		},
	})
	c.Flags().Int64Var(&in.Before, "before", 0, "above this item")
	c.Flags().Int64Var(&in.After, "after", 0, "below this item")
	c.Flags().BoolVar(&in.Top, "top", false, "to the top of the backlog")
	c.Flags().BoolVar(&in.Bottom, "bottom", false, "to its end")
	c.Flags().StringVar(&sprint, "sprint", "", "name, @current, @next, or none")
	c.Flags().StringVar(&state, "state", "", "a state of the project, or a category")
	return c
}

func (e *env) board() *cobra.Command {
	var sprint, lane string
	c := e.inProject(&cobra.Command{
		Use: "board", Short: "Show items by state", Args: cobra.NoArgs, Example: "  towpath item board --project shop --sprint @current",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/board")
			if err != nil {
				return err
			}
			got, err := fetch[work.Board](c.Context(), e, path, url.Values{"sprint": {sprint}, "lane": {lane}})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"state", "items", "points", "item", "title", "assignee"}}
				for _, k := range got.Columns {
					t.rows = append(t.rows, []string{k.Name, strconv.Itoa(k.Count), estimate(k.Points), "", "", ""})
					for _, i := range k.Items {
						t.rows = append(t.rows, []string{"", "", "", fmt.Sprintf("#%d", i.Number), i.Title, orDash(i.Assignee)})
					}
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&sprint, "sprint", "", "name, @current, all or none (default @current where there is one)")
	c.Flags().StringVar(&lane, "lane", "", "cut by assignee, type or parent")
	return c
}

func (e *env) itemStates() *cobra.Command {
	var file string
	c := e.inProject(&cobra.Command{
		Use: "states", Short: "Show the states of a project's items, or replace them from a file", Args: cobra.NoArgs,
		Example: "  towpath item states --project shop\n  towpath item states --file states.yaml --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/states")
			if err != nil {
				return err
			}
			var got []work.State
			if file == "" {
				got, err = fetch[[]work.State](c.Context(), e, path, nil)
			} else {
				in := []work.State{}
				if err := e.document(c, file, &in); err != nil {
					return err
				}
				got, err = send[[]work.State](c.Context(), e, http.MethodPut, path, in)
			}
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"state", "category"}}
				for _, s := range got {
					t.rows = append(t.rows, []string{s.Name, s.Category})
				}
				return t
			})
		},
	})
	c.Flags().StringVar(&file, "file", "", "YAML or JSON list of name and category; an empty list puts the default back")
	return c
}
