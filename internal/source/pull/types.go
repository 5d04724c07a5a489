package pull

import "time"

// States of a pull request.
const (
	Open   = "open"
	Merged = "merged"
	Closed = "closed"
)

// Methods of a merge.
const (
	MethodMerge  = "merge"  // a commit with two parents
	MethodSquash = "squash" // one commit
	MethodRebase = "rebase" // each commit again, on top of the target
	// MethodPush stands in pull requests whose head came into the target by a push.
	MethodPush = "push"
)

// Pull is a pull request.
type Pull struct {
	Repo   string `json:"repo"`   // "project/repo"
	Number int64  `json:"number"` // in the repository, from 1
	Title  string `json:"title"`
	Body   string `json:"body,omitempty"` // Markdown
	Author string `json:"author"`         // user name
	Source string `json:"source"`         // branch: "fix"
	Target string `json:"target"`         // branch: "main"
	Draft  bool   `json:"draft"`
	State  string `json:"state"` // open, merged, closed

	Head      string   `json:"head"`                // commit that is proposed; of an ended one the last
	Base      string   `json:"base"`                // merge base of head and target, "" when they share nothing
	Tip       string   `json:"tip"`                 // commit of the target branch when it was last looked at
	Test      string   `json:"test,omitempty"`      // test merge, what refs/pull/N/merge points to; "" with conflicts
	Conflicts []string `json:"conflicts,omitempty"` // paths that cannot be merged, at most 100
	Pusher    string   `json:"pusher"`              // actor who pushed the head: "user:ada"

	Reviewers []Reviewer `json:"reviewers,omitempty"` // who was asked
	Comments  int        `json:"comments"`            // of the conversation and the threads
	Threads   int        `json:"threads"`             // not resolved

	Opened  time.Time `json:"opened"`
	Updated time.Time `json:"updated"`
	Moved   time.Time `json:"moved"` // when the head or the target branch was last another one

	Ended   time.Time `json:"ended,omitzero"`     // merged or closed
	EndedBy string    `json:"ended_by,omitempty"` // actor
	Method  string    `json:"method,omitempty"`   // of a merge
	Result  string    `json:"result,omitempty"`   // of a merge: what the target points to since

	// Notice says what did not work beside a call that succeeded, such as deleting the
	// source branch after a merge.
	Notice string `json:"notice,omitempty"`
}

// Reviewer is somebody who was asked to review.
type Reviewer struct {
	User  string `json:"user"`
	Owner bool   `json:"owner"` // asked because CODEOWNERS names him
}

// Proposal opens a pull request. Title is needed; the title of the newest commit is a
// good one.
type Proposal struct {
	Title     string   `json:"title"`
	Body      string   `json:"body,omitempty"`
	Source    string   `json:"source"` // branch
	Target    string   `json:"target"` // branch; "" is the default branch
	Draft     bool     `json:"draft,omitempty"`
	Reviewers []string `json:"reviewers,omitempty"` // users
}

// Edit changes a pull request; nil leaves a thing as it is.
type Edit struct {
	Title  *string `json:"title,omitempty"`
	Body   *string `json:"body,omitempty"`
	Target *string `json:"target,omitempty"` // branch
	Draft  *bool   `json:"draft,omitempty"`
}

// Filter selects pull requests; zero fields select everything.
type Filter struct {
	Repo     string `json:"repo,omitempty"`     // "project/repo"; "" is every repository of the project
	State    string `json:"state,omitempty"`    // open, merged, closed, all; "" means open
	Author   string `json:"author,omitempty"`   // user
	Reviewer string `json:"reviewer,omitempty"` // user who was asked and has not reviewed this head
	Head     string `json:"head,omitempty"`     // commit
	Text     string `json:"text,omitempty"`     // in title, body or source branch, any case; "#7" finds the number
	Limit    int    `json:"limit,omitempty"`    // at most so many, the newest first; 0 means 50, the most is 200
	Skip     int    `json:"skip,omitempty"`
}

// Verdicts of reviews.
const (
	Approved  = "approved"
	Changes   = "changes-requested"
	Commented = "comment"
)

// Judgement is a review as somebody gives it.
type Judgement struct {
	Verdict string `json:"verdict"` // approved, changes-requested, comment
	Body    string `json:"body,omitempty"`
	// Commit is the head that was looked at. When the head is another one by now, an
	// approval is fault.Conflict. "" takes the head as it is.
	Commit string `json:"commit,omitempty"`
}

