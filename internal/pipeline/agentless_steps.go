package pipeline

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// perform does what the task of a step does now. No result means that it goes on; the time
// of the next look is set then.
func (t *serverTurn) perform(st *protocol.Step) (plan.Result, string, error) {
	task, _, _ := strings.Cut(strings.ToLower(st.Task), "@")
	switch task {
	case "delay":
		result, why := t.delay(st)
		return result, why, nil
	case "manualvalidation":
		return t.validation(st)
	case "invokerestapi":
		return t.rest(st)
	}
	return plan.Failed, "the task " + st.Task + " needs an agent, and this job has none", nil
}

// input is an input of a step with its macros expanded.
func (t *serverTurn) input(st *protocol.Step, name string) string {
	values := plan.Values{}
	for _, v := range t.job.Variables {
		values.Set(v)
	}
	return strings.TrimSpace(expr.ExpandMacros(inputOf(st.Inputs, name), values.Lookup))
}

// maxDelay bounds Delay@1: the service's limit of two months.
const maxDelay = 86400

// delay is Delay@1.
func (t *serverTurn) delay(st *protocol.Step) (plan.Result, string) {
	text := t.input(st, "delayForMinutes")
	minutes, err := strconv.Atoi(text)
	if err != nil || minutes < 0 || minutes > maxDelay {
		return plan.Failed, fmt.Sprintf("delayForMinutes is %q; write a whole number of minutes, at most %d", text, maxDelay)
	}
	until := t.state.Begun.Add(time.Duration(minutes) * time.Minute)
	if limit := t.state.Until; !limit.IsZero() && limit.Before(until) && !t.now.Before(limit) {
		return plan.Failed, fmt.Sprintf("the step ran longer than its time-out of %d minutes", st.TimeoutMinutes)
	}
	if !t.now.Before(until) {
		t.print(st, "Waited until "+until.UTC().Format(time.RFC3339))
		return plan.Succeeded, ""
	}
	if t.state.Begun.Equal(t.now) {
		t.print(st, fmt.Sprintf("Waiting for %d minutes", minutes))
	}
	if limit := t.state.Until; !limit.IsZero() && limit.Before(until) {
		until = limit
	}
	t.sleep(until)
	return "", ""
}

// validation is ManualValidation@1: an approval in the middle of a pipeline (C015). It is
// answered where the approvals of checks are.
func (t *serverTurn) validation(st *protocol.Step) (plan.Result, string, error) {
	if t.state.Entry == "" {
		return t.askPeople(st)
	}
	e, err := loadEntry(t.ctx, t.tx, t.state.Entry)
	if err != nil {
		return "", "", err
	}
	if e == nil {
		return plan.Failed, "the question is gone", nil
	}
	before := e.Status
	gate := check.Gate{Entries: []*check.Entry{e}}
	verdict, _ := gate.Advance(check.Facts{Now: t.now})
	switch verdict {
	case check.Open:
		t.print(st, "Resumed: "+e.Why)
		return plan.Succeeded, "", t.tellEntry(e, before)
	case check.TimedOut:
		if err := t.tellEntry(e, before); err != nil {
			return "", "", err
		}
		if strings.EqualFold(t.input(st, "onTimeout"), "resume") {
			t.print(st, "Nobody answered in time; onTimeout says resume")
			return plan.Succeeded, "", nil
		}
		return plan.Failed, "nobody answered in time, and onTimeout says reject", nil
	case check.Shut:
		return plan.Failed, e.Why, t.tellEntry(e, before)
	case check.Superseded:
		return plan.Canceled, e.Why, nil
	}
	// An answer brings the job on at once, and its time-out when it comes.
	t.sleep(earliest(gate.Wake(), e.Deadline, t.now.Add(time.Second)))
	return "", "", nil
}

func earliest(list ...time.Time) time.Time {
	var first time.Time
	for _, one := range list {
		if !one.IsZero() && (first.IsZero() || one.Before(first)) {
			first = one
		}
	}
	return first
}

