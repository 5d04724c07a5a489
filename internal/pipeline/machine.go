package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Machine is a virtual machine (or any host) of an environment: a resource that deployment
// jobs go to by name or by tags.
type Machine struct {
	ID          string   `json:"id"`
	Project     string   `json:"project"`
	Environment string   `json:"environment"`
	Name        string   `json:"name"`
	Tags        []string `json:"tags"`
	OS          string   `json:"os,omitempty"`
	Arch        string   `json:"arch,omitempty"`
	Version     string   `json:"version,omitempty" doc:"of its agent"`
	Slots       int      `json:"slots,omitempty" doc:"jobs at a time"`
	// Online says that its agent was heard of lately.
	Online     bool      `json:"online"`
	Creator    string    `json:"creator"`
	Created    time.Time `json:"created"`
	Registered time.Time `json:"registered,omitzero" doc:"when its agent came first"`
	Seen       time.Time `json:"seen,omitzero" doc:"when its agent was heard of last"`
}

// NewMachine is a machine with the token of its agent, which is told once.
type NewMachine struct {
	Machine
	Token string `json:"token"`
}

// Environments knows the environments of projects.
type Environments interface {
	// Ensure makes an environment that is missing. It asks whether the actor may.
	Ensure(ctx context.Context, a identity.Actor, project, name string) error
	// ReviewApps reports whether the runs of pull requests may make review apps of an
	// environment; false for one that is not there. It reads through h and asks no rights.
	ReviewApps(ctx context.Context, h store.Handle, project, name string) (bool, error)
}

// machineToken is how the token of a machine's agent begins.
const machineToken = "twm_"

// machineName is what a machine may be called: it becomes the leg of a job.
var machineName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)

// machineTag is what a tag may be.
var machineTag = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,254}$`)

// Bounds of what an environment may hold.
const (
	maxMachines = 1000
	maxTags     = 50
)

// AddMachine makes a machine in an environment, which is made when it is missing, and the
// token that its agent registers with: the token claims the jobs of this machine and opens
// nothing else. Without tags the agent's own count. It needs the maintain role.
func (s *Service) AddMachine(ctx context.Context, a identity.Actor, project, environment, name string, tags []string) (NewMachine, error) {
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return NewMachine{}, err
	}
	if !machineName.MatchString(name) {
		return NewMachine{}, fault.New(fault.Invalid, "%q cannot be the name of a target.", name).
			WithNext("use lower-case letters, digits, dashes and underscores, at most 63 characters: its host name without the domain")
	}
	tags, err := cleanTags(tags)
	if err != nil {
		return NewMachine{}, err
	}
	if s.environments != nil {
		if err := s.environments.Ensure(ctx, a, project, environment); err != nil {
			return NewMachine{}, err
		}
	}
	m := NewMachine{Token: machineToken + rand.Text() + rand.Text(), Machine: Machine{
		ID: s.clock.NewID(), Project: project, Environment: environment, Name: name, Tags: tags, Creator: a.String(), Created: s.clock.Now(),
	}}
	return m, s.again(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM environment_machine WHERE project = ? AND environment = ?`, project, environment).Scan(&n); err != nil {
			return fmt.Errorf("counting the targets of %s: %w", environment, err)
		}
		if n >= maxMachines {
			return fault.New(fault.Conflict, "Environment %s has %d targets already, which is the most.", environment, n)
		}
		_, err := tx.Exec(ctx, `INSERT INTO environment_machine (id, project, environment, name, tags, tagged, token, os, arch, version, slots, creator, created, registered, seen)
			VALUES (?,?,?,?,?,?,?,'','','',0,?,?,0,0)`, m.ID, project, environment, name, text(tags), bit(len(tags) > 0), hash(m.Token), m.Creator, millis(m.Created))
		if store.Unique(err) {
			return fault.New(fault.Conflict, "Environment %s has a target %s already.", environment, name).
				WithNext("for a new token remove it first: towpath env target remove %s %s --project %s", environment, name, project)
		}
		if err != nil {
			return fmt.Errorf("storing target %s: %w", name, err)
		}
		return s.machineChanged(ctx, tx, a, m.Machine, "added", tags)
	})
}

