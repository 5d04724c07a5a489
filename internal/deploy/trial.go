package deploy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// CanaryRequest asks that a release be tried on a share of the traffic first.
type CanaryRequest struct {
	canary.Strategy
	// Increment is the percentage of a round of a pipeline's canary: the pipeline says when
	// the next round begins, and Settle how it ends. 0: the platform takes the steps of the
	// Strategy by itself.
	Increment int
}

// Operations knows which operations of a release fail more often than those of another.
type Operations interface {
	// Failing returns the operations of the canary's release that are worse than those of
	// the stable one since a moment, the worst first; none when nothing is known.
	Failing(ctx context.Context, canaryRelease, stableRelease string, since time.Time) ([]event.Operation, error)
}

// trial is a stored canary.
type trial struct {
	View      canary.View       `json:"view"` // without what is computed
	Trial     canary.Trial      `json:"trial"`
	Counter   canary.Counter    `json:"counter"`
	Ready     bool              `json:"ready"` // its objects are there
	Name      string            `json:"name"`  // Helm release
	Plan      []workload        `json:"plan"`
	Configs   []object          `json:"configs"`
	Pins      map[string]string `json:"pins"`
	Timeout   time.Duration     `json:"timeout"`
	Reset     bool              `json:"reset"`
	NoWait    bool              `json:"no_wait"`
	Stage     string            `json:"stage,omitempty"` // of the job that made it
	Job       string            `json:"job,omitempty"`
	Requester string            `json:"requester,omitempty"`
}

func (t *trial) release() (project, environment string, number int64) {
	project, environment, number, _ = parseRelease(t.View.Release)
	return project, environment, number
}

// parseRelease splits "project/environment/number".
func parseRelease(id string) (project, environment string, number int64, err error) {
	parts := strings.Split(id, "/")
	if len(parts) == 3 {
		if number, err = strconv.ParseInt(parts[2], 10, 64); err == nil && number > 0 {
			return parts[0], parts[1], number, nil
		}
	}
	return "", "", 0, fault.New(fault.Invalid, "%.100q names no release.", id).WithNext("write it as project/environment/number: shop/production/48")
}

// trials is what this process knows of canaries beside what is stored.
type trials struct {
	wake chan struct{}

	mu      sync.Mutex
	tended  map[string]bool
	hearers map[string]Say
}

func newTrials() *trials {
	return &trials{wake: make(chan struct{}, 1), tended: map[string]bool{}, hearers: map[string]Say{}}
}

func (t *trials) kick() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// hear has say called with what happens to a release; the function returned ends that.
func (t *trials) hear(release string, say Say) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hearers[release] = say
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.hearers, release)
	}
}

func (t *trials) say(release, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if say := t.hearers[release]; say != nil {
		say(fmt.Sprintf(format, args...))
	}
}

// holdTrial locks a stored canary.
func (s *Service) holdTrial(ctx context.Context, release string) (func(), error) {
	return s.locks.take(ctx, "trial/"+release)
}

