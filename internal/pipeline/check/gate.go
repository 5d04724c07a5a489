package check

import (
	"slices"
	"strings"
	"time"
)

// Status is how far an entry is.
type Status string

// The states of an entry. The last four are final, but for a Passed entry of a dynamic
// check, which may be taken back until the stage starts.
const (
	Pending   Status = "pending" // its class has not begun
	Waiting   Status = "waiting"
	Passed    Status = "passed"
	Refused   Status = "refused"
	Expired   Status = "expired"   // it waited for longer than its time-out
	Withdrawn Status = "withdrawn" // the run was cancelled, or a newer one took its place
)

// Over reports whether the entry holds nothing any more.
func (s Status) Over() bool { return s == Passed || s == Refused || s == Expired || s == Withdrawn }

// Answer is what the outside said to an entry: a fact that is kept before it counts.
type Answer struct {
	OK bool `json:"ok"`
	// Final answers are not asked for again; a final no refuses the stage.
	Final bool      `json:"final,omitempty"`
	Why   string    `json:"why,omitempty"`
	At    time.Time `json:"at"`
}

// Entry is a check at the gate of one stage of one run: the definition as it was when the
// stage came there, and what became of it.
type Entry struct {
	Definition
	Entry     string `json:"entry"` // its id; Definition.ID is that of the check
	Run       int64  `json:"run"`
	Stage     string `json:"stage"`
	Attempt   int    `json:"attempt"`
	Requester string `json:"requester,omitempty"` // user who started the run
	Pipeline  string `json:"pipeline,omitempty"`  // "shop/web", of a permission
	// LockBehavior is that of the run, of an exclusive lock; Branch limits what a lock of a
	// stage supersedes (X027).
	LockBehavior string `json:"lockBehavior,omitempty"`
	Branch       string `json:"branch,omitempty"`

	Status   Status    `json:"status"`
	Why      string    `json:"why,omitempty"`
	Seats    []Seat    `json:"seats,omitempty"`
	Answer   *Answer   `json:"answer,omitempty"`
	Started  time.Time `json:"started,omitzero"` // when its class began
	Deadline time.Time `json:"deadline,omitzero"`
	Next     time.Time `json:"next,omitzero"` // when it is to be looked at again
	Finished time.Time `json:"finished,omitzero"`
	// Told says that the logbook knows of the waiting.
	Told bool `json:"told,omitempty"`
}

// NewEntry makes the entry of a definition; the seats of an approval are those of now (C002).
func NewEntry(id string, d Definition) *Entry {
	e := &Entry{Definition: d, Entry: id, Status: Pending, Attempt: 1}
	if d.Approval != nil {
		for _, who := range d.Approval.Approvers {
			e.Seats = append(e.Seats, Seat{Who: who})
		}
	}
	return e
}

// News says what the logbook does not know of an entry yet: that it holds the stage, or
// that it holds it no more. before is its status when it was read. A check that the outside
// answers holds nothing in the logbook's eyes before the first answer.
func (e *Entry) News(before Status) (held, decided bool) {
	switch {
	case e.Status == Waiting && !e.Told && (!e.asked() || e.Why != "") && !(e.Type == ExclusiveLock && e.Why == ""):
		e.Told = true
		return true, false
	case e.Status.Over() && e.Status != before:
		e.Told = false
		return false, true
	}
	return false, false
}

// asked reports whether the answer to an entry comes from outside of the gate.
func (e *Entry) asked() bool {
	switch e.Type {
	case BranchControl, RequiredTemplate, EvaluateArtifact, REST, Alerts:
		return true
	}
	return false
}

// Due reports whether the outside is to be asked now.
func (e *Entry) Due(now time.Time) bool {
	return e.asked() && (e.Status == Waiting || e.Status == Passed) && !e.Next.IsZero() && !e.Next.After(now)
}

// again is the pause after which an answer that is not final is asked for again; 0 when a
// first answer is final.
func (e *Entry) again() time.Duration {
	switch {
	case e.Type == REST:
		return time.Duration(e.REST.RetryMinutes) * time.Minute
	case e.Type == Alerts && e.Alerts.RetryMinutes > 0:
		return time.Duration(e.Alerts.RetryMinutes) * time.Minute
	case e.Type == Alerts:
		return defaultRetry
	case e.Type == EvaluateArtifact:
		return evidencePause
	}
	return 0
}

const (
	// defaultRetry is how often alerts are looked at.
	defaultRetry = 5 * time.Minute
	// evidencePause is how soon evidence that is still to come is looked for again: scans
	// and signatures follow the push of an image within seconds.
	evidencePause = 5 * time.Second
)

// Gate holds one stage of one run. The order of its entries does not matter.
type Gate struct{ Entries []*Entry }

// Verdict is what a gate says of its stage.
type Verdict string

// The verdicts.
const (
	Held Verdict = "held"
	// Locking says that only exclusive locks are left: who keeps them tries to take all of
	// them at once, sets the entries to Passed or Withdrawn, and asks again.
	Locking Verdict = "locking"
	Open    Verdict = "open"
	// Shut ends the stage: it failed (an entry was refused).
	Shut Verdict = "shut"
	// TimedOut ends the stage: it is skipped (C001).
	TimedOut Verdict = "timedOut"
	// Superseded ends the stage: it is cancelled (C010).
	Superseded Verdict = "superseded"
)

