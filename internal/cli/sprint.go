package cli

import (
	"fmt"
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

func (e *env) sprints() *cobra.Command {
	return noun("sprint", "Spans of days with a goal, a capacity and what is left", e.sprintList(), e.sprintShow(), e.sprintCreate(), e.sprintEdit(), e.sprintClose(), e.sprintPlan())
}

func (e *env) sprintPath(ref, rest string) (string, error) {
	return e.projectPath("/sprints/" + url.PathEscape(ref) + rest)
}

func sprintTable(list []work.Sprint) table {
	t := table{head: []string{"sprint", "state", "first", "last", "items", "points", "done", "room", "goal"}, wide: 1,
		none: "No sprints. Make one: towpath sprint create 'Sprint 1' --start 2026-11-23 --end 2026-12-04"}
	for _, p := range list {
		state := p.State
		if p.Current {
			state += ", @current"
		}
		t.rows = append(t.rows, []string{p.Name, state, p.Start.Format(time.DateOnly), p.End.Format(time.DateOnly), strconv.Itoa(p.Items), estimate(p.Points), estimate(p.Done), estimate(p.Room), orDash(p.Goal)})
	}
	return t
}

func (e *env) sprintList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List sprints", Args: cobra.NoArgs, Example: "  towpath sprint list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/sprints")
			if err != nil {
				return err
			}
			got, err := fetch[[]work.Sprint](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return sprintTable(got) })
		},
	})
}

func (e *env) sprintShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show [SPRINT]", Short: "Show a sprint with its burndown", Args: cobra.MaximumNArgs(1), Example: "  towpath sprint show --project shop\n  towpath sprint show 'Sprint 1'",
		RunE: func(c *cobra.Command, args []string) error {
			ref := "@current"
			if len(args) == 1 {
				ref = args[0]
			}
			path, err := e.sprintPath(ref, "")
			if err != nil {
				return err
			}
			got, err := fetch[api.SprintDetail](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{rows: [][]string{{"sprint", got.Name}, {"state", got.State}, {"goal", orDash(got.Goal)}, {"done", estimate(got.Done) + " of " + estimate(got.Points) + " points"}, {"room", estimate(got.Room)}}}
				for _, d := range got.Days {
					if d.Known {
						t.rows = append(t.rows, []string{d.Day, fmt.Sprintf("%s left of %s, ideal %s", zeroed(d.Remaining), zeroed(d.Scope), zeroed(d.Ideal)), strings.Repeat("█", int(min(d.Remaining, 60)))})
					}
				}
				return t
			})
		},
	})
}

func zeroed(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }

// sprintFields are the flags that create and edit share.
type sprintFields struct {
	start, end, goal string
	capacity         float64
	security         int
	people           []string
}

func (f *sprintFields) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.start, "start", "", "first day, 2026-11-23")
	c.Flags().StringVar(&f.end, "end", "", "last day")
	c.Flags().StringVar(&f.goal, "goal", "", "what it is for")
	c.Flags().Float64Var(&f.capacity, "capacity", 0, "points; 0 takes the sum over --person")
	c.Flags().IntVar(&f.security, "security", 0, "percent of the capacity that is for security (default 20)")
	c.Flags().StringArrayVar(&f.people, "person", nil, "USER=POINTS[,DAY OFF…], e.g. ada=8,2026-11-27; instead of those there are")
}

func (f *sprintFields) edit(c *cobra.Command) (work.SprintEdit, error) {
	var in work.SprintEdit
	for name, set := range map[string]func(){
		"start": func() { in.Start = &f.start }, "end": func() { in.End = &f.end }, "goal": func() { in.Goal = &f.goal },
		"capacity": func() { in.Capacity = &f.capacity }, "security": func() { in.Security = &f.security },
	} {
		if c.Flags().Changed(name) {
			set()
		}
	}
	if !c.Flags().Changed("person") {
		return in, nil
	}
	people := []work.Capacity{}
	for _, p := range f.people {
		user, rest, _ := strings.Cut(p, "=")
		parts := strings.Split(rest, ",")
		n, err := strconv.ParseFloat(parts[0], 64)
		if err != nil {
			return in, fault.New(fault.Invalid, "%q is no capacity.", printable(p)).WithNext("write it as ada=8 or ada=8,2026-11-27")
		}
		people = append(people, work.Capacity{User: user, Points: n, DaysOff: parts[1:]})
	}
	in.People = &people
	return in, nil
}

