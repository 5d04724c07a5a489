package cli

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/work"
)

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
