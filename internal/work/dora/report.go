package dora

import (
	"context"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// The widths of a report's buckets.
const (
	Day   = "day"
	Week  = "week" // from Monday
	Month = "month"
)

// Production is the environment that is meant when none is named.
const Production = "production"

// Question asks for a report; zero fields are the defaults.
type Question struct {
	Environment string    // "" is production
	From, To    time.Time // whole buckets that hold them; the last 90 days
	Bucket      string    // day, week, month; "" is week
}

// Report is the four numbers of an environment.
type Report struct {
	Project     string       `json:"project"`
	Environment string       `json:"environment"`
	From        time.Time    `json:"from"`
	To          time.Time    `json:"to"`
	Bucket      string       `json:"bucket"`
	Total       Numbers      `json:"total"`
	Points      []Point      `json:"points"`      // oldest first, empty buckets too
	Deployments []Deployment `json:"deployments"` // newest first, at most 500
	Changes     []Change     `json:"changes"`     // that arrived, the slowest first, at most 500
	Incidents   []Incident   `json:"incidents"`   // newest first, at most 500
}

// Numbers are the four, with what they are made of. Times are in seconds.
type Numbers struct {
	Deployments int     `json:"deployments"`
	PerDay      float64 `json:"deployments_per_day"`
	Changes     int     `json:"changes"`
	Lead        float64 `json:"lead_seconds" doc:"median; 0 without changes"`
	Incidents   int     `json:"incidents"`
	FailureRate float64 `json:"change_failure_rate" doc:"incidents per deployment; 0 without deployments"`
	Restored    int     `json:"restored" doc:"incidents that were closed"`
	Restore     float64 `json:"restore_seconds" doc:"median; 0 when none was closed"`
}

// Point is one bucket.
type Point struct {
	Start time.Time `json:"start"`
	Numbers
}

// Deployment is a release that was deployed.
type Deployment struct {
	Release string    `json:"release"`
	Commit  string    `json:"commit,omitempty"`
	Run     int64     `json:"run,omitempty"`
	At      time.Time `json:"at"`
	Changes int       `json:"changes"` // that arrived with it
}

// Change is a push that arrived in the environment.
type Change struct {
	Repo      string    `json:"repo"`
	Commit    string    `json:"commit"`
	Title     string    `json:"title"`
	Author    string    `json:"author"`
	Committed time.Time `json:"committed"`
	Arrived   time.Time `json:"arrived"`
	Release   string    `json:"release"`
	Lead      float64   `json:"lead_seconds"`
}

// Incident is an item about a release.
type Incident struct {
	Item    int64     `json:"item"`
	Title   string    `json:"title"`
	Source  string    `json:"source"`
	Release string    `json:"release"`
	Opened  time.Time `json:"opened"`
	Closed  time.Time `json:"closed,omitzero"`
}

// Limits of a report.
const (
	maxPoints = 400
	maxRows   = 100_000
	maxListed = 500
)

// Report answers a question about a project. It needs read.
func (s *Service) Report(ctx context.Context, a identity.Actor, project string, q Question) (Report, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Report{}, err
	}
	r, err := s.frame(project, q)
	if err != nil {
		return r, err
	}
	if r.Deployments, err = s.deployments(ctx, r); err != nil {
		return r, err
	}
	if r.Changes, err = s.changes(ctx, r); err != nil {
		return r, err
	}
	if r.Incidents, err = s.incidents(ctx, r); err != nil {
		return r, err
	}
	r.compute(s.Clock.Now())
	slices.SortStableFunc(r.Changes, func(a, b Change) int { return int(b.Lead) - int(a.Lead) })
	r.Deployments, r.Changes, r.Incidents = head(r.Deployments), head(r.Changes), head(r.Incidents)
	return r, nil
}

func head[T any](list []T) []T { return list[:min(len(list), maxListed)] }

// frame puts a question into whole buckets.
func (s *Service) frame(project string, q Question) (Report, error) {
	r := Report{Project: project, Environment: q.Environment, Bucket: q.Bucket, From: q.From, To: q.To}
	if r.Environment == "" {
		r.Environment = Production
	}
	if r.Bucket == "" {
		r.Bucket = Week
	}
	if r.Bucket != Day && r.Bucket != Week && r.Bucket != Month {
		return r, fault.New(fault.Invalid, "%.40q is no width of a bucket.", q.Bucket).WithNext("use day, week or month")
	}
	if r.To.IsZero() {
		r.To = s.Clock.Now()
	}
	if r.From.IsZero() {
		r.From = r.To.AddDate(0, 0, -90)
	}
	if !r.From.Before(r.To) {
		return r, fault.New(fault.Invalid, "A report begins before it ends.").WithNext("swap from and to")
	}
	r.From = begin(r.From.UTC(), r.Bucket)
	for at := r.From; at.Before(r.To); at = next(at, r.Bucket) {
		if len(r.Points) == maxPoints {
			return r, fault.New(fault.TooLarge, "A report has at most %d buckets.", maxPoints).WithNext("ask for wider ones, or for less time")
		}
		r.Points = append(r.Points, Point{Start: at})
	}
	r.To = next(r.Points[len(r.Points)-1].Start, r.Bucket)
	return r, nil
}

// begin is the first moment of the bucket that holds a moment.
func begin(t time.Time, bucket string) time.Time {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch bucket {
	case Week:
		return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
	case Month:
		return day.AddDate(0, 0, 1-day.Day())
	}
	return day
}

