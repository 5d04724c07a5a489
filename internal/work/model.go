package work

import "time"

// Types of items.
const (
	TypeBug      = "bug"
	TypeTask     = "task"
	TypeStory    = "story"
	TypeSecurity = "security"
)

// Categories of states. Automation looks at these only, never at the names of states.
const (
	Proposed   = "proposed"    // nobody began
	InProgress = "in-progress" // somebody works on it
	Resolved   = "resolved"    // done, to be verified
	Completed  = "completed"   // done
	Removed    = "removed"     // will not be done
)

// Severities, worst first. An item without one has "".
const (
	Critical = "critical"
	High     = "high"
	Medium   = "medium"
	Low      = "low"
)

// State is one column of a project's board.
type State struct {
	Name     string `json:"name"`     // unique in the project, any case
	Category string `json:"category"` // proposed, in-progress, resolved, completed, removed
}

// Item is one thing to do.
type Item struct {
	Number   int64    `json:"number"` // unique in the installation, from 1
	Project  string   `json:"project"`
	Type     string   `json:"type"` // bug, task, story, security
	Title    string   `json:"title"`
	Body     string   `json:"body,omitempty"` // Markdown as written, never HTML
	State    string   `json:"state"`
	Category string   `json:"category"`           // of the state
	Assignee string   `json:"assignee,omitempty"` // user name
	Points   float64  `json:"points,omitempty"`   // 0 is not estimated; two decimals
	Priority int      `json:"priority,omitempty"` // 1 (first) to 4; 0 is none
	Severity string   `json:"severity,omitempty"` // critical, high, medium, low
	Labels   []string `json:"labels,omitempty"`   // sorted
	Parent   int64    `json:"parent,omitempty"`   // number of an item of the same project
	Sprint   string   `json:"sprint,omitempty"`   // name
	SprintID string   `json:"sprint_id,omitempty"`
	Rank     string   `json:"rank"`    // place in the backlog: the smaller in bytes, the nearer to the top
	Version  int64    `json:"version"` // grows with each change; for Edit.Expect

	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"` // actor: "user:ada", "system:insight"
	Updated   time.Time `json:"updated"`
	Ended     time.Time `json:"ended,omitzero"` // since when it is completed or removed

	Insight *Insight `json:"insight,omitempty"` // nil unless a signal made it
}

// Open reports whether there is still something to do: the state is proposed or in
// progress.
func (i Item) Open() bool { return i.Category == Proposed || i.Category == InProgress }

