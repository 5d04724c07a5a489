package work

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// Signal is something that a part of the platform saw. Source, Rule and Resource make its
// key: they must not hold line numbers, messages or times.
type Signal struct {
	Project  string
	Source   string // canary, regression, error, crash, alert, policy, vulnerability, dependency, secret, pipeline, admission
	Rule     string // what was broken: a CVE's alias group, the name of an alert, an operation
	Resource string // the stable thing it was seen at: a service, a repository, a workload
	// Group joins signals of one source to one item: all images with one CVE, all that came
	// in a storm. "" leaves the signal an item of its own.
	Group string
	// Onto is the number of an item that is not closed, and that the signal joins unless it
	// has an item of its own; 0 is none. So signals of several sources are one item.
	Onto int64

	Type     string // of the item; "" is a bug
	Title    string // of the item, and of the signal in its list
	Body     string // Markdown
	Severity string // critical, high, medium, low
	Exposure int    // 1 to 10; 0 counts as 1
	Labels   []string
	Assignee string
	Sprint   string // @current, @next, or "" for the backlog; what does not exist means the backlog
	Links    []Link
	Note     string    // Markdown: what to say in a comment when the item reopens or gets a further resource
	Seen     time.Time // zero is now
	// Times is how often it was seen since it was last raised; 0 counts as 1.
	Times int64
}

// Key identifies the signal in its project: 32 hex digits.
func (g Signal) Key() string { return digest(g.Source, g.Rule, g.Resource) }

// GroupKey identifies the item of the signal in its project: Key, or the key of its group.
func (g Signal) GroupKey() string {
	if g.Group == "" {
		return g.Key()
	}
	return digest(g.Source, "group", g.Group)
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		// A hash never returns an error from Write.
		_, _ = h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Outcomes of raising a signal.
const (
	RaisedCreated    = "created"    // there is a new item
	RaisedRepeated   = "repeated"   // the item is open, and its count grew
	RaisedJoined     = "joined"     // an item that is open got a further signal
	RaisedReopened   = "reopened"   // the item was closed and is open again
	RaisedRegressed  = "regressed"  // a new item, because the old one was closed long ago
	RaisedSuppressed = "suppressed" // somebody said that it will not be fixed
)

// Raised is what became of a signal.
type Raised struct {
	Item Item
	What string // created, repeated, joined, reopened, regressed, suppressed
}

// SignalState is one signal of an item, as its checklist shows it.
type SignalState struct {
	Key       string    `json:"key"`
	Rule      string    `json:"rule"`
	Resource  string    `json:"resource"`
	Title     string    `json:"title"`
	Count     int64     `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Cleared   time.Time `json:"cleared,omitzero"` // zero while it holds
	Why       string    `json:"why,omitempty"`    // it was cleared
}
