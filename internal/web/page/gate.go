package page

import (
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/check"
)

// Seat is the place of one approver, with what he said.
type Seat struct {
	Who, From string
	Vote      *check.Vote
}

// state is where a seat stands, in a word.
func (s Seat) state() (State, string) {
	switch {
	case s.Vote == nil:
		return Held, "is asked"
	case s.Vote.Reject:
		return Shut, "rejected"
	}
	return Open, "approved"
}

// GateAnswer is what somebody, or a check, said about a stage at its gate.
type GateAnswer struct {
	At              time.Time
	Actor           string
	Run             int64
	Stage           string
	Title, Resource string
	Said, Why       string // "approved", "rejected", "passed", …
	Decided         bool   // the check ended with it
}

// state is how the answer is drawn.
func (a GateAnswer) state() State {
	switch a.Said {
	case "approved", "passed":
		return Open
	case "rejected", "refused", "expired":
		return Shut
	}
	return Note
}

// GatesView is the page of all checks of a project.
type GatesView struct {
	Holds        []Hold
	Checks       []check.Definition
	Answers      []GateAnswer
	Environments []string
	Maintain     bool
}

// ResourceView is the page of one resource of pipelines.
type ResourceView struct {
	Resource  check.Resource
	Checks    []check.Definition
	Access    check.Access
	Pipelines []string // that could be permitted
	Maintain  bool
	Add       check.Type // whose form is open
}

func (s Shell) resourceHref(r check.Resource) string {
	return s.At("/resources/" + string(r.Kind) + "/" + Esc(r.Name))
}

// kindsOfResources are the words for resources, as people say them.
func resourceWord(k check.Kind) string {
	switch k {
	case check.Environment:
		return "Environment"
	case check.Connection:
		return "Service connection"
	case check.Group:
		return "Variable group"
	case check.File:
		return "Secure file"
	case check.Repository:
		return "Repository"
	case check.Pool:
		return "Agent pool"
	}
	return string(k)
}

// checkKinds are the types that can be added, with what they are for.
var checkKinds = []struct {
	Type       check.Type
	Text, Note string
}{
	{check.Approval, "Approval", "somebody says yes"},
	{check.BranchControl, "Branch control", "the branches that a run is made of"},
	{check.EvaluateArtifact, "Evaluate artifact", "signed, scanned, nothing critical"},
	{check.RequiredTemplate, "Required template", "what the pipeline extends"},
	{check.BusinessHours, "Business hours", "when a stage may start"},
	{check.REST, "Invoke REST API", "what another service answers"},
	{check.Alerts, "Query alerts", "nothing fires"},
	{check.ExclusiveLock, "Exclusive lock", "one run at a time"},
}

// checkWords say what a check asks for.
func checkWords(d check.Definition) string {
	switch {
	case d.Approval != nil:
		return approvalWords(d.Approval)
	case d.Branches != nil:
		words := "only " + strings.Join(d.Branches.Allowed, ", ")
		if d.Branches.Protected {
			words += ", protected"
		}
		return words
	case d.Template != nil:
		var list []string
		for _, t := range d.Template.Templates {
			list = append(list, t.Path+" of "+t.Repo+" at "+t.Ref)
		}
		return "extends " + strings.Join(list, ", or ")
	case d.Artifact != nil:
		return artifactWords(d.Artifact)
	case d.Hours != nil:
		return strings.Join(d.Hours.Days, ", ") + " from " + d.Hours.Start + " to " + d.Hours.End + ", " + d.Hours.Zone
	case d.REST != nil:
		words := orWord(d.REST.Method, "POST") + " " + d.REST.URL
		if d.REST.Success != "" {
			words += ", passes when " + d.REST.Success
		}
		return words
	case d.Alerts != nil:
		return "no alert of " + d.Alerts.Severity + " or worse fires in " + orWord(d.Alerts.Environment, "the environment")
	case d.Type == check.ExclusiveLock:
		return "one run at a time"
	}
	return string(d.Type)
}

func approvalWords(a *check.ApprovalRule) string {
	words := strings.Join(a.Approvers, ", ")
	switch {
	case a.Minimum > 0 && a.Minimum < len(a.Approvers):
		words = strconv.Itoa(a.Minimum) + " of " + words
	case len(a.Approvers) > 1:
		words = "all of " + words
	}
	if a.InSequence {
		words += ", in this order"
	}
	if a.RequesterCannotApprove {
		words += ", but not who started the run"
	}
	switch a.Moment {
	case check.Before:
		words += "; before the other checks"
	case check.After:
		words += "; after the other checks"
	}
	return words
}

func artifactWords(a *check.ArtifactRule) string {
	var words []string
	for _, one := range []struct {
		on   bool
		word string
	}{{a.Signed, "signed"}, {a.Scanned, "scanned"}, {a.Provenance, "with provenance"}, {a.NoCritical, "nothing critical"}, {a.Expression != "", a.Expression}} {
		if one.on {
			words = append(words, one.word)
		}
	}
	return "every image of the run: " + strings.Join(words, ", ")
}

// waitWords say how long a check waits.
func waitWords(minutes int) string {
	if minutes == 0 {
		minutes = check.DefaultTimeout
	}
	switch {
	case minutes%1440 == 0:
		return Plural(minutes/1440, "day", "days")
	case minutes%60 == 0:
		return Plural(minutes/60, "hour", "hours")
	}
	return Plural(minutes, "minute", "minutes")
}

// statusOf is how a check at a gate is drawn.
func (h Hold) state() (State, string) {
	switch check.Status(h.Status) {
	case check.Passed:
		return Open, "passed"
	case check.Refused:
		return Shut, "refused"
	case check.Expired:
		return Shut, "timed out"
	case check.Withdrawn:
		return Wait, "withdrawn"
	case check.Waiting:
		return Held, "waits"
	}
	return Wait, "not asked yet"
}

// waitedWords say how long a check waited, "–" while it does.
func waitedWords(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "–"
	}
	return Took(to.Sub(from))
}

// itself is the page of a resource, "" when it has none but its checks.
func (s Shell) itself(r check.Resource) string {
	switch r.Kind {
	case check.Environment:
		return s.At("/environments/" + Esc(r.Name))
	case check.Repository:
		return s.At("/code/" + Esc(r.Name))
	case check.Group:
		return s.At("/library/groups/" + Esc(r.Name))
	case check.Connection:
		return s.At("/library/connections/" + Esc(r.Name))
	case check.File:
		return s.At("/library")
	case check.Pool:
		return s.At("/agents")
	}
	return ""
}