// Review is what a person said about one head.
type Review struct {
	ID       string    `json:"id"`
	Reviewer string    `json:"reviewer"` // user
	Verdict  string    `json:"verdict"`  // approved, changes-requested, comment
	Body     string    `json:"body,omitempty"`
	Commit   string    `json:"commit"` // head that was judged
	Base     string    `json:"base"`
	Target   string    `json:"target"` // branch
	Time     time.Time `json:"time"`

	// Counts says that it is the reviewer's last word and weighs at the gate now; Why not
	// when it does not: "stale: 3 commits were pushed since".
	Counts bool   `json:"counts"`
	Why    string `json:"why,omitempty"`

	Dismissed   time.Time `json:"dismissed,omitzero"`
	DismissedBy string    `json:"dismissed_by,omitempty"` // actor
	Reason      string    `json:"reason,omitempty"`       // of the dismissal
}

// Sides of a diff.
const (
	SideNew = "new" // a line of the head
	SideOld = "old" // a line of the base
)

// Remark is a comment as somebody makes it. Without a path it belongs to the
// conversation.
type Remark struct {
	Body string `json:"body"`
	Path string `json:"path,omitempty"`
	Side string `json:"side,omitempty"` // "" means new
	Line int    `json:"line,omitempty"` // from 1
	// Commit is the head that was looked at, to which the line belongs; "" takes the head
	// as it is.
	Commit string `json:"commit,omitempty"`
}

// Thread is a conversation: on a line, or (Path is "") one comment on the whole.
type Thread struct {
	ID       string     `json:"id"`
	Path     string     `json:"path,omitempty"`
	Side     string     `json:"side,omitempty"`
	Line     int        `json:"line,omitempty"`    // in Commit
	Commit   string     `json:"commit,omitempty"`  // the line is one of this commit
	Context  []string   `json:"context,omitempty"` // the line and up to three before it, as they were
	Created  time.Time  `json:"created"`
	Comments []Comment  `json:"comments"`
	Resolved *Resolving `json:"resolved,omitempty"`

	// Where the line is in the head (side new) or base (side old) of today; Outdated says
	// that it is gone.
	Now      Place `json:"now,omitzero"`
	Outdated bool  `json:"outdated"`
}

// Place is a line of a file.
type Place struct {
	Path string `json:"path"`
	Line int    `json:"line"`
}

// Resolving says who ended a thread, and when.
type Resolving struct {
	By   string    `json:"by"` // user
	Time time.Time `json:"time"`
}

// Comment is one contribution to a thread.
type Comment struct {
	ID     string    `json:"id"`
	Author string    `json:"author"` // actor: "user:ada"
	Body   string    `json:"body"`   // Markdown
	Time   time.Time `json:"time"`
	Edited time.Time `json:"edited,omitzero"`
}

// Kinds of entries in a timeline.
const (
	EntryOpened    = "opened"
	EntryCommits   = "commits" // the head moved: From, To
	EntryTarget    = "target"  // From, To are branches
	EntryTitle     = "title"   // From, To
	EntryReady     = "ready"
	EntryDraft     = "draft"
	EntryRequested = "requested" // To is the user
	EntryReview    = "review"
	EntryDismissed = "dismissed" // Text is the reason, To the reviewer
	EntryComment   = "comment"   // a thread
	EntryClosed    = "closed"
	EntryReopened  = "reopened"
	EntryMerged    = "merged" // To is the commit
)

// Entry is one thing in the timeline of a pull request.
type Entry struct {
	Kind   string    `json:"kind"`
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"` // "user:ada"
	From   string    `json:"from,omitempty"`
	To     string    `json:"to,omitempty"`
	Text   string    `json:"text,omitempty"`
	Count  int       `json:"count,omitempty"` // of approvals that became stale
	Review *Review   `json:"review,omitempty"`
	Thread *Thread   `json:"thread,omitempty"`
}

// Kinds of blocks.
const (
	BlockClosed   = "closed"
	BlockDraft    = "draft"
	BlockConflict = "conflict"
	BlockReview   = "review"
	BlockChanges  = "changes-requested"
	BlockOwner    = "code-owner"
	BlockCheck    = "check"
	BlockThread   = "thread"
	BlockItem     = "item"
	BlockRuleset  = "ruleset"
)

