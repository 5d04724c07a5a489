package evidence

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// Points at which policy decides (event.DecisionMade).
const (
	pointPull      = "pull"
	pointDeploy    = "deploy"
	pointAdmission = "admission"
	pointAudit     = "audit"
)

// Outcomes of a rule that is not met (event.Verdict).
const (
	outcomeDenied  = "denied"
	outcomeAudited = "audited"
	outcomeError   = "error"
)

// Kinds of rows in evidence_name that find the newest refusal of an object at a point;
// the names are made by objectName.
const (
	nameLoose = "object"      // by a decision that belongs to no commit, run, release or pull request: somebody with kubectl
	namePull  = "pull-object" // by a pull request's
)

func objectName(point, environment, object string) string {
	return point + " " + environment + " " + object
}

// decision takes a decision of policy into the cells of the changes that it judges.
func (f feed) decision(ctx context.Context) error {
	p, ok := decode[event.DecisionMade](f.e)
	if !ok {
		return nil
	}
	if err := f.nameObjects(ctx, p); err != nil {
		return err
	}
	ids, err := f.judged(ctx, p)
	if err != nil {
		return err
	}
	b := body{State: Open, Name: p.Point, Environment: p.Environment, Total: objects(p.Object), Number: p.Pull}
	if !p.Allowed {
		b.State = Shut
	}
	for _, v := range p.Verdicts {
		switch v.Outcome {
		case outcomeAudited:
			b.Failed++
		case outcomeDenied, outcomeError:
			if b.Why == "" {
				b.Why = v.Rule
			}
		}
	}
	key := p.Point + "/" + p.Environment
	if p.Point == pointAdmission || p.Point == pointAudit {
		key += "/" + p.Object // These judge one object at a time.
	}
	if p.Point == pointAudit && b.State == Shut {
		b.State = Held // It lives although it should not: nothing was refused, and somebody has to mend it.
	}
	b.Subject = f.e.Subject.ID()
	for _, id := range ids {
		if err := f.put(ctx, id, LockPolicy, key, 0, b); err != nil {
			return err
		}
	}
	return nil
}

// objects is how many objects a decision was about: "12 objects" or the name of one.
func objects(text string) int {
	if n, ok := strings.CutSuffix(text, " objects"); ok {
		if i, err := strconv.Atoi(n); err == nil && i >= 0 {
			return i
		}
	}
	return 1
}

// judged finds the changes that a decision is about: those of its run, else of its
// release, else of its commit (or the head of its pull request), else of its pod.
func (f feed) judged(ctx context.Context, p event.DecisionMade) ([]int64, error) {
	of := map[string][]event.Subject{}
	for _, l := range f.e.Links {
		if l.Rel == event.RelJudges {
			of[l.To.Kind()] = append(of[l.To.Kind()], l.To)
		}
	}
	if p.Run > 0 {
		of[event.KindRun] = append(of[event.KindRun], event.OfRun(p.Run))
	}
	for _, kind := range []string{event.KindRun, event.KindRelease} {
		for _, s := range of[kind] {
			if ids, err := f.changesOf(ctx, s); err != nil || len(ids) > 0 {
				return ids, err
			}
		}
	}
	commit := p.Commit
	if commit == "" && len(of[event.KindCommit]) > 0 {
		commit = of[event.KindCommit][0].ID()
	}
	if commit != "" {
		return f.changesWith(ctx, commit)
	}
	for _, s := range of[event.KindPod] {
		if ids, err := f.changesRunning(ctx, s.ID()); err != nil || len(ids) > 0 {
			return ids, err
		}
	}
	return nil, nil
}

// changesWith lists the project's changes whose tip is a commit.
func (f feed) changesWith(ctx context.Context, commit string) ([]int64, error) {
	return f.list(ctx, `SELECT id FROM path_change WHERE commit_hash = ? AND project = ? ORDER BY id DESC LIMIT 20`, commit, f.e.Project)
}

