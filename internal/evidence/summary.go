package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/event"
)

// Summary is what stands above the Path. A nil field is unknown: nothing was measured.
type Summary struct {
	InProduction *InProduction `json:"in_production,omitempty"`
	// CommitToProduction is the median time from the push of a change to its first
	// release in production, over the last 20 changes that came there.
	CommitToProduction *Duration `json:"commit_to_production_seconds,omitempty"`
	// CommitToProductionOf is how many changes that is the median of.
	CommitToProductionOf int `json:"commit_to_production_of,omitempty"`
	// FailureRate is the share (0 to 1) of the last 50 finished releases in production
	// that failed or were rolled back.
	FailureRate *float64 `json:"failure_rate,omitempty"`
	// FailureRateOf is how many releases that is the share of.
	FailureRateOf int `json:"failure_rate_of,omitempty"`
	// OpenFindings counts what the newest scans found in the images of the change in
	// production; nil before all of them were scanned with advisory data.
	OpenFindings *Findings `json:"open_findings,omitempty"`
	RunsActive   int       `json:"runs_active"`
}

// InProduction is what the newest release in production that succeeded runs.
type InProduction struct {
	Release string    `json:"release"`
	Commit  string    `json:"commit"`
	Title   string    `json:"title"`
	Since   time.Time `json:"since"`
}

// Findings counts vulnerabilities by severity.
type Findings struct {
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
}

// Duration is a time span that JSON shows in seconds.
type Duration time.Duration

// MarshalJSON writes seconds.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).Seconds()) }

// UnmarshalJSON reads seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*d = Duration(f * float64(time.Second))
	return nil
}

// production names the environments that count as production.
var production = []string{"production", "prod"}

const (
	leadTimeOver    = 20
	failureRateOver = 50
	releasesRead    = 500
)

// released is one release in production.
type released struct {
	change  int64
	id      string
	state   State
	time    time.Time
	commit  string
	title   string
	pushed  time.Time
	isFirst bool // the first that succeeded for its change
}

// production reads the newest releases in production, newest first.
func (s *Service) production(ctx context.Context, project string) ([]released, error) {
	rows, err := s.db.Query(ctx, `SELECT p.change_id, p.part, p.time, p.body, c.commit_hash, c.title, c.pushed FROM path_part p
		JOIN path_change c ON c.id = p.change_id WHERE p.project = ? AND p.lock = ? ORDER BY p.seq DESC LIMIT ?`, project, LockDeploy, releasesRead)
	if err != nil {
		return nil, fmt.Errorf("reading the releases of %s: %w", project, err)
	}
	defer rows.Close()
	var out []released
	for rows.Next() {
		var r released
		var ms, pushed int64
		var text string
		if err := rows.Scan(&r.change, &r.id, &ms, &text, &r.commit, &r.title, &pushed); err != nil {
			return nil, fmt.Errorf("reading the releases of %s: %w", project, err)
		}
		var b body
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			return nil, fmt.Errorf("reading the releases of %s: %w", project, err)
		}
		r.state, r.time, r.pushed = b.State, time.UnixMilli(ms).UTC(), time.UnixMilli(pushed).UTC()
		if slices.Contains(production, b.Environment) {
			out = append(out, r)
		}
	}
	first := map[int64]bool{}
	for i := len(out) - 1; i >= 0; i-- {
		if r := &out[i]; r.state == Open && !first[r.change] {
			r.isFirst, first[r.change] = true, true
		}
	}
	return out, rows.Err()
}

// current returns the release that production runs, or nil.
func current(list []released) *released {
	for i := range list {
		if list[i].state == Open {
			return &list[i]
		}
	}
	return nil
}

func (s *Service) summary(ctx context.Context, project string, releases []released) (Summary, error) {
	var sum Summary
	sum.CommitToProduction, sum.CommitToProductionOf = leadTime(releases)
	sum.FailureRate, sum.FailureRateOf = failureRate(releases)
	err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM path_part WHERE project = ? AND lock = ? AND state = ?`, project, LockBuild, string(Passing)).Scan(&sum.RunsActive)
	if err != nil {
		return sum, fmt.Errorf("counting the active runs of %s: %w", project, err)
	}
	r := current(releases)
	if r == nil {
		return sum, nil
	}
	sum.InProduction = &InProduction{Release: r.id, Commit: r.commit, Title: r.title, Since: r.time}
	sum.OpenFindings, err = s.findings(ctx, r.change)
	return sum, err
}

// findings sums up the scans of a change's images.
func (s *Service) findings(ctx context.Context, change int64) (*Findings, error) {
	rows, err := s.db.Query(ctx, `SELECT body FROM path_part WHERE change_id = ? AND lock = ?`, change, LockScan)
	if err != nil {
		return nil, fmt.Errorf("reading the findings: %w", err)
	}
	defer rows.Close()
	var sum *Findings
	unknown := false
	for rows.Next() {
		var text string
		var b body
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("reading the findings: %w", err)
		}
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			return nil, fmt.Errorf("reading the findings: %w", err)
		}
		unknown = unknown || b.State == Passing || b.NoData
		if sum == nil {
			sum = &Findings{}
		}
		sum.Critical, sum.High, sum.Medium = sum.Critical+b.Critical, sum.High+b.High, sum.Medium+b.Medium
	}
	if unknown {
		return nil, rows.Err()
	}
	return sum, rows.Err()
}

func leadTime(releases []released) (median *Duration, of int) {
	var times []time.Duration
	for _, r := range releases {
		if r.isFirst && len(times) < leadTimeOver {
			times = append(times, r.time.Sub(r.pushed))
		}
	}
	if len(times) == 0 {
		return nil, 0
	}
	slices.Sort(times)
	n := len(times)
	d := Duration((times[(n-1)/2] + times[n/2]) / 2)
	return &d, n
}

func failureRate(releases []released) (rate *float64, of int) {
	finished, failed := 0, 0
	for _, r := range releases {
		if r.state == Passing || r.state == Held || finished == failureRateOver {
			continue
		}
		finished++
		if r.state == Shut {
			failed++
		}
	}
	if finished == 0 {
		return nil, 0
	}
	share := float64(failed) / float64(finished)
	return &share, finished
}

// Subject returns what the release is called in the logbook.
func (p InProduction) Subject() event.Subject { return event.Of(event.KindRelease, p.Release) }