// Block is one thing that keeps a pull request from being merged.
type Block struct {
	Kind string `json:"kind"`
	What string `json:"what"` // "1 of 2 approvals"
	Why  string `json:"why"`  // "the ruleset main-is-protected demands them"
	Next string `json:"next"` // the next step
	// Who can release it: "user:ada", "role:write", "system:policy"; at most 20.
	Who []string `json:"who,omitempty"`
	// Since when it stands.
	Since time.Time `json:"since,omitzero"`
	// Name is the required check's name, or the path of a thread or of an owned file.
	Name string `json:"name,omitempty"`
	// Waiting says that something is under way that may release it by itself, such as a
	// check that runs: held rather than shut.
	Waiting bool `json:"waiting,omitempty"`
}

// Gate is everything that stands between a pull request and its merge, for one actor.
type Gate struct {
	Allowed bool    `json:"allowed"` // there is no block and the actor may merge
	Blocks  []Block `json:"blocks,omitempty"`
	// May says that the actor holds the role write, without which nobody merges.
	May bool `json:"may"`
	// Bypass says that a ruleset lets the actor merge in spite of its blocks, when Merge
	// asks for it. Drafts, conflicts and closed pull requests are never merged.
	Bypass bool `json:"bypass"`

	Head     string   `json:"head"`    // what was judged
	Methods  []string `json:"methods"` // that are allowed, the default first
	Approved []string `json:"approved,omitempty"`
	Needed   int      `json:"needed"`             // approvals
	Checks   []Needed `json:"checks,omitempty"`   // that are required
	Rulesets []string `json:"rulesets,omitempty"` // that apply
	Owners   []Owned  `json:"owners,omitempty"`   // changed paths with owners, by rule
}

// Needed is a required check with what was reported.
type Needed struct {
	Name   string `json:"name"`
	Source string `json:"source,omitempty"` // pinned
	State  string `json:"state,omitempty"`  // "" when nobody reported it
	By     string `json:"by,omitempty"`     // who reported it
	OK     bool   `json:"ok"`
}

// Owned are the changed paths that one rule of CODEOWNERS gives to its owners.
type Owned struct {
	Pattern  string   `json:"pattern"`
	Line     int      `json:"line"`
	Owners   []string `json:"owners"` // without "@"
	Paths    []string `json:"paths"`  // at most 20
	Count    int      `json:"count"`  // of all paths
	Approved string   `json:"approved,omitempty"`
}

// Merge says how a pull request is merged.
type Merge struct {
	Method string `json:"method,omitempty"` // merge, squash, rebase; "" takes the first that is allowed
	// Expect is the head that was looked at; fault.Conflict when it is another one by now.
	// "" takes the head as it is.
	Expect  string `json:"expect,omitempty"`
	Message string `json:"message,omitempty"` // of the merge or squash commit; "" makes one
	// Bypass merges in spite of blocks, where a ruleset lets the actor.
	Bypass       bool `json:"bypass,omitempty"`
	DeleteSource bool `json:"delete_source,omitempty"` // the source branch, afterwards
}

// States of checks.
const (
	Queued  = "queued"
	Running = "running"
	Success = "success"
	Failure = "failure"
	Error   = "error"   // it could not be judged
	Neutral = "neutral" // it has nothing to say; counts as success
)

// Check is what one source reports about a commit. The newest of a commit, name and
// source counts.
type Check struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Title   string `json:"title,omitempty"`
	Summary string `json:"summary,omitempty"` // Markdown
	URL     string `json:"url,omitempty"`     // http, https, or a path of this installation

	Annotations []Annotation `json:"annotations,omitempty"` // at most 1,000 are kept
	Count       int          `json:"count"`                 // of annotations that were reported

	// Set by Report.
	Commit string    `json:"commit"`
	Source string    `json:"source"` // actor who reported it: "system:policy"
	Began  time.Time `json:"began"`  // when it was first reported in this round
	Time   time.Time `json:"time"`   // when it was last reported
}

// Final reports whether the check has ended.
func (c Check) Final() bool { return c.State != Queued && c.State != Running }

// OK reports whether the check lets a merge pass.
func (c Check) OK() bool { return c.State == Success || c.State == Neutral }

// Levels of annotations.
const (
	LevelFailure = "failure"
	LevelWarning = "warning"
	LevelNotice  = "notice"
)

// Annotation is a check's word on lines of a file.
type Annotation struct {
	Path      string `json:"path"`
	StartLine int    `json:"start_line,omitempty"` // from 1; 0 is the whole file
	EndLine   int    `json:"end_line,omitempty"`
	Level     string `json:"level"`
	Title     string `json:"title,omitempty"`
	Message   string `json:"message"`
	Fix       string `json:"fix,omitempty"`
	Rule      string `json:"rule,omitempty"`
}
