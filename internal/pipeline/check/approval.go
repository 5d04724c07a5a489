package check

import (
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// The moments at which an approval is asked for; the empty one is together with the
// dynamic checks.
const (
	Before = "before" // before the dynamic checks
	After  = "after"  // after them
)

// ApprovalRule is who has to say yes (C001).
type ApprovalRule struct {
	// Approvers are "user:ada" and groups, "role:maintain": whoever has that role in the
	// project, or a higher one. A group counts once, whoever of it answers.
	Approvers []string `json:"approvers"`
	// Minimum is how many of the approvers must say yes; 0 means all of them.
	Minimum int `json:"minimum,omitempty"`
	// InSequence has them answer in the order of the list.
	InSequence bool `json:"inSequence,omitempty"`
	// RequesterCannotApprove bars who started the run.
	RequesterCannotApprove bool   `json:"requesterCannotApprove,omitempty"`
	Instructions           string `json:"instructions,omitempty"`
	Moment                 string `json:"moment,omitempty"` // Before, After or ""
}

func (r *ApprovalRule) check() error {
	switch {
	case len(r.Approvers) == 0 || len(r.Approvers) > maxList:
		return fault.New(fault.Invalid, "An approval has 1 to %d approvers.", maxList)
	case r.Minimum < 0 || r.Minimum > len(r.Approvers):
		return fault.New(fault.Invalid, "An approval with %d approvers cannot need %d of them.", len(r.Approvers), r.Minimum)
	case len(r.Instructions) > maxText:
		return fault.New(fault.Invalid, "Instructions have at most %d bytes.", maxText)
	case r.Moment != "" && r.Moment != Before && r.Moment != After:
		return fault.New(fault.Invalid, "%q is no moment: use before, after or nothing.", clip(r.Moment))
	}
	for i, who := range r.Approvers {
		if err := checkApprover(who); err != nil {
			return err
		}
		if slices.Contains(r.Approvers[:i], who) {
			return fault.New(fault.Invalid, "%s is named twice.", clip(who))
		}
	}
	return nil
}

// needed is how many of the seats must say yes.
func (r *ApprovalRule) needed() int {
	if r.Minimum > 0 {
		return r.Minimum
	}
	return len(r.Approvers)
}

// Seat is the place of one approver of an entry. The seats are made when the stage comes to
// the gate (C002).
type Seat struct {
	Who  string `json:"who"`            // "user:ada", "role:maintain"
	From string `json:"from,omitempty"` // who had it before it was reassigned
	Vote *Vote  `json:"vote,omitempty"`
}

// Vote is what somebody said.
type Vote struct {
	By      string    `json:"by"` // user
	Reject  bool      `json:"reject,omitempty"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
	// Until defers an approval: it counts from then on.
	Until time.Time `json:"until,omitzero"`
}

// Voter is somebody who answers.
type Voter struct {
	Name string // of the user
	// Has reports whether the user has a role in the project now.
	Has func(identity.Role) bool
}

// holds reports whether a seat is the voter's.
func (v Voter) holds(s Seat) bool {
	kind, name, _ := strings.Cut(s.Who, ":")
	if kind == identity.KindUser {
		return name == v.Name
	}
	role, ok := identity.ParseRole(name)
	return ok && v.Has(role)
}

// open reports whether a seat can still be voted from at a time: nobody has, or a deferred
// approval does not count yet.
func (s Seat) open(now time.Time) bool { return s.Vote == nil || s.Vote.Until.After(now) }

// seatOf finds the seat from which the voter answers: one in his own name before one of a
// group. The error says why there is none.
func (e *Entry) seatOf(v Voter, now time.Time) (*Seat, error) {
	if e.Status != Waiting || e.Type != Approval {
		return nil, fault.New(fault.Conflict, "%s of the %s waits for nobody's answer: it is %s.", e.Name(), e.Resource, e.Status)
	}
	var own, group, later *Seat
	first := true
	for i := range e.Seats {
		s := &e.Seats[i]
		if s.Vote != nil {
			if s.Vote.By == v.Name && s.open(now) {
				return s, nil
			}
			if s.Vote.By == v.Name {
				return nil, fault.New(fault.Conflict, "You have answered already; one person counts once.")
			}
			continue
		}
		switch turn := first || !e.Approval.InSequence; {
		case !v.holds(*s):
		case !turn:
			later = s
		case own == nil && s.Who == identity.KindUser+":"+v.Name:
			own = s
		case group == nil:
			group = s
		}
		first = false
	}
	switch {
	case own != nil:
		return own, nil
	case group != nil:
		return group, nil
	case later != nil:
		return nil, fault.New(fault.Conflict, "It is not your turn: %s answers first.", strings.Join(e.Waits(now), ", "))
	}
	return nil, fault.New(fault.Denied, "%s of the %s does not wait for %s; it waits for %s.", e.Name(), e.Resource, v.Name, strings.Join(e.Waits(now), ", ")).
		WithNext("ask one of them, or have it reassigned to you")
}

// May reports whether the voter could answer an approval now.
func (e *Entry) May(v Voter, now time.Time) bool {
	if e.Type != Approval || e.Status != Waiting || e.Approval.RequesterCannotApprove && strings.EqualFold(v.Name, e.Requester) {
		return false
	}
	_, err := e.seatOf(v, now)
	return err == nil
}

// Decider is the user whose answer was the last one, "" when nobody answered.
func (e *Entry) Decider() string {
	var last *Vote
	for i := range e.Seats {
		if v := e.Seats[i].Vote; v != nil && (last == nil || v.At.After(last.At)) {
			last = v
		}
	}
	if last == nil {
		return ""
	}
	return last.By
}

// Approve notes the voter's yes, which counts from until on when that is later than now.
func (e *Entry) Approve(v Voter, now, until time.Time, comment string) error {
	return e.vote(v, now, Vote{By: v.Name, Comment: comment, At: now, Until: until})
}

// Reject notes the voter's no, which ends the stage.
func (e *Entry) Reject(v Voter, now time.Time, comment string) error {
	return e.vote(v, now, Vote{By: v.Name, Reject: true, Comment: comment, At: now})
}

func (e *Entry) vote(v Voter, now time.Time, vote Vote) error {
	s, err := e.seatOf(v, now)
	if err != nil {
		return err
	}
	if e.Approval.RequesterCannotApprove && strings.EqualFold(v.Name, e.Requester) {
		return fault.New(fault.Denied, "Run %d was started by you, and %s of the %s does not let the requester answer.", e.Run, e.Name(), e.Resource).
			WithNext("ask another approver: %s", strings.Join(e.Waits(now), ", "))
	}
	if len(vote.Comment) > maxText {
		return fault.New(fault.Invalid, "A comment has at most %d bytes.", maxText)
	}
	if !vote.Until.IsZero() {
		if !vote.Until.After(now) {
			return fault.New(fault.Invalid, "An approval can be deferred only to a time to come.")
		}
		if vote.Until.After(e.Deadline) {
			return fault.New(fault.Invalid, "The check ends at %s; an approval cannot be deferred beyond that.", stamp(e.Deadline))
		}
	}
	s.Vote = &vote
	return nil
}

// Reassign gives the seat of from ("user:ada", "role:maintain"; "" means the voter's own) to
// another user. Who has the seat may, if it is in his own name; owner says that the voter
// administers the project, who may give away any.
func (e *Entry) Reassign(v Voter, owner bool, from, to string, now time.Time) error {
	if e.Status != Waiting || e.Type != Approval {
		return fault.New(fault.Conflict, "%s of the %s waits for nobody's answer: it is %s.", e.Name(), e.Resource, e.Status)
	}
	own := identity.KindUser + ":" + v.Name
	if from == "" {
		from = own
	}
	if from != own && !owner {
		return fault.New(fault.Denied, "Only %s, or an administrator of the project, gives this answer to somebody else.", clip(from))
	}
	i := slices.IndexFunc(e.Seats, func(s Seat) bool { return s.Who == from && s.open(now) })
	if i < 0 {
		return fault.New(fault.NotFound, "%s of the %s does not wait for %s.", e.Name(), e.Resource, clip(from))
	}
	to = strings.TrimPrefix(to, identity.KindUser+":")
	if err := identity.CheckUserName(to); err != nil {
		return err
	}
	to = identity.KindUser + ":" + to
	if slices.ContainsFunc(e.Seats, func(s Seat) bool { return s.Who == to || s.Vote != nil && identity.KindUser+":"+s.Vote.By == to }) {
		return fault.New(fault.Conflict, "%s is among the approvers already.", to)
	}
	if e.Approval.RequesterCannotApprove && strings.EqualFold(to, identity.KindUser+":"+e.Requester) {
		return fault.New(fault.Denied, "%s started the run and cannot approve it.", to)
	}
	e.Seats[i] = Seat{Who: to, From: e.Seats[i].Who}
	return nil
}

// approve judges an approval at a time: the status, why, and when to look again.
func (e *Entry) approve(now time.Time) (Status, string, time.Time) {
	yes := 0
	var names []string
	var next time.Time
	for _, s := range e.Seats {
		switch {
		case s.Vote == nil:
		case s.Vote.Reject:
			return Refused, said("rejected by "+s.Vote.By, s.Vote.Comment), time.Time{}
		case s.Vote.Until.After(now):
			if next.IsZero() || s.Vote.Until.Before(next) {
				next = s.Vote.Until
			}
		default:
			yes++
			names = append(names, s.Vote.By)
		}
	}
	if yes >= e.Approval.needed() {
		return Passed, "approved by " + strings.Join(names, ", "), time.Time{}
	}
	if !next.IsZero() {
		return Waiting, "deferred until " + stamp(next), next
	}
	return Waiting, "", time.Time{}
}

func said(what, comment string) string {
	if comment == "" {
		return what
	}
	return what + ": " + firstLine(comment)
}

// firstLine is the first line of a text, shortened.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "?") + "…"
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
