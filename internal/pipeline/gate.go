package pipeline

import (
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// How far a stage is at its gate. The empty word means that it has not come there, or that
// nothing stood there.
const (
	gateHeld = "held"
	gateOpen = "open"
	gateShut = "shut" // it ended the stage
)

// The lock behaviours (X027).
const (
	runLatest  = "runLatest"
	sequential = "sequential"
)

// enter brings a stage to its gate: everything that stands there is written down as it is
// now. A stage that uses nothing with a check goes straight through.
func (sc *schedule) enter(row *stageRow) error {
	p := sc.run.plan
	stage := p.Stage(row.name)
	refused, err := sc.undeployed(stage)
	if err != nil {
		return err
	}
	uses := check.Of(p, stage, sc.run.Repo, func(job *plan.Job) bool { return refused[job.Name] == "" })
	if len(uses.Unresolved) > 0 {
		return sc.finishStage(row, plan.Failed, fmt.Sprintf("The %s is not known before the job runs, so nobody can say whether the stage may use it; write the name itself", uses.Unresolved[0]))
	}
	entries, err := sc.entries(row, stage, uses.Resources)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		row.gate = gateOpen
		return nil
	}
	for _, e := range entries {
		if err := sc.insertEntry(e); err != nil {
			return err
		}
	}
	row.gate, row.held = gateHeld, sc.now
	return sc.judge(row, entries)
}