// machineChanged writes a change of a machine into the logbook.
func (s *Service) machineChanged(ctx context.Context, tx *store.Tx, a identity.Actor, m Machine, what string, tags []string) error {
	value := m.Name + " " + what
	if len(tags) > 0 {
		value += ": " + strings.Join(tags, ",")
	}
	return s.log.Append(ctx, tx, event.Fact{
		Type: event.TypeEnvironmentChanged, Subject: event.Of(event.KindProject, m.Project), Project: m.Project, Actor: a.String(),
		Payload: event.EnvironmentChanged{V: 1, Environment: m.Environment, Field: "target", Value: value},
	})
}

// cleanTags checks tags and drops repetitions, which compare without regard to case.
func cleanTags(tags []string) ([]string, error) {
	out := []string{}
	for _, tag := range tags {
		tag = strings.TrimSpace(tag)
		if !machineTag.MatchString(tag) {
			return nil, fault.New(fault.Invalid, "%q cannot be a tag.", tag).WithNext("use letters, digits and . _ : / = -, at most 255 characters")
		}
		if !slices.ContainsFunc(out, func(has string) bool { return strings.EqualFold(has, tag) }) {
			out = append(out, tag)
		}
	}
	if len(out) > maxTags {
		return nil, fault.New(fault.Invalid, "A target has at most %d tags.", maxTags)
	}
	return out, nil
}

// EditMachine replaces the tags of a machine; the jobs that have started keep their
// machines. It needs the maintain role.
func (s *Service) EditMachine(ctx context.Context, a identity.Actor, project, environment, name string, tags []string) (Machine, error) {
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return Machine{}, err
	}
	tags, err := cleanTags(tags)
	if err != nil {
		return Machine{}, err
	}
	var m Machine
	err = s.again(ctx, func(tx *store.Tx) error {
		if m, err = s.machine(ctx, tx, project, environment, name); err != nil {
			return err
		}
		m.Tags = tags
		if _, err := tx.Exec(ctx, `UPDATE environment_machine SET tags = ?, tagged = 1 WHERE id = ?`, text(tags), m.ID); err != nil {
			return fmt.Errorf("storing the tags of target %s: %w", name, err)
		}
		return s.machineChanged(ctx, tx, a, m, "tagged", tags)
	})
	return m, err
}

