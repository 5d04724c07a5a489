package page

import (
	"strconv"

	"github.com/a-h/templ"
)

// toggle are the attributes of the link that opens or closes a row's chain. It works as
// a plain link; with a script only the table changes.
func (s Shell) toggle(v Path, c Change) templ.Attributes {
	open := strconv.FormatInt(c.ID, 10)
	if c.Opened {
		open = ""
	}
	href := s.At(Query("show", onKey(v.Filters), "q", v.Query, "open", open))
	return templ.Attributes{
		"href": href, "aria-expanded": boolWord(c.Opened), "hx-get": href, "hx-target": "#path", "hx-select": "#path",
		"hx-swap": "outerHTML", "hx-push-url": "true", "id": "o-" + strconv.FormatInt(c.ID, 10),
	}
}

func boolWord(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// onKey is the key of the filter that is on, "" for the first, which shows everything.
func onKey(list []Filter) string {
	for i, f := range list {
		if f.On && i > 0 {
			return f.Key
		}
	}
	return ""
}

// idle reports whether no change on the page has come to a lock: its column needs no more
// room than its name.
func (v Path) idle(column int) bool {
	for _, c := range v.Changes {
		if column < len(c.Locks) && c.Locks[column].State != Wait {
			return false
		}
	}
	return true
}

func lockTitle(l Lock) string {
	t := l.Name + ": " + l.Fact
	if l.Note != "" {
		t += " · " + l.Note
	}
	if !l.When.IsZero() {
		t += " · " + exact(l.When)
	}
	return t
}