// changesRunning lists the project's changes that run a pod.
func (f feed) changesRunning(ctx context.Context, uid string) ([]int64, error) {
	return f.list(ctx, `SELECT change_id FROM path_part WHERE lock = ? AND part = ? AND project = ?`, LockHealth, uid, f.e.Project)
}

func (f feed) list(ctx context.Context, query string, args ...any) ([]int64, error) {
	rows, err := f.tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("finding the changes of %s: %w", f.e.Subject, err)
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("finding the changes of %s: %w", f.e.Subject, err)
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

// perDecision bounds how many objects of a decision are looked at for the same object at
// other points.
const perDecision = 10

// nameObjects remembers the decision of a pull request, and one that belongs to nothing of
// ours, by the objects that it refuses, so that a chain with one of them shows both.
func (f feed) nameObjects(ctx context.Context, p event.DecisionMade) error {
	kind := nameLoose
	switch {
	case loose(f.e, p):
	case p.Point == pointPull:
		kind = namePull
	default:
		return nil
	}
	for i, object := range refusedObjects(p) {
		if i == perDecision {
			break
		}
		if err := f.name(ctx, kind, objectName(p.Point, p.Environment, object), f.e.Subject); err != nil {
			return err
		}
	}
	return nil
}

// loose reports whether a decision says of no commit, run, release or pull request that
// it is about it.
func loose(e event.Event, p event.DecisionMade) bool {
	return p.Run == 0 && p.Commit == "" && p.Pull == 0 && !slices.ContainsFunc(e.Links, func(l event.Link) bool {
		return l.Rel == event.RelJudges && slices.Contains([]string{event.KindCommit, event.KindRun, event.KindRelease, event.KindPull}, l.To.Kind())
	})
}

// refusedObjects lists the objects that a decision refuses, each once.
func refusedObjects(p event.DecisionMade) []string {
	var out []string
	for _, v := range p.Verdicts {
		if (v.Outcome == outcomeDenied || v.Outcome == outcomeError) && !slices.Contains(out, v.Object) {
			out = append(out, v.Object)
		}
	}
	return out
}

// policyCell shows the newest decision of each point and environment. What the API server
// refused, or the audit found, counts no more once a later deployment to the same
// environment was allowed: the change was judged again as a whole.
func policyCell(c *Cell, decisions []part) {
	deployed := map[string]int64{}
	for _, p := range decisions {
		if p.body.Name == pointDeploy && p.body.State == Open {
			deployed[p.body.Environment] = max(deployed[p.body.Environment], p.seq)
		}
	}
	decisions = slices.DeleteFunc(slices.Clone(decisions), func(p part) bool {
		return (p.body.Name == pointAdmission || p.body.Name == pointAudit) && p.seq < deployed[p.body.Environment]
	})
	if len(decisions) == 0 {
		return
	}
	c.worst(decisions, func(p part) event.Subject { return event.Of(event.KindDecision, p.body.Subject) })
	shown := slices.MaxFunc(decisions, func(a, b part) int {
		return cmp.Or(cmp.Compare(slices.Index(severity, a.body.State), slices.Index(severity, b.body.State)),
			// Of several that allow, the one about the whole change says more than one about a single object.
			cmp.Compare(a.body.Total, b.body.Total), cmp.Compare(a.seq, b.seq))
	})
	where := shown.body.Name
	if shown.body.Environment != "" {
		where += ", " + shown.body.Environment
	}
	audited := 0
	for _, p := range decisions {
		audited = max(audited, p.body.Failed)
	}
	switch {
	case c.State == Shut:
		c.Fact, c.Detail = "denied", strings.TrimPrefix(shown.body.Why+" ("+where+")", " ")
	case c.State == Held:
		c.Fact, c.Detail = "violation", strings.TrimPrefix(shown.body.Why+" ("+where+")", " ")
	case audited > 0:
		c.Fact, c.Detail = strconv.Itoa(shown.body.Total)+" allowed", strconv.Itoa(audited)+" audited"
	default:
		c.Fact, c.Detail = strconv.Itoa(shown.body.Total)+" allowed", where
	}
}