// RemoveMachine takes a machine out of its environment: its token ends at once, and so do
// the jobs that it has or that are queued for it. It needs the maintain role.
func (s *Service) RemoveMachine(ctx context.Context, a identity.Actor, project, environment, name string) error {
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return err
	}
	err := s.again(ctx, func(tx *store.Tx) error {
		m, err := s.machine(ctx, tx, project, environment, name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM environment_machine WHERE id = ?`, m.ID); err != nil {
			return fmt.Errorf("removing target %s: %w", name, err)
		}
		return s.machineChanged(ctx, tx, a, m, "removed", nil)
	})
	if err != nil {
		return err
	}
	return s.dropAbsent(context.WithoutCancel(ctx))
}

const machineColumns = `id, project, environment, name, tags, os, arch, version, slots, creator, created, registered, seen`

func (s *Service) scanMachine(row scanner) (Machine, error) {
	var m Machine
	var tags string
	var created, registered, seen int64
	err := row.Scan(&m.ID, &m.Project, &m.Environment, &m.Name, &tags, &m.OS, &m.Arch, &m.Version, &m.Slots, &m.Creator, &created, &registered, &seen)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal([]byte(tags), &m.Tags); err != nil {
		return m, fmt.Errorf("reading the tags of target %s: %w", m.Name, err)
	}
	m.Created, m.Registered, m.Seen = fromMillis(created), fromMillis(registered), fromMillis(seen)
	m.Online = s.online(m.Seen)
	return m, nil
}

// online reports whether an agent that was heard of then still counts as there.
func (s *Service) online(seen time.Time) bool {
	return !seen.IsZero() && s.clock.Now().Sub(seen) <= s.opts.Absence
}

// machine finds a machine by its name.
func (s *Service) machine(ctx context.Context, h store.Handle, project, environment, name string) (Machine, error) {
	list, err := s.machines(ctx, h, `project = ? AND environment = ? AND name = ?`, project, environment, name)
	if err == nil && len(list) == 0 {
		return Machine{}, fault.New(fault.NotFound, "Environment %s of project %s has no target %q.", environment, project, name).
			WithNext("list them: towpath env target list %s --project %s", environment, project)
	}
	if err != nil {
		return Machine{}, err
	}
	return list[0], nil
}

// machines reads machines by name.
func (s *Service) machines(ctx context.Context, h store.Handle, where string, args ...any) ([]Machine, error) {
	rows, err := h.Query(ctx, `SELECT `+machineColumns+` FROM environment_machine WHERE `+where+` ORDER BY name`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading targets: %w", err)
	}
	defer rows.Close()
	out := []Machine{}
	for rows.Next() {
		m, err := s.scanMachine(rows)
		if err != nil {
			return nil, fmt.Errorf("reading targets: %w", err)
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

// Machines lists the machines of an environment by name, those that never came too. It
// needs the read role.
func (s *Service) Machines(ctx context.Context, a identity.Actor, project, environment string) ([]Machine, error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	return s.machines(ctx, s.db, `project = ? AND environment = ?`, project, environment)
}

// Deployment is a deployment job of a run, or its leg on one machine.
type Deployment struct {
	Run       int64     `json:"run"`
	Job       string    `json:"job" doc:"its path in the run"`
	Attempt   int       `json:"attempt" doc:"of the job in its run, from 1"`
	Resource  string    `json:"resource,omitempty" doc:"name of the target; empty for the namespace"`
	Status    string    `json:"status"`
	Result    string    `json:"result,omitempty"`
	Why       string    `json:"why,omitempty"`
	Repo      string    `json:"repo"`
	Ref       string    `json:"ref"`
	Commit    string    `json:"commit"`
	Title     string    `json:"title"`
	Requester string    `json:"requester"`
	Queued    time.Time `json:"queued,omitzero"`
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
}

// Deployments lists the deployment jobs to an environment, newest first, at most limit (0:
// 50, the most is 500); with the name of a machine those to it alone, also to one that was
// removed. It needs the read role.
func (s *Service) Deployments(ctx context.Context, a identity.Actor, project, environment, machine string, limit int) ([]Deployment, error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	where, args := `r.project = ? AND j.environment = ? AND j.status <> 'Pending'`, []any{project, environment}
	if machine != "" {
		where, args = where+` AND j.machine <> '' AND j.leg = ?`, append(args, machine)
	}
	if limit <= 0 {
		limit = 50
	}
	rows, err := s.db.Query(ctx, `SELECT j.run, j.stage, j.name, j.leg, j.machine, j.attempt, j.status, j.result, j.why, r.repo, r.ref, r.hash, r.title, r.requester, j.queued, j.started, j.finished
		FROM (SELECT run, stage, name, leg, machine, attempt, status, result, why, queued, started, finished, position, batch, environment FROM pipeline_job
			UNION ALL SELECT run, stage, name, leg, machine, attempt, status, result, why, queued, started, finished, position, batch, environment FROM pipeline_attempt) j
		JOIN pipeline_run r ON r.number = j.run WHERE `+where+` ORDER BY j.run DESC, j.attempt DESC, j.position, j.batch, j.leg LIMIT ?`, append(args, min(limit, 500))...)
	if err != nil {
		return nil, fmt.Errorf("listing the deployments to %s: %w", environment, err)
	}
	defer rows.Close()
	out := []Deployment{}
	for rows.Next() {
		var d Deployment
		var j jobRow
		var q, st, fi int64
		err := rows.Scan(&d.Run, &j.stage, &j.name, &j.leg, &j.machine, &d.Attempt, &d.Status, &d.Result, &d.Why, &d.Repo, &d.Ref, &d.Commit, &d.Title, &d.Requester, &q, &st, &fi)
		if err != nil {
			return nil, fmt.Errorf("listing the deployments to %s: %w", environment, err)
		}
		if j.machine != "" {
			d.Resource = j.leg
		}
		d.Job, d.Queued, d.Started, d.Finished = j.path(), fromMillis(q), fromMillis(st), fromMillis(fi)
		out = append(out, d)
	}
	return out, rows.Err()
}
