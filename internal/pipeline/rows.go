package pipeline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// The states of rows beside those of plan: a job is Queued when an agent may claim it,
// and Waiting when it is a leg that maxParallel or an earlier batch of machines holds back.
const (
	queued  plan.Status = "Queued"
	waiting plan.Status = "Waiting"
)

// runRow is a run as it is kept.
type runRow struct {
	Run
	canceled  string // who or what cancelled it
	appends   bool   // the commit's message belongs to the name (X032)
	variables plan.Values
	plan      *plan.Plan
}

// label makes the name under which lists show the run: its name and the commit's message,
// which one dot in the middle separates (X032).
func (r *runRow) label() {
	r.Label = r.Name
	if r.appends && r.Title != "" {
		r.Label += " • " + r.Title
	}
}

// stageRow is a stage as it is kept.
type stageRow struct {
	name      string
	status    plan.Status
	result    plan.Result
	why       string
	requested string // who started a manual stage
	variables plan.Values
	started   time.Time
	finished  time.Time
	gate      string    // how far it is at its gate, see gate.go
	attempt   int       // from 1
	skipped   string    // who left the stage out
	held      time.Time // since when the gate holds it
}

// jobRow is a job, or one leg of one, as it is kept.
type jobRow struct {
	id          string
	run         int64
	stage, name string
	leg         string // of a matrix, or the name of the machine
	position    int
	status      plan.Status
	result      plan.Result
	why         string
	environment string
	machine     string // id of the machine that the leg is for; "": any agent of the server
	batch       int    // turn of the leg among the machines, from 1
	attempt     int    // from 1
	agent       string
	lease       string // SHA-256 of the lease, hex
	stop        string // why it is to stop
	maxParallel int
	tolerant    bool   // continueOnError
	spec        string // protocol.Job as JSON, without secrets; read by claim alone
	pool        string // folded name of the pool; "" for a leg that is for a machine
	demands     string // as pool.Text writes them
	refused     string // why no pool takes the job, found when it is described
	outputs     map[string]string
	turns       []Turn // those that are over
	queued      time.Time
	started     time.Time
	finished    time.Time
}

// path names the job in its run.
func (j *jobRow) path() string {
	if j.leg != "" {
		return j.stage + "." + j.name + "." + j.leg
	}
	return j.stage + "." + j.name
}

func (j *jobRow) subject() event.Subject {
	return event.Of(event.KindJob, fmt.Sprintf("%d/%s", j.run, j.path()))
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// text encodes a value that cannot fail to encode.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(b)
}

const runColumns = `number, project, repo, file, name, reason, ref, hash, title, requester, rerun_of, status, result, why, canceled, queued, started, finished, pull, head, triggered_by, appends`

// scanner is a row of a query.
type scanner interface{ Scan(dest ...any) error }

func scanRun(row scanner, more ...any) (runRow, error) {
	var r runRow
	var q, st, fi, appends int64
	var status, result string
	dest := append([]any{&r.Number, &r.Project, &r.Repo, &r.File, &r.Name, &r.Reason, &r.Ref, &r.Commit, &r.Title, &r.Requester, &r.RerunOf,
		&status, &result, &r.Why, &r.canceled, &q, &st, &fi, &r.Pull, &r.Head, &r.TriggeredBy, &appends}, more...)
	if err := row.Scan(dest...); err != nil {
		return r, err
	}
	r.appends = appends != 0
	r.label()
	r.Status, r.Result = plan.Status(status), plan.Result(result)
	r.Queued, r.Started, r.Finished = fromMillis(q), fromMillis(st), fromMillis(fi)
	return r, nil
}

// loadRun reads a run with its plan and variables.
func (s *Service) loadRun(ctx context.Context, h store.Handle, n int64) (*runRow, error) {
	var variables, raw string
	s.mu.Lock()
	p := s.plans[n]
	s.mu.Unlock()
	columns := runColumns + `, variables, plan`
	if p != nil {
		columns = runColumns + `, variables, ''`
	}
	r, err := scanRun(h.QueryRow(ctx, `SELECT `+columns+` FROM pipeline_run WHERE number = ?`, n), &variables, &raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noRun(n)
	}
	if err != nil {
		return nil, fmt.Errorf("reading run %d: %w", n, err)
	}
	if err := json.Unmarshal([]byte(variables), &r.variables); err != nil {
		return nil, fmt.Errorf("reading the variables of run %d: %w", n, err)
	}
	if p == nil {
		p = &plan.Plan{}
		if err := json.Unmarshal([]byte(raw), p); err != nil {
			return nil, fmt.Errorf("reading the plan of run %d: %w", n, err)
		}
		if r.Status != plan.Completed {
			s.mu.Lock()
			s.plans[n] = p
			s.mu.Unlock()
		}
	}
	r.plan = p
	return &r, nil
}

