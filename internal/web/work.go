package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/web/page"
	"towpath.dev/towpath/internal/work"
)

// workRoutes are the addresses of the room Board.
func (h *handler) workRoutes() {
	h.page("GET /projects/{project}/board", h.board)
	h.page("GET /projects/{project}/backlog", h.backlog)
	h.page("GET /projects/{project}/items/new", h.newItem)
	h.page("GET /projects/{project}/items/{item}", h.item)
	h.form("POST /projects/{project}/items", h.createItem)
	h.form("POST /projects/{project}/items/move", h.moveItems)
	h.form("POST /projects/{project}/items/{item}/edit", h.editItem)
	h.form("POST /projects/{project}/items/{item}/comments", h.commentItem)
	h.form("POST /projects/{project}/items/{item}/wont-fix", h.wontFixItem)
}

// workShell is the shell of a page of the room Board.
func (h *handler) workShell(w http.ResponseWriter, r request, title string, crumbs ...page.Crumb) (page.Shell, error) {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return page.Shell{}, err
	}
	all := append([]page.Crumb{{Text: "board", Href: page.Shell{Project: r.project()}.At("/board")}}, crumbs...)
	return h.live(w, r, "board", title, all...)
}

// board shows items by state.
func (h *handler) board(w http.ResponseWriter, r request) error {
	s, err := h.workShell(w, r, "Board")
	if err != nil {
		return err
	}
	s.Scripts = []string{"work.js"}
	v := page.BoardView{Query: r.query("q"), Lanes: r.query("lanes"), Sprint: r.query("sprint"), MayWrite: h.holds(r, identity.Write)}
	if v.Board, err = h.Work.Board(r.Context(), r.actor, r.project(), v.Sprint, v.Lanes); err != nil {
		return err
	}
	narrow(&v.Board, v.Query)
	if v.Sprints, err = h.Work.Sprints(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	pill := func(text, sprint, lanes string, on bool) {
		v.Filters = append(v.Filters, page.Filter{
			Text: text, Key: sprint, Count: -1, On: on, Href: s.At("/board" + page.Query("sprint", sprint, "lanes", lanes, "q", v.Query)),
		})
	}
	inOrder := slices.SortedStableFunc(slices.Values(v.Sprints), func(a, b work.Sprint) int { return a.Start.Compare(b.Start) })
	for _, sp := range inOrder {
		if sp.State != work.SprintClosed {
			pill(sp.Name, sp.Name, v.Lanes, v.Board.Sprint != nil && v.Board.Sprint.ID == sp.ID)
		}
	}
	if len(v.Filters) > 0 {
		pill("In no sprint", "none", v.Lanes, v.Sprint == "none")
	}
	pill("By assignee", v.Sprint, toggled(v.Lanes, work.LaneAssignee), v.Lanes == work.LaneAssignee)
	pill("By type", v.Sprint, toggled(v.Lanes, work.LaneType), v.Lanes == work.LaneType)
	return h.render(w, r, page.BoardPage(s, v))
}

// narrow keeps the items of a board whose title or number fits.
func narrow(b *work.Board, text string) {
	words := strings.ToLower(text)
	if words == "" {
		return
	}
	for i := range b.Columns {
		c := &b.Columns[i]
		c.Items = slices.DeleteFunc(c.Items, func(x work.Item) bool {
			return !matches(words, x.Title, "#"+strconv.FormatInt(x.Number, 10), x.Assignee, strings.Join(x.Labels, " "))
		})
		c.Count = len(c.Items)
	}
}

// toggled is a choice, or nothing when it is chosen already.
func toggled(now, choice string) string {
	if now == choice {
		return ""
	}
	return choice
}

// backlogFilters are the pills above the backlog.
var backlogFilters = []struct {
	key, text string
	narrow    func(f *work.Filter, me string)
}{
	{"", "Open", func(f *work.Filter, _ string) { f.State = "open" }},
	{"mine", "Mine", func(f *work.Filter, me string) { f.State, f.Assignee = "open", me }},
	{"insights", "Insights", func(f *work.Filter, _ string) { f.State, f.Source = "open", "any" }},
	{"unplanned", "Unplanned", func(f *work.Filter, _ string) { f.State, f.Sprint = "open", "none" }},
	{"closed", "Closed", func(f *work.Filter, _ string) { f.State = "closed" }},
	{"all", "All", func(*work.Filter, string) {}},
}

// itemsPerPage is how many items a page of the backlog lists.
const itemsPerPage = 100

func (h *handler) backlog(w http.ResponseWriter, r request) error {
	s, err := h.workShell(w, r, "Backlog", page.Crumb{Text: "backlog"})
	if err != nil {
		return err
	}
	s.Scripts = []string{"work.js"}
	v := page.BacklogView{Query: r.query("q"), Link: r.query("link"), MayWrite: h.holds(r, identity.Write)}
	f := work.Filter{Text: v.Query, Link: v.Link, After: r.query("after"), Limit: itemsPerPage}
	show, known := r.query("show"), false
	for _, p := range backlogFilters {
		on := p.key == show
		if on {
			p.narrow(&f, r.actor.Name)
			known = true
		}
		v.Filters = append(v.Filters, page.Filter{Key: p.key, Text: p.text, Count: -1, On: on, Href: s.At("/backlog" + page.Query("show", p.key, "q", v.Query, "link", v.Link))})
	}
	if !known {
		f.State = show // The board leads here with the name of a state.
	}
	if v.Backlog, err = h.Work.Backlog(r.Context(), r.actor, r.project(), f); err != nil {
		return err
	}
	if v.Backlog.Next != "" {
		v.More = s.At("/backlog" + page.Query("show", show, "q", v.Query, "link", v.Link, "after", v.Backlog.Next))
	}
	return h.render(w, r, page.BacklogPage(s, v))
}

// number is the item of the address.
func (r request) number() (int64, error) {
	n, err := strconv.ParseInt(r.PathValue("item"), 10, 64)
	if err != nil || n <= 0 {
		return 0, fault.New(fault.NotFound, "There is no item %.40q.", r.PathValue("item")).WithNext("find it on the backlog page")
	}
	return n, nil
}

// itemOf reads the item of the address; one of another project is not there.
func (h *handler) itemOf(r request) (work.Detail, error) {
	n, err := r.number()
	if err != nil {
		return work.Detail{}, err
	}
	d, err := h.Work.Get(r.Context(), r.actor, n)
	if err == nil && d.Project != r.project() {
		err = fault.New(fault.NotFound, "There is no item %d in project %s.", n, r.project()).WithNext("find it on the backlog page")
	}
	return d, err
}

func (h *handler) item(w http.ResponseWriter, r request) error {
	d, err := h.itemOf(r)
	if err != nil {
		return err
	}
	s, err := h.workShell(w, r, "#"+strconv.FormatInt(d.Number, 10)+" "+d.Title, page.Crumb{Text: "#" + strconv.FormatInt(d.Number, 10)})
	if err != nil {
		return err
	}
	v := page.ItemView{Detail: d, MayWrite: h.holds(r, identity.Write), Me: r.actor.Name}
	if v.Sprints, err = h.Work.Sprints(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	if d.Insight != nil {
		c, err := h.Signals.Cause(r.Context(), r.actor, r.project(), d.Number)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err == nil {
			v.Cause = &c
		}
	}
	return h.render(w, r, page.ItemPage(s, v))
}

func (h *handler) newItem(w http.ResponseWriter, r request) error {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Write); err != nil {
		return err
	}
	s := h.room(w, r, "board", "New item", page.Crumb{Text: "board", Href: "/projects/" + r.project() + "/board"}, page.Crumb{Text: "new"})
	sprints, err := h.Work.Sprints(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	return h.render(w, r, page.NewItemPage(s, sprints))
}

// points reads points as people write them; "" is not estimated.
func points(text string) (float64, error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	p, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", "."), 64)
	if err != nil {
		return 0, fault.New(fault.Invalid, "%.40q are no points.", text).WithNext("write a number such as 3 or 0.5, or leave it empty")
	}
	return p, nil
}

func (h *handler) createItem(w http.ResponseWriter, r request) error {
	p, err := points(r.PostForm.Get("points"))
	if err != nil {
		return err
	}
	i, err := h.Work.Create(r.Context(), r.actor, r.project(), work.NewItem{
		Type: r.PostForm.Get("type"), Title: strings.TrimSpace(r.PostForm.Get("title")), Body: r.PostForm.Get("body"), Points: p,
		Sprint: r.PostForm.Get("sprint"), Assignee: strings.TrimSpace(r.PostForm.Get("assignee")),
	})
	if err != nil {
		return err
	}
	return done(w, r, page.ItemHref(page.Shell{Project: r.project()}, i.Number), "Item "+strconv.FormatInt(i.Number, 10)+" is open.")
}

// editItem takes the fields of an item's page.
func (h *handler) editItem(w http.ResponseWriter, r request) error {
	d, err := h.itemOf(r)
	if err != nil {
		return err
	}
	p, err := points(r.PostForm.Get("points"))
	if err != nil {
		return err
	}
	field := func(name string) *string {
		v := strings.TrimSpace(r.PostForm.Get(name))
		return &v
	}
	labels := []string{}
	for _, l := range strings.Split(r.PostForm.Get("labels"), ",") {
		if l = strings.TrimSpace(l); l != "" {
			labels = append(labels, l)
		}
	}
	expect, err := strconv.ParseInt(r.PostForm.Get("expect"), 10, 64)
	if err != nil {
		return fault.New(fault.Invalid, "The form does not say which version of the item it changes.").WithNext("open the page again and send the form from there")
	}
	_, err = h.Work.Change(r.Context(), r.actor, d.Number, work.Edit{
		Expect: expect, State: field("state"), Sprint: field("sprint"), Assignee: field("assignee"), Points: &p, Severity: field("severity"), Labels: &labels,
	})
	if err != nil {
		return err
	}
	return done(w, r, page.ItemHref(page.Shell{Project: r.project()}, d.Number), "Saved.")
}

func (h *handler) commentItem(w http.ResponseWriter, r request) error {
	d, err := h.itemOf(r)
	if err != nil {
		return err
	}
	if _, err := h.Work.Comment(r.Context(), r.actor, d.Number, r.PostForm.Get("body")); err != nil {
		return err
	}
	return done(w, r, page.ItemHref(page.Shell{Project: r.project()}, d.Number), "")
}

// wontFixItem closes what nobody will mend until a day.
func (h *handler) wontFixItem(w http.ResponseWriter, r request) error {
	d, err := h.itemOf(r)
	if err != nil {
		return err
	}
	until, err := time.Parse(time.DateOnly, r.PostForm.Get("until"))
	if err != nil {
		return fault.New(fault.Invalid, "%.40q is no date.", r.PostForm.Get("until")).WithNext("choose the day on which it is to be looked at again")
	}
	if _, err := h.Work.WontFix(r.Context(), r.actor, d.Number, strings.TrimSpace(r.PostForm.Get("why")), until); err != nil {
		return err
	}
	return done(w, r, page.ItemHref(page.Shell{Project: r.project()}, d.Number), "Closed until "+page.Day(until)+".")
}

// moveItems takes what the board's script sends: a move as JSON in the field "move".
func (h *handler) moveItems(w http.ResponseWriter, r request) error {
	var m work.Move
	if err := json.Unmarshal([]byte(r.PostForm.Get("move")), &m); err != nil {
		return fault.Wrap(fault.Invalid, err, "The move cannot be read.")
	}
	if _, err := h.Work.Move(r.Context(), r.actor, r.project(), m); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
