package event

// The payloads of events about items of work.

import "time"

// Item is the payload of TypeItemCreated and TypeItemChanged; the subject is the item.
// Links: concerns release, alert, image, run, pull or session; suspects commit (each);
// fixed-by commit or pull; mentioned-by commit or pull.
type Item struct {
	V        int    `json:"v"`
	Item     int64  `json:"item"`
	Type     string `json:"type"` // bug, task, story, security
	Title    string `json:"title"`
	State    string `json:"state"`
	Category string `json:"category"` // proposed, in-progress, resolved, completed, removed
	Sprint   string `json:"sprint,omitempty"`
	Assignee string `json:"assignee,omitempty"`
	Severity string `json:"severity,omitempty"`
	Source   string `json:"source,omitempty"` // of an insight: canary, regression, error, alert, …
	Signal   string `json:"signal,omitempty"` // of an insight: its stable key
	Change   string `json:"change,omitempty"` // state, title, sprint, assignee, points, labels, link, reopened, …
	Why      string `json:"why,omitempty"`
}

// ItemCommented is the payload of TypeItemCommented; the subject is the item.
type ItemCommented struct {
	V       int    `json:"v"`
	Item    int64  `json:"item"`
	Comment string `json:"comment"` // id
	Author  string `json:"author"`
	Edited  bool   `json:"edited,omitempty"` // its author wrote it anew
}

// StatesChanged is the payload of TypeStatesChanged: the states of a project's items were
// replaced. The subject is the project.
type StatesChanged struct {
	V      int     `json:"v"`
	States []State `json:"states"` // in the order of the board; none are the default ones
}

// State is one column of a board.
type State struct {
	Name     string `json:"name"`
	Category string `json:"category"` // as in Item
}

// SprintChanged is the payload of TypeSprintChanged; the subject is the project.
type SprintChanged struct {
	V      int       `json:"v"`
	Sprint string    `json:"sprint"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	What   string    `json:"what"` // created, changed, closed
}
