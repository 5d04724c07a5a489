package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Kept says that a job has failed and its agent has not cleared up: the workspace and what the
// job left running are as they were, and terminals may be opened there.
type Kept struct {
	By    string    `json:"by"` // who asked for it: "user:ada"
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// The times for which failed jobs are kept, unless the options say otherwise.
const (
	stayDefault = 30 * time.Minute
	stayMost    = 4 * time.Hour
	stayLeast   = time.Second
)

// StayDefault, given as a time, means that of the installation.
const StayDefault time.Duration = -1

// stayRow is a kept job as it is stored.
type stayRow struct {
	job          string
	run          int64
	path         string
	agent        string
	keeper       string
	began, until time.Time
	ended        bool
	why          string
}

const stayColumns = `job, run, path, agent, keeper, began, until, ended, why`

func scanStay(row scanner) (stayRow, error) {
	var r stayRow
	var began, until, ended int64
	err := row.Scan(&r.job, &r.run, &r.path, &r.agent, &r.keeper, &began, &until, &ended, &r.why)
	r.began, r.until, r.ended = fromMillis(began), fromMillis(until), ended != 0
	return r, err
}

// loadStay reads the stay of a job; nil when it was never kept.
func loadStay(ctx context.Context, h store.Handle, job string) (*stayRow, error) {
	r, err := scanStay(h.QueryRow(ctx, `SELECT `+stayColumns+` FROM pipeline_stay WHERE job = ?`, job))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the stay of job %s: %w", job, err)
	}
	return &r, nil
}

