package enforce

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/vap"
	"towpath.dev/towpath/internal/store"
)

// AttributionDeps are the parts that an Attribution needs, all of them.
type AttributionDeps struct {
	DB        *store.DB
	Cluster   Cluster
	Policies  Policies
	Recorder  Recorder
	Appliers  *Appliers
	OnRefusal OnRefusal
	Logger    *slog.Logger
}

// Attribution records what the API server refused by itself, for whom it concerns.
type Attribution struct {
	AttributionDeps
	name string
	file string
}

// NewAttribution returns the attribution for the cluster of that name. File is the API
// server's audit log (JSON lines); "" when it is not within reach, as with an adopted
// cluster: then only refusals that controllers complain about are found.
func NewAttribution(d AttributionDeps, name, file string) *Attribution {
	return &Attribution{AttributionDeps: d, name: name, file: file}
}

// Run follows the audit log and the controllers' complaints until ctx ends.
func (a *Attribution) Run(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { a.followLog(ctx) })
	both.Go(func() { a.followComplaints(ctx) })
	both.Wait()
	return nil
}

// Times of the log's reader.
const (
	lookEvery = 200 * time.Millisecond
	saveEvery = time.Second // what is read twice after a crash is recorded once all the same
)

func (a *Attribution) followLog(ctx context.Context) {
	if a.file == "" {
		return
	}
	var saved cursor
	for {
		var err error
		if saved, err = a.loadCursor(ctx); err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		a.Logger.Error("reading how far the audit log was read", "error", err)
		if !pause(ctx, retryEvery) {
			return
		}
	}
	f := follow(a.file, saved)
	defer f.close()
	last := time.Now()
	wait := lookEvery
	for pause(ctx, wait) {
		wait = lookEvery
		if _, err := f.read(func(line []byte) error { return a.line(ctx, line) }); err != nil && ctx.Err() == nil {
			a.Logger.Error("following the audit log", "error", err)
			wait = retryEvery
		}
		if now := f.cursor(); now != saved && time.Since(last) > saveEvery {
			if err := a.saveCursor(ctx, now); err != nil {
				a.Logger.Warn("remembering how far the audit log was read", "error", err)
				continue
			}
			saved, last = now, time.Now()
		}
	}
	if now := f.cursor(); now != saved {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryEvery)
		defer cancel()
		if err := a.saveCursor(end, now); err != nil {
			a.Logger.Debug("remembering how far the audit log was read", "error", err)
		}
	}
}

// pause waits; false when ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (a *Attribution) loadCursor(ctx context.Context) (cursor, error) {
	var c cursor
	var inode int64
	err := a.DB.QueryRow(ctx, `SELECT inode, position, head FROM audit_log_cursor WHERE cluster = ?`, a.name).Scan(&inode, &c.offset, &c.head)
	if errors.Is(err, sql.ErrNoRows) {
		return cursor{}, nil
	}
	c.inode = uint64(inode)
	return c, err
}

func (a *Attribution) saveCursor(ctx context.Context, c cursor) error {
	_, err := a.DB.Exec(ctx, `INSERT INTO audit_log_cursor (cluster, inode, position, head) VALUES (?,?,?,?)
		ON CONFLICT (cluster) DO UPDATE SET inode = excluded.inode, position = excluded.position, head = excluded.head`,
		a.name, int64(c.inode), c.offset, c.head)
	return err
}

// line records the refusal that a line of the audit log tells of. Those of the cluster's
// controllers are left to their complaints, which name the object that they worked for.
func (a *Attribution) line(ctx context.Context, line []byte) error {
	r, ok := ParseAuditLine(line)
	if !ok || system(r.User) {
		return nil
	}
	object := policy.Judged{
		Group: r.Group, Version: r.Version, Kind: a.kindOf(r.Group, r.Resource), Namespace: r.Namespace, Name: r.Name, UID: r.UID,
		Operation: operation(r.Verb), Sub: r.Sub,
	}
	return a.record(ctx, "auditlog:"+r.ID, r.Time, r.By, object, r.Refs)
}

