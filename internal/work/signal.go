package work

import (
	"time"

	"towpath.dev/towpath/internal/event"
)

// When says into which sprint an item goes that nobody planned.
type When string

// The places of an item that the platform opens, by its severity.
const (
	Now   When = "current" // the current sprint; the backlog's top when there is none
	Next  When = "next"    // the next sprint; the backlog when there is none
	Later When = "backlog"
)

// Raise is an item that the platform opens because of a signal. The actor is the
// platform's; nobody's rights are asked.
type Raise struct {
	Project  string
	Type     string // bug, security, task
	Title    string
	Body     string // Markdown
	Severity string // critical, high, medium, low
	Source   string // of the signal: canary, regression, error, alert, …
	Signal   string // its stable key
	Assignee string // user; "" for nobody
	When     When
	Due      time.Time // zero for none
	Labels   []string
	Links    []event.Link // from the item: concerns, suspects
	Parent   int64        // number of the umbrella; 0 for none
	Why      string       // the first comment: which signal opened it, with its evidence
}

// Amend changes an open item because of its signals. Zero fields stay as they are.
type Amend struct {
	Title    string
	Body     string
	Severity string
	Assignee string // only of an item that has none
	When     When   // only of an item that lies in the backlog
	Links    []event.Link
	Why      string // a comment; "" for none
}

// Standing is what the platform asks of an item before it touches it.
type Standing struct {
	Project  string
	Number   int64
	Category string    // proposed, in-progress, resolved, completed, removed
	Sprint   string    // id; "" for the backlog
	Closed   time.Time // since when it is completed or removed; zero while it is not
}