// openStays are the jobs that are kept now: those of a run, or all with 0.
func openStays(ctx context.Context, h store.Handle, run int64) ([]stayRow, error) {
	where, args := `ended = 0`, []any{}
	if run > 0 {
		where, args = `ended = 0 AND run = ?`, []any{run}
	}
	rows, err := h.Query(ctx, `SELECT `+stayColumns+` FROM pipeline_stay WHERE `+where+` ORDER BY job`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the kept jobs: %w", err)
	}
	defer rows.Close()
	var out []stayRow
	for rows.Next() {
		r, err := scanStay(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the kept jobs: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// stayTime turns what somebody asks for into a time, and refuses who may not ask: the agent is
// busy meanwhile, and what the job could read stands there. It needs the maintain role.
func (s *Service) stayTime(ctx context.Context, a identity.Actor, project string, want time.Duration) (time.Duration, error) {
	if want == 0 {
		return 0, nil
	}
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return 0, err
	}
	if want == StayDefault {
		return s.opts.StayDefault, nil
	}
	if want < stayLeast || want > s.opts.StayMost {
		return 0, fault.New(fault.Invalid, "A failed job cannot be kept for %s: at least a second, at most %s.", want, s.opts.StayMost).
			WithNext("give a time such as --keep-on-failure=30m")
	}
	return want, nil
}

// setStay says for how long the jobs of a run that fail from now on are kept.
func setStay(ctx context.Context, tx *store.Tx, run int64, stay time.Duration, keeper string) error {
	if stay == 0 {
		keeper = ""
	}
	if _, err := tx.Exec(ctx, `UPDATE pipeline_run SET stay = ?, keeper = ? WHERE number = ?`, stay.Milliseconds(), keeper, run); err != nil {
		return fmt.Errorf("noting that the failed jobs of run %d are kept: %w", run, err)
	}
	return nil
}

// stayOf is for how long the failed jobs of a run are kept, and who wants it.
func stayOf(ctx context.Context, h store.Handle, run int64) (time.Duration, string, error) {
	var ms int64
	var keeper string
	if err := h.QueryRow(ctx, `SELECT stay, keeper FROM pipeline_run WHERE number = ?`, run).Scan(&ms, &keeper); err != nil {
		return 0, "", fmt.Errorf("reading for how long the jobs of run %d are kept: %w", run, err)
	}
	return time.Duration(ms) * time.Millisecond, keeper, nil
}

// beginStay begins the stay of a job that has just failed, when its run asks for it and its agent
// has left it as it is.
func (s *Service) beginStay(ctx context.Context, tx *store.Tx, run *runRow, row *jobRow, c protocol.Complete) error {
	if !c.Stays || c.Result != plan.Failed || run.canceled != "" || row.stop != "" {
		return nil
	}
	stay, keeper, err := stayOf(ctx, tx, run.Number)
	if err != nil || stay == 0 {
		return err
	}
	r := stayRow{job: row.id, run: row.run, path: row.path(), agent: row.agent, keeper: keeper, began: row.finished, until: row.finished.Add(stay)}
	_, err = tx.Exec(ctx, `INSERT INTO pipeline_stay (`+stayColumns+`) VALUES (?,?,?,?,?,?,?,0,'')`, r.job, r.run, r.path, r.agent, r.keeper, millis(r.began), millis(r.until))
	if err != nil {
		return fmt.Errorf("keeping job %s: %w", r.path, err)
	}
	tx.AfterCommit(func() {
		s.stays.renew(r.job, s.opts.Lease)
		s.hub.signal(onRun(r.run))
	})
	return s.log.Append(ctx, tx, stayFact(event.TypeJobKept, run, &r, keeper))
}

func stayFact(kind string, run *runRow, r *stayRow, actor string) event.Fact {
	return event.Fact{
		Type: kind, Subject: event.Of(event.KindJob, fmt.Sprintf("%d/%s", r.run, r.path)), Project: run.Project, Actor: actor,
		Payload: event.JobStay{V: 1, Run: r.run, Job: r.path, Agent: r.agent, Seconds: between(r.began, r.until), Why: r.why},
		Links:   []event.Link{{Rel: event.RelPartOf, To: event.OfRun(r.run)}},
	}
}

// stayLeft is for how long a job is to be kept from now on; 0 when it is not.
func (s *Service) stayLeft(ctx context.Context, job string) (time.Duration, error) {
	r, err := loadStay(ctx, s.db, job)
	if err != nil || r == nil || r.ended {
		return 0, err
	}
	return max(r.until.Sub(s.clock.Now()), 0), nil
}

// endStay ends the stay of a job in a transaction; false when it was over, or never began.
func (s *Service) endStay(ctx context.Context, tx *store.Tx, job, why, actor string) (bool, error) {
	r, err := loadStay(ctx, tx, job)
	if err != nil || r == nil || r.ended {
		return false, err
	}
	res, err := tx.Exec(ctx, `UPDATE pipeline_stay SET ended = ?, why = ? WHERE job = ? AND ended = 0`, millis(s.clock.Now()), why, job)
	if err != nil {
		return false, fmt.Errorf("releasing job %s: %w", r.path, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	run, err := s.loadRun(ctx, tx, r.run)
	if err != nil {
		return false, err
	}
	r.why = why
	tx.AfterCommit(func() {
		s.stays.forget(job, why)
		s.hub.signal(onStay(job))
		s.hub.signal(onRun(r.run))
	})
	return true, s.log.Append(ctx, tx, stayFact(event.TypeJobReleased, run, r, actor))
}

// endStays ends the stays of all jobs of a run, and returns how many there were.
func (s *Service) endStays(ctx context.Context, tx *store.Tx, run int64, why, actor string) (int, error) {
	list, err := openStays(ctx, tx, run)
	if err != nil {
		return 0, err
	}
	for _, r := range list {
		if _, err := s.endStay(ctx, tx, r.job, why, actor); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// drop ends a stay for a reason of the platform's own.
func (s *Service) drop(ctx context.Context, job, why string) error {
	return s.again(ctx, func(tx *store.Tx) error {
		_, err := s.endStay(ctx, tx, job, why, system().String())
		return err
	})
}

// Release ends the stay of a job: its agent clears up, and terminals in it close. It needs the
// write role.
func (s *Service) Release(ctx context.Context, a identity.Actor, n int64, path string) error {
	if _, err := s.authorized(ctx, a, n, identity.Write); err != nil {
		return err
	}
	r, err := s.standing(ctx, n, path)
	if err != nil {
		return err
	}
	return s.again(ctx, func(tx *store.Tx) error {
		_, err := s.endStay(ctx, tx, r.job, "released by "+a.String(), a.String())
		return err
	})
}

// standing finds a kept job by its path; "" means the only one.
func (s *Service) standing(ctx context.Context, n int64, path string) (*stayRow, error) {
	list, err := openStays(ctx, s.db, n)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range list {
		if strings.EqualFold(list[i].path, path) || path == "" && len(list) == 1 {
			return &list[i], nil
		}
		names = append(names, list[i].path)
	}
	if len(list) > 0 {
		return nil, fault.New(fault.NotFound, "No job %q of run %d is kept.", clip(path), n).WithNext("name one of: %s", strings.Join(names, ", "))
	}
	return nil, fault.New(fault.NotFound, "No job of run %d is kept.", n).
		WithNext("a failed job is kept when it is asked for: towpath run rerun %d --failed --keep-on-failure", n)
}

// staysInto adds to the jobs of a run who keeps them, and who was in them.
func (s *Service) staysInto(ctx context.Context, d *Detail) error {
	list, err := openStays(ctx, s.db, d.Number)
	if err != nil {
		return err
	}
	for _, r := range list {
		for i := range d.Stages {
			for k := range d.Stages[i].Jobs {
				if j := &d.Stages[i].Jobs[k]; j.Path == r.path {
					j.Kept = &Kept{By: r.keeper, Since: r.began, Until: r.until}
				}
			}
		}
	}
	d.Terminals, err = s.terminalUses(ctx, d.Number)
	return err
}

// forgetStays ends what an earlier server kept: the connections of its agents are gone.
func (s *Service) forgetStays(ctx context.Context) error {
	list, err := openStays(ctx, s.db, 0)
	for _, r := range list {
		err = errors.Join(err, s.drop(ctx, r.job, "the server was started again"))
	}
	return errors.Join(err, s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE pipeline_terminal SET closed = ? WHERE closed = 0`, millis(s.clock.Now()))
		return err
	}))
}

// sweepStays ends the stays whose time is over, and those whose agents are not heard of.
func (s *Service) sweepStays(ctx context.Context, now time.Time) error {
	if s.stays.none() {
		return nil
	}
	list, err := openStays(ctx, s.db, 0)
	for _, r := range list {
		switch {
		case !s.clock.Now().Before(r.until):
			err = errors.Join(err, s.drop(ctx, r.job, overtime))
		case s.stays.lost(r.job, now):
			err = errors.Join(err, s.drop(ctx, r.job, Lost))
		}
	}
	return err
}

// overtime is why a stay ended by itself.
const overtime = "its time was over"

// onStay is the name under which the agent of a kept job waits.
func onStay(job string) string { return "stay:" + job }

// stays knows of the kept jobs what is in memory alone: until when their agents count as
// there, and their terminals.
type stays struct {
	mu     sync.Mutex
	until  map[string]time.Time
	calls  map[string]*call              // terminals that an agent is to open, by id
	opened map[string]map[*Terminal]bool // by job
}

func newStays() *stays {
	return &stays{until: map[string]time.Time{}, calls: map[string]*call{}, opened: map[string]map[*Terminal]bool{}}
}

// renew takes a word of the agent of a kept job for one more lease.
func (t *stays) renew(job string, lease time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until[job] = time.Now().Add(lease)
}

// renewAll takes all agents as heard of.
func (t *stays) renewAll(lease time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for job := range t.until {
		t.until[job] = time.Now().Add(lease)
	}
}

func (t *stays) none() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.until) == 0
}

// lost reports whether the agent of a kept job was not heard of for a lease.
func (t *stays) lost(job string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, known := t.until[job]
	return known && now.After(until)
}

// endAll closes all terminals: the server ends.
func (t *stays) endAll() {
	t.mu.Lock()
	var jobs []string
	for job := range t.until {
		jobs = append(jobs, job)
	}
	t.mu.Unlock()
	for _, job := range jobs {
		t.forget(job, "the server ends")
	}
}

// forget ends the terminals of a job that is not kept any more.
func (t *stays) forget(job, why string) {
	t.mu.Lock()
	delete(t.until, job)
	for id, c := range t.calls {
		if c.job == job {
			delete(t.calls, id)
			close(c.over)
		}
	}
	open := t.opened[job]
	delete(t.opened, job)
	t.mu.Unlock()
	for one := range open {
		one.end(why)
	}
}
