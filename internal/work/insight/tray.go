package insight

import "time"

// Tray is what came since the last planning, for a person to accept into a sprint or defer.
type Tray struct {
	Project string    `json:"project"`
	Since   time.Time `json:"since,omitzero"` // the last planning
	Entries []Entry   `json:"entries"`        // by rank, the highest first
	Sprint  string    `json:"sprint,omitempty"`
	// Capacity is that of the sprint that is planned, in points: its own, or without one
	// the average of what the last three sprints completed.
	Capacity float64 `json:"capacity"`
	Planned  float64 `json:"planned"`  // points of the items in the sprint
	Average  float64 `json:"average"`  // points that the last three sprints completed, on average
	Budget   float64 `json:"budget"`   // points that are kept for insights about security
	Security float64 `json:"security"` // points of items of type security in the sprint
}

// Entry is an insight in the tray.
type Entry struct {
	Item     int64     `json:"item"`
	Title    string    `json:"title"`
	Type     string    `json:"type"`
	Category string    `json:"category"`
	Sprint   string    `json:"sprint,omitempty"`
	Points   float64   `json:"points"`
	Source   string    `json:"source"`
	Severity string    `json:"severity"`
	Count    int64     `json:"count"`
	First    time.Time `json:"first_seen"`
	Last     time.Time `json:"last_seen"`
	// Rank is severity × exposure × age: it orders the tray.
	Rank float64 `json:"rank"`
	Why  string  `json:"why"` // the rank in words
}

// Triage is what somebody decides of entries of the tray.
type Triage struct {
	Project string    `json:"project"`
	Items   []int64   `json:"items"`            // at most 200
	Action  string    `json:"action"`           // accept, defer, dismiss
	Sprint  string    `json:"sprint,omitempty"` // of accept: its id; "" is the current one
	Reason  string    `json:"reason,omitempty"` // of dismiss
	Until   time.Time `json:"until,omitzero"`   // of dismiss: the day on which it comes back
}

// The actions of Triage.
const (
	Accept  = "accept"  // into the sprint
	Defer   = "defer"   // into the backlog; it leaves the tray
	Dismiss = "dismiss" // will not be fixed until a day
)

// Filter selects signals; zero fields select everything.
type Filter struct {
	State  string
	Source string
	Item   int64
	Limit  int // at most 1000; 0 is 200
}