// entries makes what stands at the gate of a stage.
func (sc *schedule) entries(row *stageRow, stage *plan.Stage, resources []check.Resource) ([]*check.Entry, error) {
	definitions, err := sc.s.checks.On(sc.ctx, sc.tx, resources)
	if err != nil {
		return nil, err
	}
	for _, r := range resources {
		ok, err := sc.s.checks.Permitted(sc.ctx, sc.tx, r, sc.run.Key())
		if err != nil {
			return nil, err
		}
		if !ok {
			definitions = append(definitions, check.Definition{Resource: r, Type: check.Permission})
		}
	}
	own := check.Resource{Kind: check.Stage, Project: sc.run.Project, Name: strings.TrimPrefix(sc.run.Repo, sc.run.Project+"/") + "/" + sc.run.File + "#" + stage.Name}
	if stage.LockBehavior != "" && stage.Name != plan.ImplicitStage {
		definitions = append(definitions, check.Definition{Resource: own, Type: check.ExclusiveLock, Title: "Lock of the stage"})
	}
	behavior := firstOf(stage.LockBehavior, sc.run.plan.LockBehavior, runLatest)
	out := make([]*check.Entry, len(definitions))
	for i, d := range definitions {
		e := check.NewEntry(sc.s.clock.NewID(), d)
		e.Run, e.Stage, e.Attempt, e.Requester, e.Pipeline = sc.run.Number, row.name, row.attempt, sc.run.Requester, sc.run.Key()
		if d.Type == check.ExclusiveLock {
			e.LockBehavior = behavior
		}
		if d.Resource.Kind == check.Stage {
			e.Branch = sc.run.Ref
		}
		out[i] = e
	}
	return out, nil
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// gates looks again at every gate of the run that holds a stage.
func (sc *schedule) gates() error {
	for i := range sc.stages {
		row := &sc.stages[i]
		if row.gate != gateHeld || row.status == plan.Completed {
			continue
		}
		entries, err := loadEntries(sc.ctx, sc.tx, `run = ? AND stage = ? AND attempt = ?`, sc.run.Number, row.name, row.attempt)
		if err != nil {
			return err
		}
		if err := sc.judge(row, entries); err != nil {
			return err
		}
	}
	return nil
}

// judge brings a gate as far as it can go and does with the stage what it says.
func (sc *schedule) judge(row *stageRow, entries []*check.Entry) error {
	before := make(map[string]check.Status, len(entries))
	facts := check.Facts{Now: sc.now, Permitted: map[string]bool{}}
	for _, e := range entries {
		before[e.Entry] = e.Status
		if e.Type != check.Permission {
			continue
		}
		ok, err := sc.s.checks.Permitted(sc.ctx, sc.tx, e.Resource, sc.run.Key())
		if err != nil {
			return err
		}
		facts.Permitted[e.Resource.Key()] = ok
	}
	gate := check.Gate{Entries: entries}
	verdict, why := gate.Advance(facts)
	if verdict == check.Locking {
		if err := sc.lock(entries); err != nil {
			return err
		}
		if verdict, why = gate.Advance(facts); verdict == check.Locking {
			verdict = check.Held
		}
	}
	if err := sc.conclude(row, entries, verdict, why); err != nil {
		return err
	}
	for _, e := range entries {
		if before[e.Entry] == check.Pending && e.Due(sc.now) {
			sc.tx.AfterCommit(sc.s.reconsiderDue)
		}
		if err := sc.saveEntry(row, e, before[e.Entry]); err != nil {
			return err
		}
	}
	return sc.saveGate(row, gate.Wake())
}

// conclude does with a stage what its gate says.
func (sc *schedule) conclude(row *stageRow, entries []*check.Entry, v check.Verdict, why string) error {
	result := plan.Failed
	switch v {
	case check.Held, check.Locking:
		return nil
	case check.Open:
		row.gate = gateOpen
		return nil
	case check.TimedOut:
		result = plan.Skipped
	case check.Superseded:
		result = plan.Canceled
	}
	withdraw(entries, why, sc.now)
	row.gate = gateShut
	return sc.finishStage(row, result, why)
}

// withdraw ends the entries that have nothing to hold any more.
func withdraw(entries []*check.Entry, why string, now time.Time) {
	for _, e := range entries {
		if !e.Status.Over() {
			e.Status, e.Why, e.Next, e.Finished = check.Withdrawn, why, time.Time{}, now
		}
	}
}

// leave gives back what a stage that ends has at its gate.
func (sc *schedule) leave(row *stageRow) error {
	if row.gate == "" {
		return nil
	}
	if row.gate == gateHeld {
		entries, err := loadEntries(sc.ctx, sc.tx, `run = ? AND stage = ? AND attempt = ?`, sc.run.Number, row.name, row.attempt)
		if err != nil {
			return err
		}
		before := make([]check.Status, len(entries))
		for i, e := range entries {
			before[i] = e.Status
		}
		withdraw(entries, firstOf(sc.run.canceled, row.why), sc.now)
		for i, e := range entries {
			if err := sc.saveEntry(row, e, before[i]); err != nil {
				return err
			}
		}
		row.gate = gateShut
		if err := sc.saveGate(row, time.Time{}); err != nil {
			return err
		}
	}
	if _, err := sc.tx.Exec(sc.ctx, `DELETE FROM pipeline_lock WHERE run = ? AND stage = ?`, sc.run.Number, row.name); err != nil {
		return fmt.Errorf("giving back the locks of stage %s: %w", row.name, err)
	}
	sc.tx.AfterCommit(sc.s.reconsider)
	return nil
}

// lock tries to take all of the locks that entries wait for, or none. Two stages that want
// the same ones in different orders can therefore not wait for one another.
func (sc *schedule) lock(entries []*check.Entry) error {
	var want []*check.Entry
	for _, e := range entries {
		if e.Type == check.ExclusiveLock && e.Status == check.Waiting {
			want = append(want, e)
		}
	}
	free := true
	for _, e := range want {
		turn, err := sc.turn(e)
		if err != nil {
			return err
		}
		free = free && turn
	}
	for i := 0; free && i < len(want); i++ {
		res, err := sc.tx.Exec(sc.ctx, `INSERT INTO pipeline_lock (resource, run, stage, taken) VALUES (?,?,?,?) ON CONFLICT (resource) DO NOTHING`,
			want[i].Resource.Key(), sc.run.Number, want[i].Stage, millis(sc.now))
		if err != nil {
			return fmt.Errorf("taking the lock of the %s: %w", want[i].Resource, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		free = n == 1
	}
	if !free && len(want) > 0 {
		_, err := sc.tx.Exec(sc.ctx, `DELETE FROM pipeline_lock WHERE run = ? AND stage = ?`, sc.run.Number, want[0].Stage)
		if err != nil {
			return fmt.Errorf("giving back the locks of stage %s: %w", want[0].Stage, err)
		}
		// Older runs that wait learn that there is a newer one.
		sc.tx.AfterCommit(sc.s.reconsiderOnce(want[0].Entry))
		return nil
	}
	for _, e := range want {
		e.Status, e.Why, e.Finished, e.Next = check.Passed, "taken", sc.now, time.Time{}
	}
	return nil
}

// turn reports whether it is an entry's turn to take its lock, and withdraws the entry when
// a newer run has taken its place (C010, X027).
func (sc *schedule) turn(e *check.Entry) (bool, error) {
	var holder int64
	holders, err := loadNumbers(sc.ctx, sc.tx, `SELECT run FROM pipeline_lock WHERE resource = ?`, e.Resource.Key())
	if err != nil {
		return false, err
	}
	others, err := loadEntries(sc.ctx, sc.tx, `resource = ? AND status = ? AND type = ? AND run <> ?`,
		e.Resource.Key(), string(check.Waiting), string(check.ExclusiveLock), e.Run)
	if err != nil {
		return false, err
	}
	if len(holders) > 0 {
		holder = holders[0]
		e.Why = fmt.Sprintf("run %d has it", holder)
	}
	turn := holder == 0
	for _, o := range others {
		same := e.Branch == o.Branch // the same for locks of resources, which have none
		switch {
		case o.Run > e.Run && e.LockBehavior != sequential && same:
			e.Status, e.Why, e.Finished, e.Next = check.Withdrawn, fmt.Sprintf("run %d is newer and has taken its place", o.Run), sc.now, time.Time{}
			return false, nil
		case o.Run < e.Run && (o.LockBehavior == sequential || !same):
			turn, e.Why = false, fmt.Sprintf("run %d is first", o.Run)
		}
	}
	return turn, nil
}

// insertEntry adds an entry.
func (sc *schedule) insertEntry(e *check.Entry) error {
	_, err := sc.tx.Exec(sc.ctx, `INSERT INTO pipeline_entry (id, run, stage, attempt, project, resource, type, status, body) VALUES (?,?,?,?,?,?,?,?,?)`,
		e.Entry, e.Run, e.Stage, e.Attempt, sc.run.Project, e.Resource.Key(), string(e.Type), string(e.Status), text(e))
	if err != nil {
		return fmt.Errorf("adding a check to stage %s: %w", e.Stage, err)
	}
	return nil
}

// saveEntry writes an entry and tells the logbook what is new of it.
func (sc *schedule) saveEntry(row *stageRow, e *check.Entry, before check.Status) error {
	held, decided := e.News(before)
	switch {
	case held:
		sc.facts = append(sc.facts, sc.checkFact(event.TypeCheckHeld, row, e, ""))
	case decided:
		sc.facts = append(sc.facts, sc.checkFact(event.TypeCheckDecided, row, e, ""))
	}
	return writeEntry(sc.ctx, sc.tx, e)
}

// checkFact tells of an entry. action is what somebody did, of TypeCheckAnswered.
func (sc *schedule) checkFact(kind string, row *stageRow, e *check.Entry, action string) event.Fact {
	p := event.CheckHeld{
		V: 1, Run: e.Run, Stage: e.Stage, Entry: e.Entry, Type: string(e.Type), Title: e.Name(), Resource: e.Resource.Path(), Waits: e.Waits(sc.now),
		Action: action, Why: e.Why, Repo: sc.run.Repo, Ref: sc.run.Ref, Commit: sc.run.Commit,
	}
	if e.Status.Over() {
		p.Result = string(e.Status)
	}
	for i := range sc.run.plan.Stage(row.name).Jobs {
		if env := sc.run.plan.Stage(row.name).Jobs[i].Environment; env != nil && sc.run.Pull == 0 {
			p.Environment = env.Name
			break
		}
	}
	who := system().String()
	if by := e.Decider(); e.Type == check.Approval && by != "" {
		who = identity.KindUser + ":" + by
	}
	return event.Fact{
		Type: kind, Subject: event.OfRun(e.Run), Project: sc.run.Project, Actor: who, Payload: p,
		Links: []event.Link{{Rel: event.RelBuiltFrom, To: event.Of(event.KindCommit, sc.run.Commit)}},
	}
}

func (sc *schedule) saveGate(row *stageRow, wake time.Time) error {
	_, err := sc.tx.Exec(sc.ctx, `UPDATE pipeline_stage SET gate = ?, held = ?, wake = ? WHERE run = ? AND name = ?`,
		row.gate, millis(row.held), millis(wake), sc.run.Number, row.name)
	if err != nil {
		return fmt.Errorf("writing the gate of stage %s: %w", row.name, err)
	}
	return nil
}
