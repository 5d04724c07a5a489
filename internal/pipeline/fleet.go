package pipeline

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Pods makes the pods of pools of kind kubernetes.
type Pods interface {
	// Create makes a pod; fault.Denied says that the cluster refuses it, with its words.
	Create(ctx context.Context, s pool.PodSpec) error
	// List returns how all pods of agents of this installation are, whatever their pool.
	List(ctx context.Context) ([]pool.PodState, error)
	// Delete takes a pod away; one that is gone is no error.
	Delete(ctx context.Context, namespace, name string) error
}

// podToken is how the token of a pod's agent begins.
const podToken = "twk_"

// podRow is a pod as it is kept.
type podRow struct {
	name, pool, job, ticket string
	ready                   bool // its agent has asked for a job
	created                 time.Time
}

const podColumns = `name, pool, job, ticket, ready, created`

func scanPod(row scanner) (podRow, error) {
	var p podRow
	var ready, created int64
	err := row.Scan(&p.name, &p.pool, &p.job, &p.ticket, &ready, &created)
	p.ready, p.created = ready != 0, fromMillis(created)
	return p, err
}

// podOf finds the pod whose agent bears a token.
func (s *Service) podOf(ctx context.Context, token string) (caller, error) {
	p, err := scanPod(s.db.QueryRow(ctx, `SELECT `+podColumns+` FROM agent_pod WHERE token = ?`, hash(token)))
	if errors.Is(err, sql.ErrNoRows) {
		return caller{}, fault.New(fault.Unauthentic, "The pod of this token is gone, or its job is over.")
	}
	if err != nil {
		return caller{}, fmt.Errorf("reading the pod of a token: %w", err)
	}
	return caller{pool: p.pool, pod: &p}, nil
}

// sweepEvery is how often pods are looked for that nobody knows of.
const sweepEvery = 30 * time.Second