func operation(verb string) string {
	if verb == "create" {
		return "CREATE"
	}
	return "UPDATE"
}

// kindOf returns the kind that a resource holds, as far as rules name it; else the resource.
func (a *Attribution) kindOf(group, resource string) string {
	for _, gk := range a.Policies.Current().Kinds() {
		if r, ok := vap.Builtin(gk); ok && r.Group == group && r.Plural == resource {
			return gk.Kind
		}
	}
	return resource
}

// record keeps a refusal under a key and tells about it, once.
func (a *Attribution) record(ctx context.Context, key string, at time.Time, by Applied, object policy.Judged, refs []vap.Ref) error {
	set := a.Policies.Current()
	for _, ref := range refs {
		object.Verdicts = append(object.Verdicts, policy.Located{Verdict: verdictOf(ref, set.Rules())})
	}
	d := policy.Decision{
		Time: at, Point: policy.PointAdmission, Actor: by.Actor, Judges: judges(by), Project: by.Project,
		Run: by.Run, Job: by.Job, Commit: by.Commit, Set: set.Digest(), Objects: []policy.Judged{object},
	}
	place(&d, set.Places(), a.name, object.Namespace)
	kept, fresh, err := a.Recorder.RecordRefusal(ctx, key, d)
	if err != nil {
		return fmt.Errorf("recording a refusal by the API server: %w", err)
	}
	if fresh && a.OnRefusal != nil {
		a.OnRefusal(ctx, kept)
	}
	return nil
}

// judges are the subjects that a decision about what somebody applied is about.
func judges(by Applied) []event.Subject {
	var out []event.Subject
	if by.Run != 0 {
		out = append(out, event.OfRun(by.Run))
	}
	if by.Commit != "" {
		out = append(out, event.Of(event.KindCommit, by.Commit))
	}
	return out
}

// place notes the project and the environment that own the namespace.
func place(d *policy.Decision, places []rule.Place, cluster, namespace string) {
	for _, p := range places {
		if p.Cluster == cluster && p.Namespace == namespace {
			d.Environment = p.Environment
			if d.Project == "" {
				d.Project = p.Project
			}
		}
	}
}

// verdictOf makes the verdict that a refusal's reference stands for. What the message leaves
// out is taken from the rule, while it is in force.
func verdictOf(ref vap.Ref, rules []rule.Rule) rule.Verdict {
	if ref.Assignment == "" {
		return rule.Verdict{Assignment: ref.Object, Outcome: rule.Error, Refuses: true, Why: "the API server could not judge by the ValidatingAdmissionPolicy " + ref.Object}
	}
	v := rule.Verdict{
		Assignment: ref.Assignment, Reference: ref.Rule, Policy: ref.Policy, Outcome: rule.Denied, Refuses: true,
		Violations: ref.Violations, Fix: ref.Fix,
	}
	for _, r := range rules {
		if r.Assignment != ref.Assignment || r.Reference != ref.Rule {
			continue
		}
		v.Definition, v.Title = r.Definition, r.Title
		if strings.HasPrefix(r.Policy, ref.Policy) {
			v.Policy = r.Policy
		}
		if v.Fix == "" {
			v.Fix = r.Fix
		}
	}
	return v
}

// followComplaints reads what controllers say about pods that they may not make, until ctx
// ends. It waits for the cluster and comes back after it was away.
func (a *Attribution) followComplaints(ctx context.Context) {
	for ctx.Err() == nil {
		changed := a.Cluster.Changed()
		err := a.complaints(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.Logger.Debug("controllers' complaints are not followed", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(retryEvery):
		}
	}
}

func (a *Attribution) complaints(ctx context.Context) error {
	if err := a.Cluster.Await(ctx); err != nil {
		return err
	}
	cfg, err := a.Cluster.Admin(ctx)
	if err != nil {
		return err
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return (&complaints{Attribution: a, seen: map[string]bool{}}).follow(ctx, c)
}
