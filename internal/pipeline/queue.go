package pipeline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// choice is the job that an agent is to get.
type choice struct {
	id string
	// taken says that the job was taken out of the backlog; otherwise its row or that of the
	// pod says that it is the caller's.
	taken bool
}

// choose decides which job an agent gets: the one that its ticket got before, in an answer that
// was lost, or the oldest that it may have. The id is "" when there is none.
func (s *Service) choose(ctx context.Context, c caller, agent, ticket string) (choice, error) {
	if c.pod != nil {
		id, err := s.pickForPod(ctx, s.db, c, ticket, "")
		return choice{id: id}, err
	}
	if ticket != "" {
		var id string
		err := s.db.QueryRow(ctx, `SELECT id FROM pipeline_job WHERE ticket = ? AND ticket <> '' AND status = 'Running' AND machine = ? AND agent = ?`, ticket, c.id(), c.name(agent)).Scan(&id)
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return choice{id: id}, err
		}
	}
	if !s.counted.Load() {
		if err := s.refill(ctx); err != nil {
			return choice{}, err
		}
	}
	if c.machine != nil {
		w, ok := s.backlog.Take(pool.Place{Machine: c.machine.ID}, nil)
		return choice{w.ID, ok}, nil
	}
	who, err := s.pools.Claimant(ctx, c.pool, agent)
	if err != nil || !who.Enabled {
		return choice{}, err
	}
	w, ok := s.backlog.Take(pool.Place{Pool: who.Pool}, who.Capabilities)
	return choice{w.ID, ok}, nil
}

// chosenRow reads the row of a job that was chosen, for the transaction that gives it away; nil
// when it is not to be had any more.
func (s *Service) chosenRow(ctx context.Context, tx *store.Tx, c caller, at choice, agent, ticket string) (*jobRow, error) {
	lock := ""
	if tx.Postgres() {
		lock = " FOR UPDATE"
	}
	if c.pod != nil {
		// Its row says whether the token has been used meanwhile.
		id, err := s.pickForPod(ctx, tx, c, ticket, lock)
		if err != nil || id != at.id {
			return nil, err
		}
	}
	var spec, held string
	row, err := scanJob(tx.QueryRow(ctx, `SELECT `+jobColumns+`, spec, ticket FROM pipeline_job WHERE id = ?`+lock, at.id), &spec, &held)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claiming a job: %w", err)
	}
	row.spec = spec
	again := row.status == plan.Running && ticket != "" && held == ticket && row.agent == c.name(agent)
	if row.machine != c.id() || row.status != queued && !again {
		return nil, nil
	}
	return row, nil
}

// take writes that an agent has the job that was chosen for it. row is nil when somebody else
// was faster, or the job is not queued any more.
func (s *Service) take(ctx context.Context, c caller, at choice, agent, ticket, lease string) (row *jobRow, run *runRow, given loan, err error) {
	err = s.again(ctx, func(tx *store.Tx) error {
		var err error
		if row, err = s.chosenRow(ctx, tx, c, at, agent, ticket); err != nil || row == nil {
			return err
		}
		if run, err = s.loadRun(ctx, tx, row.run); err != nil {
			return err
		}
		before := row.status == plan.Running
		row.status, row.agent, row.lease = plan.Running, c.name(agent), hash(lease)
		if row.started.IsZero() {
			row.started = s.clock.Now()
		}
		if err := saveJob(ctx, tx, row); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE pipeline_job SET ticket = ? WHERE id = ?`, ticket, row.id); err != nil {
			return err
		}
		if err := s.use(ctx, tx, c, ticket); err != nil {
			return err
		}
		var told protocol.Job
		if err := json.Unmarshal([]byte(row.spec), &told); err != nil {
			return fmt.Errorf("decoding job %s: %w", row.path(), err)
		}
		if given, err = s.lend(ctx, tx, run, &told); err != nil || before {
			return err
		}
		if err := s.announceLoan(ctx, tx, run, row, given); err != nil || len(row.turns) > 0 {
			return err
		}
		return s.announceStart(ctx, tx, run, row)
	})
	switch {
	case err == nil:
		s.backlog.Drop(at.id)
	case at.taken:
		s.backlog.PutBack(at.id)
		s.hub.signal(onQueue) // Who looked meanwhile saw nothing.
	}
	return row, run, given, err
}

// enqueue puts a job whose row is queued into the backlog, once that is durable.
func (s *Service) enqueue(tx *store.Tx, j *jobRow) {
	if j.pool == serverPool {
		return
	}
	w := pool.Waiting{ID: j.id, Place: pool.Place{Pool: j.pool, Machine: j.machine}, Demands: j.demands, Queued: millis(j.queued), Position: j.position}
	tx.AfterCommit(func() { s.backlog.Put(w) })
}

// refill makes the backlog what the rows say, when their numbers differ. It is called when the
// server begins, and again and again: what leaves the queue without an agent goes this way.
func (s *Service) refill(ctx context.Context) error {
	const where = ` FROM pipeline_job WHERE status = 'Queued' AND pool <> ?`
	have, mark := s.backlog.Len()
	var n int
	if err := s.db.QueryRow(ctx, `SELECT COUNT(*)`+where, serverPool).Scan(&n); err != nil {
		return fmt.Errorf("counting the queued jobs: %w", err)
	}
	if n == have {
		s.counted.Store(true)
		return nil
	}
	rows, err := s.db.Query(ctx, `SELECT id, pool, machine, demands, queued, position`+where, serverPool)
	if err != nil {
		return fmt.Errorf("reading the queued jobs: %w", err)
	}
	defer rows.Close()
	var list []pool.Waiting
	for rows.Next() {
		var w pool.Waiting
		if err := rows.Scan(&w.ID, &w.Place.Pool, &w.Place.Machine, &w.Demands, &w.Queued, &w.Position); err != nil {
			return fmt.Errorf("reading the queued jobs: %w", err)
		}
		list = append(list, w)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the queued jobs: %w", err)
	}
	s.backlog.Reconcile(mark, list)
	s.counted.Store(true)
	s.hub.signal(onQueue)
	return nil
}