func (e *env) sendSprint(c *cobra.Command, method, path string, in any) error {
	got, err := send[work.Sprint](c.Context(), e, method, path, in)
	if err != nil {
		return err
	}
	return e.print(got, func() table { return sprintTable([]work.Sprint{got}) })
}

func (e *env) sprintCreate() *cobra.Command {
	var f sprintFields
	c := e.inProject(&cobra.Command{
		Use: "create NAME", Short: "Make a sprint", Args: cobra.ExactArgs(1),
		Example: "  towpath sprint create 'Sprint 1' --start 2026-11-23 --end 2026-12-04 --capacity 20 --project shop",
	})
	f.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := e.projectPath("/sprints")
		if err != nil {
			return err
		}
		in, err := f.edit(c)
		if err != nil {
			return err
		}
		in.Name = &args[0]
		return e.sendSprint(c, http.MethodPost, path, in)
	}
	return c
}

func (e *env) sprintEdit() *cobra.Command {
	var f sprintFields
	var name string
	var active bool
	c := e.inProject(&cobra.Command{
		Use: "edit SPRINT", Short: "Change a sprint, or start it", Args: cobra.ExactArgs(1),
		Example: "  towpath sprint edit 'Sprint 1' --active --goal 'Checkout works' --project shop",
	})
	f.flags(c)
	c.Flags().StringVar(&name, "name", "", "another name")
	c.Flags().BoolVar(&active, "active", false, "start it; --active=false plans it again")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := e.sprintPath(args[0], "")
		if err != nil {
			return err
		}
		in, err := f.edit(c)
		if err != nil {
			return err
		}
		if c.Flags().Changed("name") {
			in.Name = &name
		}
		if c.Flags().Changed("active") {
			in.Active = &active
		}
		return e.sendSprint(c, http.MethodPatch, path, in)
	}
	return c
}

func (e *env) sprintClose() *cobra.Command {
	var carry string
	c := e.inProject(&cobra.Command{
		Use: "close SPRINT", Short: "Close a sprint and carry over what is open", Args: cobra.ExactArgs(1), Example: "  towpath sprint close @current --carry @next --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.sprintPath(args[0], "/close")
			if err != nil {
				return err
			}
			return e.sendSprint(c, http.MethodPost, path, map[string]string{"carry": carry})
		},
	})
	c.Flags().StringVar(&carry, "carry", "", "sprint for what is open: a name or @next (default: the backlog)")
	return c
}

func (e *env) sprintPlan() *cobra.Command {
	var accept, postpone []string
	c := e.inProject(&cobra.Command{
		Use: "plan [SPRINT]", Short: "Show the insights that wait for a planning, or decide about them", Args: cobra.MaximumNArgs(1),
		Example: "  towpath sprint plan --project shop\n  towpath sprint plan @next --accept 12,13 --defer 14",
	})
	c.Flags().StringSliceVar(&accept, "accept", nil, "items that go into the sprint")
	c.Flags().StringSliceVar(&postpone, "defer", nil, "items that wait for another planning")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := e.projectPath("/plan")
		if err != nil {
			return err
		}
		ref := "@next"
		if len(args) == 1 {
			ref = args[0]
		}
		for decision, list := range map[string][]string{work.Accepted: accept, work.Deferred: postpone} {
			numbers, err := itemNumbers(list)
			if err != nil {
				return err
			}
			if len(numbers) == 0 {
				continue
			}
			if _, err := send[[]work.Item](c.Context(), e, http.MethodPost, path, api.Triaged{Items: numbers, Decision: decision, Sprint: ref}); err != nil {
				return err
			}
		}
		q := url.Values{}
		if len(args) == 1 {
			q.Set("sprint", ref)
		}
		got, err := fetch[work.Tray](c.Context(), e, path, q)
		if err != nil {
			return err
		}
		return e.print(got, func() table { return trayTable(got) })
	}
	return c
}

func trayTable(t work.Tray) table {
	name := "-"
	if t.Sprint != nil {
		name = t.Sprint.Name
	}
	out := table{rows: [][]string{
		{"sprint", name}, {"planned", zeroed(t.Planned) + " of " + zeroed(t.Room) + " points (velocity " + zeroed(t.Velocity) + ")"},
		{"security", zeroed(t.Spent) + " of " + zeroed(t.Budget) + " points"}, {"not estimated", strconv.Itoa(t.Unestimated)},
	}}
	for _, i := range t.Insights {
		out.rows = append(out.rows, []string{fmt.Sprintf("#%d", i.Number), i.Title, orDash(i.Severity), "score " + zeroed(i.Score), orDash(i.Suggested)})
	}
	return out
}