// askPeople makes the entry of a validation.
func (t *serverTurn) askPeople(st *protocol.Step) (plan.Result, string, error) {
	approvers, why := people(t.input(st, "approvers"))
	told, whyTold := people(t.input(st, "notifyUsers"))
	if why = firstOf(why, whyTold); why != "" {
		return plan.Failed, why, nil
	}
	for _, who := range append(told, approvers...) {
		name, ok := strings.CutPrefix(who, identity.KindUser+":")
		if ok && t.s.auth.Require(t.ctx, identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin}, t.run.Project, identity.Read) != nil {
			return plan.Failed, fmt.Sprintf("%s is no member of the project %s", name, t.run.Project), nil
		}
	}
	// Without approvers whoever may start the pipeline answers, as in the service.
	named := len(approvers) > 0
	if !named {
		approvers = []string{"role:write"}
	}
	allowed, _ := plan.ParseBoolean(t.input(st, "allowApproversToApproveTheirOwnRuns"))
	e := check.NewEntry(t.s.clock.NewID(), check.Definition{
		Type: check.Approval, Title: st.DisplayName, Resource: check.Resource{Kind: check.Job, Project: t.run.Project, Name: t.row.path()},
		Approval: &check.ApprovalRule{Approvers: approvers, Minimum: 1, Instructions: clipText(t.input(st, "instructions"), 4000), RequesterCannotApprove: named && !allowed},
	})
	e.Run, e.Stage, e.Requester, e.Pipeline = t.run.Number, t.row.stage, t.run.Requester, t.run.Repo
	if err := t.tx.QueryRow(t.ctx, `SELECT attempt FROM pipeline_stage WHERE run = ? AND name = ?`, t.row.run, t.row.stage).Scan(&e.Attempt); err != nil {
		return "", "", fmt.Errorf("reading stage %s: %w", t.row.stage, err)
	}
	e.Status, e.Started, e.Deadline = check.Waiting, t.now, earliest(t.state.Until, t.deadline())
	if e.Deadline.IsZero() {
		e.Deadline = t.now.Add(check.DefaultTimeout * time.Minute)
	}
	t.state.Entry = e.Entry
	if err := t.insertEntry(e); err != nil {
		return "", "", err
	}
	t.facts = append(t.facts, t.checkFact(event.TypeCheckHeld, &stageRow{name: t.row.stage}, e, ""))
	t.print(st, "Waiting for "+strings.Join(e.Waits(t.now), ", ")+": towpath approval approve "+e.Entry)
	if len(told) > 0 {
		t.print(st, "Asked to look at it: "+strings.Join(told, ", "))
	}
	if err := t.tellLater(e, told); err != nil {
		return "", "", err
	}
	t.sleep(t.now.Add(time.Second))
	return "", "", nil
}

// tellEntry writes an entry and tells the logbook how it was decided.
func (t *serverTurn) tellEntry(e *check.Entry, before check.Status) error {
	return t.saveEntry(&stageRow{name: t.row.stage}, e, before)
}

// people reads a list of users and roles, on lines or between commas: "ada", "user:ada",
// "role:maintain".
func people(text string) (out []string, why string) {
	for _, who := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == '\n' || r == '\r' }) {
		who = strings.TrimSpace(who)
		if who == "" {
			continue
		}
		kind, name, ok := strings.Cut(who, ":")
		if !ok {
			kind, name = identity.KindUser, who
		}
		_, role := identity.ParseRole(name)
		switch {
		case kind == "role" && role:
		case kind == identity.KindUser && identity.CheckUserName(name) == nil:
		default:
			return nil, fmt.Sprintf("%q is neither a user nor a role; write ada or role:maintain", clip(who))
		}
		out = append(out, kind+":"+name)
	}
	if len(out) > 50 {
		return nil, "more than 50 people are named"
	}
	return out, ""
}

func clipText(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "?") }