// Insight is what is known of an item that a signal made.
type Insight struct {
	Source    string    `json:"source"`             // canary, regression, error, alert, …
	Key       string    `json:"key"`                // of the item: Signal.GroupKey
	Count     int64     `json:"count"`              // how often it was signalled, over all its signals
	Active    int       `json:"active"`             // signals that were not cleared
	Exposure  int       `json:"exposure,omitempty"` // 1 (nobody sees it) to 10 (everybody does)
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	// Auto says that a machine set the present state: it is closed because the signals
	// cleared, or open because one came back.
	Auto bool `json:"auto,omitempty"`
	// WontFix is why nobody will mend it, until Until; then it comes back by itself.
	WontFix string    `json:"wont_fix,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	// Triage says what a planning made of it: "" nothing yet, accepted, deferred.
	Triage string `json:"triage,omitempty"`
}

// Detail is an item with everything that its page shows.
type Detail struct {
	Item
	Links    []Link          `json:"links"`
	Comments []Comment       `json:"comments"` // oldest first, at most 500, the newest ones
	History  []Change        `json:"history"`  // oldest first, at most 500, the newest ones
	Signals  []SignalState   `json:"signals"`  // at most 200, active ones first
	Children []Item          `json:"children"` // without bodies, at most 200
	States   []State         `json:"states"`   // that it may go to
	Above    *ParentOfDetail `json:"above,omitempty"`
}

// ParentOfDetail names the parent of an item.
type ParentOfDetail struct {
	Number int64  `json:"number"`
	Title  string `json:"title"`
	State  string `json:"state"`
}

// Link is an edge from an item to something that concerns it.
type Link struct {
	Rel     string    `json:"rel"`               // concerns, suspects, fixed-by, mentioned, relates, regression-of
	Kind    string    `json:"kind"`              // of the subject (commit, pull, release, item, …), or "url"
	Subject string    `json:"subject,omitempty"` // "commit:<40 hex>", "pull:shop/web/7"; "" of a URL
	URL     string    `json:"url,omitempty"`     // http or https, or a path of this installation
	Title   string    `json:"title,omitempty"`
	Made    time.Time `json:"made,omitzero"`
	By      string    `json:"by,omitempty"` // actor
}

// Relations of links that are an item's own; the others are those of package event.
const (
	RelRelates      = "relates"
	RelRegressionOf = "regression-of"
)

// Comment is what somebody said about an item.
type Comment struct {
	ID     string    `json:"id"`
	Author string    `json:"author"` // actor
	Body   string    `json:"body"`   // Markdown as written
	Made   time.Time `json:"made"`
	Edited time.Time `json:"edited,omitzero"`
}

// Change is one line of an item's history.
type Change struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`
	Field  string    `json:"field"` // created, title, body, type, state, assignee, points, priority, severity, labels, parent, sprint, rank, link, unlink, wont-fix, triage
	From   string    `json:"from,omitempty"`
	To     string    `json:"to,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// NewItem is an item as somebody writes it. Title is needed.
type NewItem struct {
	Type     string   `json:"type,omitempty"` // "" is a task
	Title    string   `json:"title"`
	Body     string   `json:"body,omitempty"`
	State    string   `json:"state,omitempty"` // "" is the first of category proposed
	Assignee string   `json:"assignee,omitempty"`
	Points   float64  `json:"points,omitempty"`
	Priority int      `json:"priority,omitempty"`
	Severity string   `json:"severity,omitempty"`
	Labels   []string `json:"labels,omitempty"`
	Parent   int64    `json:"parent,omitempty"`
	Sprint   string   `json:"sprint,omitempty"` // name, id, @current or @next
	Top      bool     `json:"top,omitempty"`    // at the top of the backlog rather than its end
	Links    []Link   `json:"links,omitempty"`
}

// Edit changes an item; nil leaves a thing as it is.
type Edit struct {
	// Expect is the version that was looked at; fault.Conflict when it is another one by
	// now. 0 takes the item as it is.
	Expect   int64     `json:"expect,omitempty"`
	Type     *string   `json:"type,omitempty"`
	Title    *string   `json:"title,omitempty"`
	Body     *string   `json:"body,omitempty"`
	State    *string   `json:"state,omitempty"` // name, or a category for its first state
	Assignee *string   `json:"assignee,omitempty"`
	Points   *float64  `json:"points,omitempty"`
	Priority *int      `json:"priority,omitempty"`
	Severity *string   `json:"severity,omitempty"`
	Labels   *[]string `json:"labels,omitempty"`
	Parent   *int64    `json:"parent,omitempty"`
	Sprint   *string   `json:"sprint,omitempty"` // name, id, @current, @next; "" takes it out
	Why      string    `json:"why,omitempty"`    // for the history
}

// Move places items, all in one transaction, in the order in which they are given.
// Before and After name the neighbour they shall have; both 0 leaves their place.
type Move struct {
	Items  []int64 `json:"items"` // 1 to 200 numbers
	Before int64   `json:"before,omitempty"`
	After  int64   `json:"after,omitempty"`
	Top    bool    `json:"top,omitempty"`
	Bottom bool    `json:"bottom,omitempty"`
	Sprint *string `json:"sprint,omitempty"` // as Edit.Sprint
	State  *string `json:"state,omitempty"`  // as Edit.State
}

// Filter selects items of a project; zero fields select everything.
type Filter struct {
	State    string `json:"state,omitempty"`    // name of a state, a category, "open" or "closed"
	Type     string `json:"type,omitempty"`     // of the types
	Assignee string `json:"assignee,omitempty"` // user; "none" for nobody
	Label    string `json:"label,omitempty"`
	Severity string `json:"severity,omitempty"`
	Sprint   string `json:"sprint,omitempty"` // name, id, @current, @next, none
	Source   string `json:"source,omitempty"` // of the signal; "any" for every insight
	Text     string `json:"text,omitempty"`   // in the title, any case; "#12" or "12" finds the number
	Parent   int64  `json:"parent,omitempty"`
	// Link is a subject that items link to: "release:shop/production/48". With a commit
	// ("commit:<40 hex>") also those that link to its runs, images, releases and alerts.
	Link string `json:"link,omitempty"`
	// After is the Next of the page before. Limit is at most so many; 0 means 50, the
	// most is 500.
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// Backlog is one page of items in the order of the backlog. Items have no bodies.
type Backlog struct {
	Items []Item `json:"items"`
	Next  string `json:"next,omitempty"` // Filter.After of the next page; "" at the end
}

// Board is the read model of a board.
type Board struct {
	Project string   `json:"project"`
	Sprint  *Sprint  `json:"sprint,omitempty"` // that was asked for
	Columns []Column `json:"columns"`          // by state, in the project's order
	Lanes   []Lane   `json:"lanes,omitempty"`  // when they were asked for
}

// Column is one state of a board.
type Column struct {
	State
	Count  int     `json:"count"` // of all items, also those that are not listed
	Points float64 `json:"points"`
	Items  []Item  `json:"items"` // at most 200, without bodies, in the order of the backlog
}

// Lane is a row of a board: it holds the numbers of those items of the columns that share
// its key.
type Lane struct {
	Key   string  `json:"key"`   // assignee, type or number of the parent; "" for none
	Title string  `json:"title"` // for people
	Items []int64 `json:"items"`
}

// States of sprints.
const (
	SprintPlanned = "planned"
	SprintActive  = "active"
	SprintClosed  = "closed"
)

// Sprint is a span of days with a goal.
type Sprint struct {
	ID       string     `json:"id"`
	Project  string     `json:"project"`
	Name     string     `json:"name"`  // unique in the project
	Start    time.Time  `json:"start"` // midnight UTC of the first day
	End      time.Time  `json:"end"`   // midnight UTC of the last day, which belongs to it
	Goal     string     `json:"goal,omitempty"`
	Capacity float64    `json:"capacity,omitempty"` // points; 0 takes the sum over People
	People   []Capacity `json:"people,omitempty"`   // at most 100
	Security int        `json:"security"`           // percent of the capacity that is for security, 0 to 100
	State    string     `json:"state"`              // planned, active, closed
	Current  bool       `json:"current"`            // @current
	Points   float64    `json:"points"`             // of its items
	Done     float64    `json:"done"`               // of those that are resolved or completed; of a closed one what was done when it closed
	Items    int        `json:"items"`              // how many
	Room     float64    `json:"room"`               // capacity with days off taken away
	Closed   time.Time  `json:"closed,omitzero"`    // when it was closed
	Version  int64      `json:"version"`            // grows with each change
}

// Capacity is what one person can do in a sprint.
type Capacity struct {
	User    string   `json:"user"`
	Points  float64  `json:"points"`             // of the whole sprint without days off
	DaysOff []string `json:"days_off,omitempty"` // dates, "2026-11-23", of working days in the sprint
}

// SprintEdit makes a sprint (Name, Start and End are needed) or changes one (nil leaves a
// thing as it is).
type SprintEdit struct {
	Expect   int64       `json:"expect,omitempty"` // as in Edit
	Name     *string     `json:"name,omitempty"`
	Start    *string     `json:"start,omitempty"` // date, "2026-11-23"
	End      *string     `json:"end,omitempty"`   // date of the last day
	Goal     *string     `json:"goal,omitempty"`
	Capacity *float64    `json:"capacity,omitempty"`
	People   *[]Capacity `json:"people,omitempty"`
	Security *int        `json:"security,omitempty"`
	Active   *bool       `json:"active,omitempty"` // true starts it; only one is active
}

// Burndown is what a sprint had left at the end of each of its days.
type Burndown struct {
	Sprint Sprint    `json:"sprint"`
	Days   []BurnDay `json:"days"` // from the first to the last day
}

// BurnDay is one day of a burndown.
type BurnDay struct {
	Day   string  `json:"day"`   // "2026-11-23"
	Ideal float64 `json:"ideal"` // on the straight line from the first scope to nothing
	// Known is false for days that did not come yet; the others are 0 then.
	Known     bool    `json:"known"`
	Scope     float64 `json:"scope"`     // points in the sprint
	Remaining float64 `json:"remaining"` // of those, not yet resolved or completed
	Items     int     `json:"items"`     // that remain
}

// Velocity is what the last sprints have done.
type Velocity struct {
	Average float64  `json:"average"` // points of the last three closed sprints; 0 when there is none
	Sprints []Sprint `json:"sprints"` // closed ones, newest first, at most six
}

// Tray is the planning page's read model: insights since the last planning beside what
// the sprint has room for.
type Tray struct {
	Sprint   *Sprint    `json:"sprint,omitempty"` // that is planned; nil when there is none
	Since    time.Time  `json:"since,omitzero"`   // the last planning: when the sprint before was started
	Insights []TrayItem `json:"insights"`         // at most 200, the most pressing first
	More     int        `json:"more"`             // insights that are not listed
	Velocity float64    `json:"velocity"`         // Velocity.Average
	Room     float64    `json:"room"`             // of the sprint; of velocity when it has no capacity
	Planned  float64    `json:"planned"`          // points of its open and done items
	// Budget is the share of Room that is for security and insights; Spent what such items
	// in the sprint take of it.
	Budget      float64 `json:"budget"`
	Spent       float64 `json:"spent"`
	Unestimated int     `json:"unestimated"` // items of the sprint without points
}

// TrayItem is an insight that waits for a planning.
type TrayItem struct {
	Item
	// Score is severity (1 low or none, 2 medium, 4 high, 8 critical) × exposure (1 to 10) ×
	// age (1 + weeks since it was first seen, at most 5).
	Score     float64 `json:"score"`
	InSprint  bool    `json:"in_sprint"` // a rule put it into the sprint that is planned
	Suggested string  `json:"suggested"` // @current, @next, or "" for the backlog, by severity
}