// tend keeps the pods of all pools as they should be, until ctx ends.
func (s *Service) tend(ctx context.Context) {
	if s.pods == nil {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	if err := s.forgetUnready(ctx); err != nil && ctx.Err() == nil {
		s.logger.Error("forgetting the pods that were being made", "error", err)
	}
	var swept time.Time
	for {
		news := s.hub.changed(onQueue)
		late := time.Since(swept) > sweepEvery
		if err := s.tendAll(ctx, late); err == nil && late {
			swept = time.Now()
		} else if err != nil && ctx.Err() == nil && !fault.Is(err, fault.Unavailable) { // A cluster starts in its own time.
			s.logger.Error("tending the pods of agents", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-tick.C:
		}
	}
}

// fleet is what there is of pods at one moment.
type fleet struct {
	rows   map[string][]podRow // by pool
	states map[string]pool.PodState
}

// tendAll looks after the pods of all pools; sweep says that those without a row go as well.
func (s *Service) tendAll(ctx context.Context, sweep bool) error {
	pools, err := s.pools.OfKind(ctx, pool.Kubernetes)
	if err != nil {
		return err
	}
	f := fleet{states: map[string]pool.PodState{}}
	if f.rows, err = s.podRows(ctx); err != nil {
		return err
	}
	if len(f.rows) > 0 || sweep {
		list, err := s.pods.List(ctx)
		if err != nil {
			return err
		}
		for _, st := range list {
			f.states[st.Name] = st
		}
	}
	s.states.Store(&f.states)
	var errs []error
	if sweep {
		errs = append(errs, s.sweepPods(ctx, f))
	}
	for _, p := range pools {
		rows := f.rows[pool.Fold(p.Name)]
		delete(f.rows, pool.Fold(p.Name))
		if err := s.tendPool(ctx, p, rows, f.states); err != nil {
			errs = append(errs, fmt.Errorf("pool %s: %w", p.Name, err))
		}
	}
	for _, rows := range f.rows { // Their pools have been removed.
		for _, r := range rows {
			errs = append(errs, s.dropPod(ctx, f.states[r.name].Namespace, r, ""))
		}
	}
	return errors.Join(errs...)
}

// tendPool looks after the pods of one pool: what is over goes, queued jobs get theirs, and as
// many free ones wait as the pool says.
func (s *Service) tendPool(ctx context.Context, p pool.Pool, rows []podRow, states map[string]pool.PodState) error {
	rows, err := s.inspect(ctx, p, rows, states)
	if err != nil {
		return err
	}
	if rows, err = s.supply(ctx, p, rows); err != nil {
		return err
	}
	var free []podRow
	for _, r := range rows {
		if r.job == "" {
			free = append(free, r)
		}
	}
	for n := len(free); n < p.Settings.Warm && len(rows) < p.Settings.Most(); n++ {
		if err := s.makePod(ctx, p, "", nil); err != nil {
			return err
		}
		rows = append(rows, podRow{})
	}
	for _, r := range free[min(p.Settings.Warm, len(free)):] {
		if err := s.dropPod(ctx, p.Settings.In(), r, "AND job = ''"); err != nil {
			return err
		}
	}
	return nil
}

// podRows reads all pods, oldest first, by their pools.
func (s *Service) podRows(ctx context.Context) (map[string][]podRow, error) {
	rows, err := s.db.Query(ctx, `SELECT `+podColumns+` FROM agent_pod ORDER BY created, name`)
	if err != nil {
		return nil, fmt.Errorf("reading the pods of agents: %w", err)
	}
	defer rows.Close()
	out := map[string][]podRow{}
	for rows.Next() {
		r, err := scanPod(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the pods of agents: %w", err)
		}
		out[r.pool] = append(out[r.pool], r)
	}
	return out, rows.Err()
}

// settling is how long a pod that was just made may be missing from a list.
const settling = 3 * time.Second

// inspect removes the pods whose jobs are over, and ends the jobs whose pods are: that an
// agent died is noticed here at once, before its lease ends. Free pods that are not as the
// pool says now go as well.
func (s *Service) inspect(ctx context.Context, p pool.Pool, rows []podRow, states map[string]pool.PodState) ([]podRow, error) {
	var out []podRow
	for _, r := range rows {
		job, err := s.jobOf(ctx, r)
		if err != nil {
			return nil, err
		}
		st, there := states[r.name]
		var stay *stayRow
		if r.job != "" {
			if stay, err = loadStay(ctx, s.db, r.job); err != nil {
				return nil, err
			}
		}
		kept := stay != nil && !stay.ended
		over := r.job != "" && (job == nil || job.status == plan.Completed) && !kept
		gone := !there && s.clock.Now().Sub(r.created) > settling
		stale := r.job == "" && there && st.Shape != p.Settings.Shape()
		if !over && !gone && !st.Over && !st.Stuck && !stale {
			out = append(out, r)
			continue
		}
		if kept {
			if err := s.drop(ctx, r.job, lostPod(st, there)); err != nil {
				return nil, err
			}
		} else if job != nil && !over {
			if err := s.end(ctx, job.id, protocol.Complete{Result: plan.Failed, Why: lostPod(st, there)}); err != nil {
				return nil, err
			}
		}
		at := p.Settings.In()
		if there {
			at = st.Namespace
		}
		if err := s.dropPod(ctx, at, r, ""); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Service) jobOf(ctx context.Context, r podRow) (*jobRow, error) {
	if r.job == "" {
		return nil, nil
	}
	return loadJob(ctx, s.db, r.job)
}

// LostPod begins the reason of a job whose pod ended before it.
const LostPod = "agent lost: its pod "

// lostPod says why a job ended with its pod.
func lostPod(st pool.PodState, there bool) string {
	switch {
	case st.Stuck:
		return "The pod of the job cannot start: " + strings.TrimSuffix(firstLine(st.Why), ".") + st.Next
	case !there:
		return LostPod + "was removed"
	case st.Why != "":
		return LostPod + "ended: " + firstLine(st.Why)
	}
	return LostPod + "ended"
}

// supply gives pods to the queued jobs of a pool that have none, oldest first.
func (s *Service) supply(ctx context.Context, p pool.Pool, rows []podRow) ([]podRow, error) {
	type waiting struct {
		id   string
		spec protocol.Job
	}
	var jobs []waiting
	list, err := s.db.Query(ctx, `SELECT id, spec FROM pipeline_job WHERE status = 'Queued' AND pool = ? AND machine = ''
		AND NOT EXISTS (SELECT 1 FROM agent_pod WHERE agent_pod.job = pipeline_job.id) ORDER BY queued, position, id LIMIT ?`, pool.Fold(p.Name), p.Settings.Most())
	if err != nil {
		return rows, fmt.Errorf("reading the jobs that wait for pods: %w", err)
	}
	defer list.Close()
	for list.Next() {
		var w waiting
		var raw string
		if err := list.Scan(&w.id, &raw); err != nil {
			return rows, fmt.Errorf("reading the jobs that wait for pods: %w", err)
		}
		if err := json.Unmarshal([]byte(raw), &w.spec); err != nil {
			return rows, fmt.Errorf("decoding a job that waits for a pod: %w", err)
		}
		jobs = append(jobs, w)
	}
	if err := errors.Join(list.Err(), list.Close()); err != nil {
		return rows, err
	}
	for _, w := range jobs {
		at := -1
		for i, r := range rows {
			// One whose agent is there already goes before one that is being made.
			if r.job == "" && r.name != "" && p.Settings.Plain(w.spec.Containers) && (at < 0 || r.ready && !rows[at].ready) {
				at = i
			}
		}
		switch {
		case at >= 0:
			if err := s.bind(ctx, rows[at].name, w.id); err != nil {
				return rows, err
			}
			rows[at].job = w.id
		case len(rows) < p.Settings.Most():
			if err := s.makePod(ctx, p, w.id, &w.spec); err != nil {
				return rows, err
			}
			rows = append(rows, podRow{job: w.id})
		}
	}
	return rows, nil
}

// bind gives a job to a pod that waits for one.
func (s *Service) bind(ctx context.Context, name, job string) error {
	return s.again(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE agent_pod SET job = ? WHERE name = ? AND job = ''`, job, name); err != nil {
			return fmt.Errorf("giving a job to pod %s: %w", name, err)
		}
		tx.AfterCommit(func() { s.hub.signal(onQueue) })
		return nil
	})
}

// makePod makes a pod for a job, or one that waits. A pod that the cluster refuses ends its
// job with the cluster's words.
func (s *Service) makePod(ctx context.Context, p pool.Pool, job string, spec *protocol.Job) error {
	want := pool.PodSpec{Name: "towpath-agent-" + strings.ToLower(s.clock.NewID()), Pool: p.Name, Settings: p.Settings, Token: podToken + rand.Text() + rand.Text(), Containers: p.Settings.Waiting()}
	if spec != nil {
		want.Containers, want.Run, want.Job = spec.Containers, spec.Run, spec.Path()
	}
	row := podRow{name: want.Name, pool: pool.Fold(p.Name)}
	lent, err := s.pulls(ctx, job, spec, &want)
	if err != nil {
		return err
	}
	if lent.refused != "" {
		return s.end(ctx, job, protocol.Complete{Result: plan.Failed, Why: lent.refused})
	}
	err = s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO agent_pod (name, pool, token, job, ticket, ready, created) VALUES (?,?,?,?,'',0,?)`,
			want.Name, row.pool, hash(want.Token), job, millis(s.clock.Now()))
		return err
	})
	if err != nil {
		return fmt.Errorf("storing the pod %s: %w", want.Name, err)
	}
	err = s.pods.Create(ctx, want)
	if err == nil {
		return s.announcePulls(ctx, job, lent)
	}
	derr := s.dropPod(context.WithoutCancel(ctx), p.Settings.In(), row, "")
	if job != "" && fault.Is(err, fault.Denied) {
		why, _ := fault.Public(err)
		return errors.Join(derr, s.end(ctx, job, protocol.Complete{Result: plan.Failed, Why: firstLine(why)}))
	}
	return errors.Join(err, derr)
}

// dropPod takes a pod away: its token ends first. only is a condition under which it may.
// Should the pod outlive its row, it is swept later.
func (s *Service) dropPod(ctx context.Context, namespace string, r podRow, only string) error {
	var n int64
	err := s.again(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM agent_pod WHERE name = ? `+only, r.name)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("removing the pod %s: %w", r.name, err)
	}
	if n == 0 {
		return nil
	}
	if namespace == "" {
		return nil
	}
	return s.pods.Delete(ctx, namespace, r.name)
}
