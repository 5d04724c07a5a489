package page

import (
	"time"

	"towpath.dev/towpath/internal/event"
)

// State is where something stands on its way; see the package's documentation.
type State string

// The four states, and two for what has none: Wait is not there yet, Note is a fact.
const (
	Open    State = "open" // the lock is open: done and good
	Passing State = "pass" // under way
	Held    State = "held" // waits for somebody
	Shut    State = "shut" // failed or refused
	Wait    State = "wait"
	Note    State = "note"
)

// Word is the state's word for those who do not see its icon.
func (s State) Word() string {
	switch s {
	case Open:
		return "open"
	case Passing:
		return "passing"
	case Held:
		return "held"
	case Shut:
		return "shut"
	}
	return "not yet"
}

// Shell is what every page shares.
type Shell struct {
	Title    string   // of the window, without the product's name
	Project  string   // "" outside of a project
	Projects []string // that the actor may see, for the switch
	Room     string   // which entry of the rooms is current
	Crumbs   []Crumb  // after "projects / NAME"
	User     string   // name of the actor, "" for nobody
	Admin    bool     // administrator of the installation
	CSRF     string   // token that every form sends back
	Theme    string   // "", "light" or "dark"
	Now      time.Time
	Live     string // where the page hears of changes; "" for pages that are not live
	Version  string
	// PublicURL is the address of this installation, without a slash at its end.
	PublicURL string
	Notice    string // a sentence about what was just done, shown once
	Asset     func(name string) string
	Scripts   []string // more scripts and, beside them, styles that this page needs
	Styles    []string // more styles
	Preload   string   // what a script will ask for at once, "" for nothing
	// Counts stand beside rooms in the navigation, by their key.
	Counts map[string]Badge

	pullBase string // address of the pull request that the page shows
	pullHead string // its head
}

// Badge is a number beside a room.
type Badge struct {
	N    int
	Warn bool // somebody should look
}

// OfPull returns the shell for the page of a pull request: what its forms need.
func (s Shell) OfPull(v PullView) Shell {
	s.pullBase, s.pullHead = v.path(s), v.Head
	return s
}

// Crumb is one step of the way to a page; the last has no link.
type Crumb struct{ Text, Href string }

// At returns a path below the project.
func (s Shell) At(path string) string { return "/projects/" + s.Project + path }

// Room is an entry of the left navigation.
type Room struct{ Key, Text, Path, Icon, Goto string }

// Rooms are the rooms of a project, in the order of the loop. A room is listed when its
// pages exist.
func Rooms() []Room {
	return []Room{
		{Key: "path", Text: "Path", Path: "", Icon: "path", Goto: "p"},
		{Key: "code", Text: "Code", Path: "/code", Icon: "code", Goto: "c"},
		{Key: "pulls", Text: "Pull requests", Path: "/pulls", Icon: "pulls", Goto: "q"},
		{Key: "runs", Text: "Runs", Path: "/runs", Icon: "runs", Goto: "r"},
		{Key: "images", Text: "Images", Path: "/images", Icon: "images", Goto: "i"},
		{Key: "environments", Text: "Environments", Path: "/environments", Icon: "environments", Goto: "e"},
		{Key: "policy", Text: "Policy", Path: "/policy", Icon: "policy", Goto: "o"},
		{Key: "monitor", Text: "Monitor", Path: "/monitor", Icon: "status", Goto: "m"},
		{Key: "board", Text: "Board", Path: "/board", Icon: "board", Goto: "b"},
	}
}

// Lock is one cell of the Path: what one lock says about one change.
type Lock struct {
	Name  string // "Build"
	State State
	Fact  string // "4.1 s"
	Note  string // "4 images"
	Href  string // the evidence behind it
	When  time.Time
}

// Change is one row of the Path.
type Change struct {
	ID           int64  // of the push; the same commit may be pushed twice
	Commit       string // full hash
	InProduction bool
	Title        string
	Repo         string // "shop/shop"
	Branch       string
	Author       string
	When         time.Time
	Locks        []Lock
	Chain        []Station // only of the row that is open
	Opened       bool
}

// Station is one point of an evidence chain.
type Station struct {
	Kind  string // "Commit"
	ID    string // whole: what is copied
	Short string // what is shown of it
	Note  string
	State State
	Href  string
	When  time.Time
	Actor string
	Seq   int64
	Hash  string // of the event that says it
	Rel   string // how it hangs on the others: "built-from commit e81f0c7"
}

// Filter is one of the pills above a list.
type Filter struct {
	Key, Text string
	Count     int // -1 hides it
	On        bool
	Href      string
}

// Figure is one summary card.
type Figure struct {
	Name  string
	Value string
	Note  string
	Tone  string // "", "good" or "bad"
	Href  string
}

// Path is what the Path page shows.
type Path struct {
	Figures []Figure
	Filters []Filter
	Columns []string
	Changes []Change
	Query   string // text filter
	More    string // link to older changes
	Remote  string // where to push, for the empty page
}

// Result pairs a search hit with where it leads.
type Result struct{ Group, Icon, Text, Note, Href string }

// Problem is what an error page says.
type Problem struct {
	Status  int
	Title   string
	Message string
	Next    string
	ID      string // finds it in the server's log
}

// Trace is what the trace page shows.
type Trace struct {
	Subject  event.Subject
	Title    string
	Line     []Station
	Stations []Station
}
