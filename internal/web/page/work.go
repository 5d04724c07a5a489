package page

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/work"
	signals "towpath.dev/towpath/internal/work/insight"
)

// workTabs are the pages of the room Board.
func workTabs() []tab {
	return []tab{{"/board", "Board"}, {"/backlog", "Backlog"}, {"/sprints", "Sprints"}, {"/planning", "Planning"}, {"/dora", "Delivery"}}
}

// BoardTab is a page of the room Board, as the palette finds it.
type BoardTab struct {
	Text, Path string
	Words      string // by which it is found too
}

// BoardTabs are the pages of the room Board.
func BoardTabs() []BoardTab {
	words := map[string]string{"/backlog": "items order", "/sprints": "velocity burndown", "/planning": "tray insights capacity", "/dora": "dora lead time deployment frequency change failure restore"}
	var out []BoardTab
	for _, t := range workTabs() {
		out = append(out, BoardTab{Text: t.text, Path: t.path, Words: words[t.path]})
	}
	return out
}

// BoardView is the board of a project.
type BoardView struct {
	Board    work.Board
	Sprints  []work.Sprint
	Sprint   string // name of the one that is shown; "" for all items
	Lanes    string // "", assignee, type, parent
	Query    string
	Filters  []Filter
	MayWrite bool
}

// BacklogView is the one order of all items.
type BacklogView struct {
	Backlog  work.Backlog
	Sprints  []work.Sprint
	Query    string
	Link     string // subject that the items link to; "" for all
	Filters  []Filter
	More     string // address of the next page
	MayWrite bool
}

// ItemView is one item.
type ItemView struct {
	work.Detail
	Sprints  []work.Sprint
	Cause    *signals.Cause // nil for an item that no signal opened
	MayWrite bool
	Me       string
}

// ItemHref is the address of an item.
func ItemHref(s Shell, number int64) string { return s.At("/items/" + strconv.FormatInt(number, 10)) }

// itemState is the state of an item in the product's four states: what is done is open.
func itemState(category string) State {
	switch category {
	case work.InProgress:
		return Passing
	case work.Resolved, work.Completed:
		return Open
	case work.Removed:
		return Note
	}
	return Wait
}

// pointsWord writes points; nothing for what was not estimated.
func pointsWord(p float64) string {
	if p == 0 {
		return ""
	}
	return strconv.FormatFloat(p, 'f', -1, 64)
}

// pointsWords is pointsWord with its unit.
func pointsWords(p float64) string {
	if p == 1 {
		return "1 point"
	}
	return pointsOrZero(p) + " points"
}

// insightWord says where an item comes from that a signal made.
func insightWord(i *work.Insight) string {
	if i == nil {
		return ""
	}
	word := i.Source
	if i.Count > 1 {
		word += " × " + Count(int(min(i.Count, 1<<30)))
	}
	return word
}

// changeWords says what a line of the history tells.
func changeWords(c work.Change) string {
	switch c.Field {
	case "created":
		return "opened it"
	case "body":
		return "changed the text"
	case "rank":
		return "moved it in the backlog"
	}
	from, to := c.From, c.To
	switch c.Field {
	case "state":
		return "moved it from " + orNone(from) + " to " + orNone(to)
	case "link":
		return "linked " + to
	case "unlink":
		return "unlinked " + from + to
	case "wont-fix":
		return "will not fix it until " + to
	case "triage":
		return strings.TrimSpace("planned: " + from + " " + to)
	}
	field := strings.ReplaceAll(c.Field, "_", " ")
	switch {
	case from == "" && to == "":
		return "changed the " + field
	case from == "":
		return "set the " + field + " to " + to
	case to == "":
		return "took away the " + field + " " + from
	}
	return "changed the " + field + " from " + from + " to " + to
}

// linkWord says how a link hangs on the item.
func linkWord(rel string) string { return strings.ReplaceAll(rel, "-", " ") }

// linkHref is where a link of an item leads: to an address of its own, else to the evidence
// chain of its subject.
func linkHref(s Shell, l work.Link) string {
	if l.URL != "" {
		return l.URL
	}
	kind, id, _ := strings.Cut(l.Subject, ":")
	if kind == "item" {
		return s.At("/items/" + id)
	}
	return s.At("/trace/" + kind + "/" + id)
}

// linkText is what is shown of a link.
func linkText(l work.Link) string {
	if l.Title != "" {
		return l.Title
	}
	if l.Subject == "" {
		return l.URL
	}
	kind, id, _ := strings.Cut(l.Subject, ":")
	return kind + " " + Short(id)
}

// laneTitle is the heading of a lane of a board that is cut by something.
func laneTitle(l work.Lane, by string) string {
	switch {
	case l.Title != "":
		return l.Title
	case by == work.LaneAssignee:
		return "Nobody yet"
	case by == work.LaneParent:
		return "Part of nothing"
	}
	return "None"
}

// inLane are the items of a column that stand in a lane.
func inLane(c work.Column, l work.Lane) []work.Item {
	in := map[int64]bool{}
	for _, n := range l.Items {
		in[n] = true
	}
	var out []work.Item
	for _, i := range c.Items {
		if in[i.Number] {
			out = append(out, i)
		}
	}
	return out
}

// boardEmpty reports whether no column has an item.
func boardEmpty(b work.Board) bool {
	for _, c := range b.Columns {
		if c.Count > 0 {
			return false
		}
	}
	return true
}

// Day writes a date.
func Day(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2 Jan 2006")
}

func commas(list []string) string { return strings.Join(list, ", ") }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// slug makes the end of a branch's name of a title.
func slug(title string) string {
	var b strings.Builder
	dash := false
	for _, r := range strings.ToLower(title) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if dash && b.Len() > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			dash = false
		} else {
			dash = true
		}
		if b.Len() >= 40 {
			break
		}
	}
	return orNone(b.String())
}

// linkIcon is the icon of a link's kind.
func linkIcon(kind string) string {
	switch kind {
	case "commit":
		return "commit"
	case "pull":
		return "pulls"
	case "run":
		return "runs"
	case "image":
		return "images"
	case "release":
		return "environments"
	case "alert":
		return "status"
	case "decision":
		return "policy"
	case "item":
		return "board"
	}
	return "link"
}

// entry is one line of what happened: a comment or a change.
type entry struct {
	comment *work.Comment
	change  *work.Change
	at      time.Time
}

// talk are comments and changes in the order of time. Changes of the order in the backlog
// are left out: nobody reads them.
func (v ItemView) talk() []entry {
	var out []entry
	for i := range v.Comments {
		out = append(out, entry{comment: &v.Comments[i], at: v.Comments[i].Made})
	}
	for i := range v.History {
		if v.History[i].Field != "rank" {
			out = append(out, entry{change: &v.History[i], at: v.History[i].Time})
		}
	}
	slices.SortStableFunc(out, func(a, b entry) int { return a.at.Compare(b.at) })
	return out
}