// loadStages reads the stages of a run in the order of the file.
func loadStages(ctx context.Context, h store.Handle, n int64) ([]stageRow, error) {
	rows, err := h.Query(ctx, `SELECT name, status, result, why, requested, variables, started, finished, gate, attempt, held, skipped FROM pipeline_stage WHERE run = ? ORDER BY position`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the stages of run %d: %w", n, err)
	}
	defer rows.Close()
	var out []stageRow
	for rows.Next() {
		var r stageRow
		var variables string
		var st, fi, held int64
		if err := rows.Scan(&r.name, &r.status, &r.result, &r.why, &r.requested, &variables, &st, &fi, &r.gate, &r.attempt, &held, &r.skipped); err != nil {
			return nil, fmt.Errorf("reading the stages of run %d: %w", n, err)
		}
		if variables != "" {
			if err := json.Unmarshal([]byte(variables), &r.variables); err != nil {
				return nil, fmt.Errorf("reading the variables of stage %s: %w", r.name, err)
			}
		}
		r.started, r.finished, r.held = fromMillis(st), fromMillis(fi), fromMillis(held)
		out = append(out, r)
	}
	return out, rows.Err()
}

const jobColumns = `id, run, stage, name, leg, position, status, result, why, environment, agent, lease, stop, max_parallel, tolerant, outputs, queued, started, finished, machine, batch, attempt, pool, demands, turns`

func scanJob(row scanner, more ...any) (*jobRow, error) {
	var j jobRow
	var outputs, turns string
	var tolerant, q, st, fi int64
	dest := append([]any{&j.id, &j.run, &j.stage, &j.name, &j.leg, &j.position, &j.status, &j.result, &j.why, &j.environment, &j.agent, &j.lease,
		&j.stop, &j.maxParallel, &tolerant, &outputs, &q, &st, &fi, &j.machine, &j.batch, &j.attempt, &j.pool, &j.demands, &turns}, more...)
	if err := row.Scan(dest...); err != nil {
		return nil, err
	}
	j.tolerant = tolerant != 0
	if outputs != "" {
		if err := json.Unmarshal([]byte(outputs), &j.outputs); err != nil {
			return nil, fmt.Errorf("reading the outputs of job %s: %w", j.path(), err)
		}
	}
	if turns != "" {
		if err := json.Unmarshal([]byte(turns), &j.turns); err != nil {
			return nil, fmt.Errorf("reading who had job %s: %w", j.path(), err)
		}
	}
	j.queued, j.started, j.finished = fromMillis(q), fromMillis(st), fromMillis(fi)
	return &j, nil
}

// loadJobs reads the jobs of a run in the order of the file, legs in theirs.
func loadJobs(ctx context.Context, h store.Handle, n int64) ([]*jobRow, error) {
	rows, err := h.Query(ctx, `SELECT `+jobColumns+` FROM pipeline_job WHERE run = ? ORDER BY position, id`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the jobs of run %d: %w", n, err)
	}
	defer rows.Close()
	var out []*jobRow
	for rows.Next() {
		j, err := scanJob(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the jobs of run %d: %w", n, err)
		}
		out = append(out, j)
	}
	return out, rows.Err()
}

// loadJob reads one job without its specification, which may be large; nil when there
// is none.
func loadJob(ctx context.Context, h store.Handle, id string) (*jobRow, error) {
	j, err := scanJob(h.QueryRow(ctx, `SELECT `+jobColumns+` FROM pipeline_job WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading job %s: %w", id, err)
	}
	return j, nil
}

// saveJob writes what changes of a job.
func saveJob(ctx context.Context, tx *store.Tx, j *jobRow) error {
	_, err := tx.Exec(ctx, `UPDATE pipeline_job SET status = ?, result = ?, why = ?, agent = ?, lease = ?, stop = ?, outputs = ?, started = ?, finished = ? WHERE id = ?`,
		j.status, j.result, j.why, j.agent, j.lease, j.stop, text(j.outputs), millis(j.started), millis(j.finished), j.id)
	if err != nil {
		return fmt.Errorf("writing job %s: %w", j.path(), err)
	}
	return nil
}

// insertJob adds a job.
func insertJob(ctx context.Context, tx *store.Tx, j *jobRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO pipeline_job (`+jobColumns+`, spec, ticket) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'',?,'')`,
		j.id, j.run, j.stage, j.name, j.leg, j.position, j.status, j.result, j.why, j.environment, j.agent, j.lease, j.stop, j.maxParallel,
		bit(j.tolerant), text(j.outputs), millis(j.queued), millis(j.started), millis(j.finished), j.machine, j.batch, max(j.attempt, 1), j.pool, j.demands, j.spec)
	if err != nil {
		return fmt.Errorf("adding job %s: %w", j.path(), err)
	}
	return nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// next increments a counter and returns its new value; the first is first.
func next(ctx context.Context, tx *store.Tx, name string, first int64) (int64, error) {
	_, err := tx.Exec(ctx, `INSERT INTO pipeline_counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = pipeline_counter.value + 1`, name, first)
	if err != nil {
		return 0, fmt.Errorf("counting %s: %w", name, err)
	}
	var n int64
	if err := tx.QueryRow(ctx, `SELECT value FROM pipeline_counter WHERE name = ?`, name).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting %s: %w", name, err)
	}
	return n, nil
}