// Facts are what a gate cannot know by itself.
type Facts struct {
	Now time.Time
	// Permitted are the keys of the resources that the pipeline may use.
	Permitted map[string]bool
}

// Advance brings a gate as far as it can go. It changes the entries and nothing else, and
// may be called as often as one likes.
func (g *Gate) Advance(f Facts) (Verdict, string) {
	for class := ClassPermission; class < classes; class++ {
		done, locking := true, class == ClassLock
		for _, e := range g.of(class) {
			e.advance(f)
			switch e.Status {
			case Refused:
				return Shut, e.line()
			case Expired:
				return TimedOut, e.line()
			case Withdrawn:
				return Superseded, e.line()
			case Waiting, Pending:
				done = false
			}
		}
		if !done && locking {
			return Locking, ""
		}
		if !done {
			return Held, ""
		}
	}
	return Open, ""
}

// of lists the entries of a class in the order of their ids.
func (g *Gate) of(c Class) []*Entry {
	var out []*Entry
	for _, e := range g.Entries {
		if e.Class() == c {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *Entry) int { return strings.Compare(a.Entry, b.Entry) })
	return out
}

// line says which entry ended a stage, and why.
func (e *Entry) line() string { return e.Name() + " of the " + e.Resource.String() + ": " + e.Why }

// advance begins an entry whose class has come, and judges it.
func (e *Entry) advance(f Facts) {
	if e.Status == Pending {
		e.Status, e.Started, e.Deadline = Waiting, f.Now, f.Now.Add(e.Timeout())
		if e.asked() {
			e.Next = f.Now
		}
	}
	if e.Status == Refused || e.Status == Expired || e.Status == Withdrawn || e.Type == ExclusiveLock && e.Status == Passed {
		return
	}
	status, why, next := e.judge(f)
	if status == Waiting && !f.Now.Before(e.Deadline) {
		status, next = Expired, time.Time{}
		if why == "" && e.Type != ExclusiveLock {
			why = "nobody answered"
		}
		why = strings.TrimSuffix("timed out after "+span(e.Timeout())+": "+why, ": ")
	}
	if status == Waiting && (next.IsZero() || next.After(e.Deadline)) && !e.asked() {
		next = e.Deadline
	}
	if status.Over() && !e.Status.Over() {
		e.Finished = f.Now
	}
	if !status.Over() {
		e.Finished = time.Time{}
	}
	e.Status, e.Why, e.Next = status, why, next
}

// judge says what an entry is now. It is not asked about the deadline.
func (e *Entry) judge(f Facts) (Status, string, time.Time) {
	switch e.Type {
	case Permission:
		if f.Permitted[e.Resource.Key()] {
			return Passed, "permitted", time.Time{}
		}
		return Waiting, "the pipeline " + e.Pipeline + " is not permitted to use the " + e.Resource.String(), time.Time{}
	case Approval:
		if e.Status == Passed {
			return Passed, e.Why, time.Time{}
		}
		return e.approve(f.Now)
	case BusinessHours:
		return e.Hours.judge(f.Now)
	case ExclusiveLock:
		return Waiting, e.Why, time.Time{}
	}
	return e.answered()
}

// answered judges by what the outside said last.
func (e *Entry) answered() (Status, string, time.Time) {
	a := e.Answer
	switch {
	case a == nil:
		return Waiting, e.Why, e.Next
	case a.OK && (a.Final || e.again() == 0):
		return Passed, a.Why, time.Time{}
	case a.OK:
		return Passed, a.Why, a.At.Add(e.again())
	case a.Final || e.again() == 0:
		return Refused, a.Why, time.Time{}
	}
	return Waiting, a.Why, a.At.Add(e.again())
}

// Wake returns when the gate is to be looked at again without anybody's doing; zero means
// never.
func (g *Gate) Wake() time.Time {
	var first time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, e := range g.Entries {
		if e.Status == Waiting || e.Status == Passed {
			consider(e.Next)
		}
		if e.Status == Waiting {
			consider(e.Deadline)
		}
	}
	return first
}

// Waits names whom or what an entry waits for, in the order in which they may answer; none
// when it does not wait.
func (e *Entry) Waits(now time.Time) []string {
	if e.Status != Waiting {
		return nil
	}
	switch e.Type {
	case Permission:
		return []string{"role:maintain"}
	case Approval:
		var out []string
		for _, s := range e.Seats {
			if s.Vote == nil {
				out = append(out, s.Who)
			}
		}
		if e.Approval.InSequence && len(out) > 1 {
			out = out[:1]
		}
		return out
	}
	if e.Why != "" {
		return []string{e.Why}
	}
	return []string{e.Name()}
}

// span is a duration in words.
func span(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return plural(int(d/(24*time.Hour)), "day")
	case d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour")
	}
	return plural(int(d/time.Minute), "minute")
}