func next(t time.Time, bucket string) time.Time {
	switch bucket {
	case Week:
		return t.AddDate(0, 0, 7)
	case Month:
		return t.AddDate(0, 1, 0)
	}
	return t.AddDate(0, 0, 1)
}

// compute fills in the numbers of the whole and of each bucket. A bucket that is not over
// counts the days that it had.
func (r *Report) compute(now time.Time) {
	r.Total = r.numbers(r.From, r.To, now)
	for i := range r.Points {
		at := r.Points[i].Start
		r.Points[i].Numbers = r.numbers(at, next(at, r.Bucket), now)
	}
}

func (r *Report) numbers(from, to, now time.Time) Numbers {
	in := func(t time.Time) bool { return !t.Before(from) && t.Before(to) }
	var n Numbers
	var leads, restores []float64
	for _, d := range r.Deployments {
		if in(d.At) {
			n.Deployments++
		}
	}
	for _, c := range r.Changes {
		if in(c.Arrived) {
			leads = append(leads, c.Lead)
		}
	}
	for _, i := range r.Incidents {
		if in(i.Opened) {
			n.Incidents++
		}
		if !i.Closed.IsZero() && in(i.Closed) {
			restores = append(restores, i.Closed.Sub(i.Opened).Seconds())
		}
	}
	if to.After(now) {
		to = now
	}
	if days := to.Sub(from).Hours() / 24; days > 0 {
		n.PerDay = float64(n.Deployments) / max(days, 1)
	}
	if n.Deployments > 0 {
		n.FailureRate = float64(n.Incidents) / float64(n.Deployments)
	}
	n.Changes, n.Lead = len(leads), median(leads)
	n.Restored, n.Restore = len(restores), median(restores)
	return n
}

// median is the middle of values, of an even number the mean of the two; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if m := len(v) / 2; len(v)%2 == 1 {
		return v[m]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

func (s *Service) deployments(ctx context.Context, r Report) ([]Deployment, error) {
	rows, err := s.DB.Query(ctx, `SELECT d.release_id, d.commit_hash, d.run, d.finished, (SELECT COUNT(*) FROM dora_lead l WHERE l.project = d.project
		AND l.environment = d.environment AND l.release_id = d.release_id AND l.finished = d.finished)
		FROM dora_deployment d WHERE d.project = ? AND d.environment = ? AND d.finished >= ? AND d.finished < ? ORDER BY d.finished DESC LIMIT ?`,
		r.Project, r.Environment, r.From.UnixMilli(), r.To.UnixMilli(), maxRows)
	if err != nil {
		return nil, fmt.Errorf("listing deployments: %w", err)
	}
	defer rows.Close()
	out := []Deployment{}
	for rows.Next() {
		var d Deployment
		var at int64
		if err := rows.Scan(&d.Release, &d.Commit, &d.Run, &at, &d.Changes); err != nil {
			return nil, fmt.Errorf("listing deployments: %w", err)
		}
		d.At = moment(at)
		out = append(out, d)
	}
	return out, rows.Err()
}

func (s *Service) changes(ctx context.Context, r Report) ([]Change, error) {
	rows, err := s.DB.Query(ctx, `SELECT c.repo, c.commit_hash, c.title, c.author, c.committed, l.finished, l.release_id, l.lead_ms
		FROM dora_lead l JOIN dora_change c ON c.project = l.project AND c.repo = l.repo AND c.commit_hash = l.commit_hash
		WHERE l.project = ? AND l.environment = ? AND l.finished >= ? AND l.finished < ? ORDER BY l.finished DESC, c.seq DESC LIMIT ?`,
		r.Project, r.Environment, r.From.UnixMilli(), r.To.UnixMilli(), maxRows)
	if err != nil {
		return nil, fmt.Errorf("listing changes: %w", err)
	}
	defer rows.Close()
	out := []Change{}
	for rows.Next() {
		var c Change
		var committed, arrived, lead int64
		if err := rows.Scan(&c.Repo, &c.Commit, &c.Title, &c.Author, &committed, &arrived, &c.Release, &lead); err != nil {
			return nil, fmt.Errorf("listing changes: %w", err)
		}
		c.Committed, c.Arrived, c.Lead = moment(committed), moment(arrived), float64(lead)/1000
		out = append(out, c)
	}
	return out, rows.Err()
}

func (s *Service) incidents(ctx context.Context, r Report) ([]Incident, error) {
	rows, err := s.DB.Query(ctx, `SELECT item, title, source, release_id, opened, closed FROM dora_incident
		WHERE project = ? AND environment = ? AND opened < ? AND (opened >= ? OR closed >= ?) ORDER BY opened DESC, item DESC LIMIT ?`,
		r.Project, r.Environment, r.To.UnixMilli(), r.From.UnixMilli(), r.From.UnixMilli(), maxRows)
	if err != nil {
		return nil, fmt.Errorf("listing incidents: %w", err)
	}
	defer rows.Close()
	out := []Incident{}
	for rows.Next() {
		var i Incident
		var opened, closed int64
		if err := rows.Scan(&i.Item, &i.Title, &i.Source, &i.Release, &opened, &closed); err != nil {
			return nil, fmt.Errorf("listing incidents: %w", err)
		}
		i.Opened, i.Closed = moment(opened), moment(closed)
		out = append(out, i)
	}
	return out, rows.Err()
}