func readTrials(ctx context.Context, h store.Handle, where string, args ...any) ([]trial, error) {
	rows, err := h.Query(ctx, `SELECT document FROM canary WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading canaries: %w", err)
	}
	defer rows.Close()
	var out []trial
	for rows.Next() {
		var document string
		if err := rows.Scan(&document); err != nil {
			return nil, fmt.Errorf("reading canaries: %w", err)
		}
		var t trial
		if err := json.Unmarshal([]byte(document), &t); err != nil {
			return nil, fmt.Errorf("decoding a canary: %w", err)
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// trialOf returns the canary of a release; fault.NotFound when it has none.
func (s *Service) trialOf(ctx context.Context, release string) (*trial, error) {
	project, environment, number, err := parseRelease(release)
	if err != nil {
		return nil, err
	}
	got, err := readTrials(ctx, s.DB, `project = ? AND environment = ? AND number = ?`, project, environment, number)
	if err != nil {
		return nil, err
	}
	if len(got) == 0 {
		return nil, fault.New(fault.NotFound, "Release %s was no canary.", release).WithNext("list them with `towpath canary list`")
	}
	return &got[0], nil
}

// openCanary returns the canary of an environment that goes on, nil for none.
func (s *Service) openCanary(ctx context.Context, env Environment) (*trial, error) {
	got, err := readTrials(ctx, s.DB, `finished = 0 AND project = ? AND environment = ? ORDER BY number DESC LIMIT 1`, env.Project, env.Name)
	if err != nil || len(got) == 0 {
		return nil, err
	}
	return &got[0], nil
}

// putTrial stores a canary; fact, when it is not nil, is written with it.
func (s *Service) putTrial(ctx context.Context, t *trial, typ string, ops []event.Operation) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error { return s.storeTrial(ctx, tx, t, typ, ops) })
}

func (s *Service) storeTrial(ctx context.Context, tx *store.Tx, t *trial, typ string, ops []event.Operation) error {
	t.Trial.Stamp(s.Clock.Now())
	t.View.State, t.View.Why, t.View.Weight, t.View.Step, t.View.StepSince = t.Trial.Phase, t.Trial.Why, t.Trial.Weight, t.Trial.Step+1, t.Trial.Since
	if ops != nil {
		t.View.Operations = ops
	}
	finished := int64(0)
	if canary.Over(t.Trial.Phase) {
		if t.View.Finished.IsZero() {
			t.View.Finished = s.Clock.Now()
		}
		finished = t.View.Finished.UnixMilli()
	}
	document, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encoding canary %s: %w", t.View.Release, err)
	}
	project, environment, number := t.release()
	_, err = tx.Exec(ctx, `INSERT INTO canary (project, environment, number, state, run, started, finished, document) VALUES (?,?,?,?,?,?,?,?)
		ON CONFLICT (project, environment, number) DO UPDATE SET state = excluded.state, finished = excluded.finished, document = excluded.document`,
		project, environment, number, t.Trial.Phase, t.View.Run, t.View.Started.UnixMilli(), finished, string(document))
	if err != nil {
		return fmt.Errorf("storing canary %s: %w", t.View.Release, err)
	}
	if typ == "" {
		return nil
	}
	return s.Log.Append(ctx, tx, event.Fact{
		Type: typ, Subject: event.Of(event.KindRelease, t.View.Release), Project: project, Actor: orActor(t.View.By), Payload: t.payload(),
	})
}

func orActor(by string) string {
	if by == "" {
		return "system:deploy"
	}
	return by
}

// payload is a canary as the logbook keeps it.
func (t *trial) payload() event.Canary {
	_, environment, _ := t.release()
	out := event.Canary{
		V: 1, Release: t.View.Release, Environment: environment, Stable: t.View.Stable, Step: t.Trial.Step + 1, Steps: len(t.Trial.Strategy.Steps),
		Weight: t.Trial.Weight, State: t.Trial.Phase, Why: t.Trial.Why, By: t.View.By, Operations: t.View.Operations,
	}
	for _, c := range t.Trial.Counts {
		m := c.Last
		if m.Outcome == "" || m.Outcome == canary.Trouble && c.Taken == 0 {
			continue
		}
		out.Metrics = append(out.Metrics, event.CanaryMetric{
			Service: c.Service, Name: c.Metric, Canary: m.Canary, Baseline: m.Baseline, Samples: m.Samples, P: m.P, Verdict: m.Outcome, Why: m.Why,
		})
	}
	return out
}

// maxPoints is how many measurements are kept of each metric of a service.
const maxPoints = 200

func (s *Service) keepMeasurements(ctx context.Context, t *trial, list []canary.Measurement) error {
	if len(list) == 0 {
		return nil
	}
	project, environment, number := t.release()
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		for _, m := range list {
			document, err := json.Marshal(m)
			if err != nil {
				return fmt.Errorf("encoding a measurement: %w", err)
			}
			_, err = tx.Exec(ctx, `INSERT INTO canary_measurement (project, environment, number, service, metric, at, document) VALUES (?,?,?,?,?,?,?)
				ON CONFLICT (project, environment, number, service, metric, at) DO UPDATE SET document = excluded.document`,
				project, environment, number, m.Service, m.Metric, m.At.UnixMilli(), string(document))
			if err != nil {
				return fmt.Errorf("storing a measurement: %w", err)
			}
			_, err = tx.Exec(ctx, `DELETE FROM canary_measurement WHERE project = ? AND environment = ? AND number = ? AND service = ? AND metric = ? AND at <
				COALESCE((SELECT MIN(at) FROM (SELECT at FROM canary_measurement WHERE project = ? AND environment = ? AND number = ? AND service = ? AND metric = ?
				ORDER BY at DESC LIMIT ?) AS kept), 0)`, project, environment, number, m.Service, m.Metric, project, environment, number, m.Service, m.Metric, maxPoints)
			if err != nil {
				return fmt.Errorf("forgetting old measurements: %w", err)
			}
		}
		return nil
	})
}

func (s *Service) measurements(ctx context.Context, t *trial) ([]canary.Series, error) {
	project, environment, number := t.release()
	rows, err := s.DB.Query(ctx, `SELECT service, metric, document FROM canary_measurement WHERE project = ? AND environment = ? AND number = ?
		ORDER BY service, metric, at`, project, environment, number)
	if err != nil {
		return nil, fmt.Errorf("reading measurements: %w", err)
	}
	defer rows.Close()
	var out []canary.Series
	for rows.Next() {
		var service, metric, document string
		var m canary.Measurement
		if err := rows.Scan(&service, &metric, &document); err != nil {
			return nil, fmt.Errorf("reading measurements: %w", err)
		}
		if err := json.Unmarshal([]byte(document), &m); err != nil {
			return nil, fmt.Errorf("decoding a measurement: %w", err)
		}
		if n := len(out); n == 0 || out[n-1].Service != service || out[n-1].Metric != metric {
			out = append(out, canary.Series{Service: service, Metric: metric})
		}
		last := &out[len(out)-1]
		last.Points = append(last.Points, m)
	}
	return out, rows.Err()
}

// liveCanary reports whether a canary of a release goes on.
func liveCanary(ctx context.Context, h store.Handle, r Release) (bool, error) {
	var n int
	err := h.QueryRow(ctx, `SELECT 1 FROM canary WHERE project = ? AND environment = ? AND number = ? AND finished = 0`, r.Project, r.Environment, r.Number).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
