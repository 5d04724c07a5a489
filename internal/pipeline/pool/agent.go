package pool

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Agent is an agent of a pool.
type Agent struct {
	Name    string `json:"name"`
	Pool    string `json:"pool"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Version string `json:"version"`
	Slots   int    `json:"slots" doc:"jobs at a time"`
	Enabled bool   `json:"enabled"`
	// Online says that the agent was heard of lately.
	Online bool      `json:"online"`
	Seen   time.Time `json:"seen,omitzero"`
	// Capabilities are all that the agent has; User those of them that were set here.
	Capabilities Capabilities `json:"capabilities"`
	User         Capabilities `json:"user_capabilities,omitempty"`
	Running      int          `json:"running" doc:"jobs that it has"`
	// State is how a pod is: starting, free, working or ending, and what keeps it from that.
	State string `json:"state,omitempty" doc:"of a pod"`
	// Jobs are those that the agent runs, as far as the reader may know of them.
	Jobs []Busy `json:"jobs,omitempty"`
}

// Busy is a job that an agent has.
type Busy struct {
	Run int64  `json:"run"`
	Job string `json:"job"`
}

const agentColumns = `a.name, COALESCE(p.name, a.pool), a.os, a.arch, a.version, a.slots, a.enabled, a.seen, a.capabilities, a.own`

// agents reads agents by name.
func (s *Service) agents(ctx context.Context, h store.Handle, where string, args ...any) ([]Agent, error) {
	rows, err := h.Query(ctx, `SELECT `+agentColumns+`, COALESCE(p.settings, '{}') FROM pipeline_agent a LEFT JOIN agent_pool p ON p.folded = a.pool WHERE `+where+` ORDER BY a.pool, a.name`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the agents: %w", err)
	}
	defer rows.Close()
	out := []Agent{}
	for rows.Next() {
		var a Agent
		var enabled, seen int64
		var reported, own, settings string
		if err := rows.Scan(&a.Name, &a.Pool, &a.OS, &a.Arch, &a.Version, &a.Slots, &enabled, &seen, &reported, &own, &settings); err != nil {
			return nil, fmt.Errorf("reading the agents: %w", err)
		}
		var st Settings
		err := errors.Join(json.Unmarshal([]byte(reported), &a.Capabilities), json.Unmarshal([]byte(own), &a.User), json.Unmarshal([]byte(settings), &st))
		if err != nil {
			return nil, fmt.Errorf("reading the capabilities of agent %s: %w", a.Name, err)
		}
		a.Capabilities = a.Capabilities.With(st.Capabilities).With(a.User)
		a.Enabled = enabled != 0
		if seen > 0 {
			a.Seen = time.UnixMilli(seen).UTC()
		}
		a.Online = seen > 0 && s.Clock.Now().Sub(a.Seen) <= s.Absence
		out = append(out, a)
	}
	return out, rows.Err()
}

// Agents lists the agents of a pool, or all with "".
func (s *Service) Agents(ctx context.Context, a identity.Actor, name string) ([]Agent, error) {
	if err := signedIn(a); err != nil {
		return nil, err
	}
	if name == "" {
		hosts, err := s.agents(ctx, s.DB, `1 = 1`)
		if err != nil {
			return nil, err
		}
		pods, err := s.podAgents(ctx, `1 = 1`)
		return append(hosts, pods...), err
	}
	p, err := s.find(ctx, s.DB, name)
	if err != nil {
		return nil, err
	}
	if p.Kind == Kubernetes {
		return s.podAgents(ctx, `a.pool = ?`, Fold(name))
	}
	return s.agents(ctx, s.DB, `a.pool = ?`, Fold(name))
}

// Ending is the state of a pod that has had its job and goes.
const Ending = "ending"

// podAgents reads the agents in pods, the oldest first. One is online once it has come.
func (s *Service) podAgents(ctx context.Context, where string, args ...any) ([]Agent, error) {
	rows, err := s.DB.Query(ctx, `SELECT a.name, p.name, a.ready, a.ticket, p.settings FROM agent_pod a JOIN agent_pool p ON p.folded = a.pool WHERE `+where+` ORDER BY a.pool, a.created, a.name`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the pods of agents: %w", err)
	}
	defer rows.Close()
	out := []Agent{}
	for rows.Next() {
		a := Agent{OS: "linux", Slots: 1, Enabled: true}
		var ready int64
		var ticket, settings string
		var st Settings
		err := rows.Scan(&a.Name, &a.Pool, &ready, &ticket, &settings)
		if err == nil {
			err = json.Unmarshal([]byte(settings), &st)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the pods of agents: %w", err)
		}
		a.Online, a.Capabilities, a.State = ready != 0, podCapabilities.With(st.Capabilities), "starting"
		if ticket != "" {
			a.State = Ending // It has had its one job, unless that runs.
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// agent finds one agent.
func (s *Service) agent(ctx context.Context, h store.Handle, name string) (Agent, error) {
	list, err := s.agents(ctx, h, `a.name = ?`, name)
	if err == nil && len(list) == 0 {
		return Agent{}, fault.New(fault.NotFound, "There is no agent %.100q.", name).WithNext("list them: towpath agent list")
	}
	if err != nil {
		return Agent{}, err
	}
	return list[0], nil
}

// Edit says what changes of an agent; nil leaves it.
type Edit struct {
	Enabled      *bool        `json:"enabled,omitempty" doc:"a disabled agent ends its jobs and gets no new ones"`
	Capabilities Capabilities `json:"capabilities,omitempty" doc:"set beside those that it reports; an empty value takes one back"`
}

// EditAgent enables or disables an agent, or sets capabilities of it. It needs the
// administrator.
func (s *Service) EditAgent(ctx context.Context, a identity.Actor, name string, e Edit) (Agent, error) {
	if err := s.Auth.RequireAdmin(ctx, a); err != nil {
		return Agent{}, err
	}
	if err := e.Capabilities.check(); err != nil {
		return Agent{}, fault.Wrap(fault.Invalid, err, "The capabilities cannot be: %v.", err)
	}
	var out Agent
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		got, err := s.agent(ctx, tx, name)
		if err != nil {
			return err
		}
		user := got.User.With(nil)
		for k, v := range e.Capabilities {
			user = user.With(Capabilities{k: v})
			if v == "" {
				delete(user, k)
			}
		}
		if err := user.check(); err != nil {
			return fault.Wrap(fault.Invalid, err, "The capabilities cannot be: %v.", err)
		}
		enabled := got.Enabled
		if e.Enabled != nil {
			enabled = *e.Enabled
		}
		if _, err := tx.Exec(ctx, `UPDATE pipeline_agent SET enabled = ?, own = ? WHERE name = ?`, bit(enabled), text(user), name); err != nil {
			return fmt.Errorf("storing agent %s: %w", name, err)
		}
		field, value := "enabled", fmt.Sprint(enabled)
		if e.Enabled == nil {
			field, value = "capabilities", text(e.Capabilities)
		}
		if err := s.changed(ctx, tx, a, got.Pool, name, field, value); err != nil {
			return err
		}
		out, err = s.agent(ctx, tx, name)
		return err
	})
	return out, err
}

// RemoveAgent forgets an agent that is away; one that comes again is there again. It needs
// the administrator.
func (s *Service) RemoveAgent(ctx context.Context, a identity.Actor, name string) error {
	if err := s.Auth.RequireAdmin(ctx, a); err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		got, err := s.agent(ctx, tx, name)
		if err != nil {
			return err
		}
		if got.Online {
			return fault.New(fault.Conflict, "Agent %s is there.", name).WithNext("stop it first, or keep jobs from it: towpath agent disable %s", name)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM pipeline_agent WHERE name = ?`, name); err != nil {
			return fmt.Errorf("removing agent %s: %w", name, err)
		}
		return s.changed(ctx, tx, a, got.Pool, name, "removed", "")
	})
}

// Register notes what an agent says of itself. bound is the folded name of the pool whose
// token it bears, "" for the server's own agents, which choose theirs.
func (s *Service) Register(ctx context.Context, bound string, in protocol.Register) error {
	reported := Capabilities(in.Capabilities)
	if err := reported.check(); err != nil {
		return fault.Wrap(fault.Invalid, err, "The capabilities of agent %s cannot be: %v.", in.Name, err)
	}
	want := Fold(in.Pool)
	switch {
	case want == "" && bound == "":
		want = Fold(Default)
	case want == "":
		want = bound
	case bound != "" && want != bound:
		return fault.New(fault.Denied, "The token is not that of the pool %.100s.", in.Pool).WithNext("leave --pool out, or take the token of that pool: towpath pool token %.100s", in.Pool)
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		p, err := s.find(ctx, tx, want)
		if err != nil {
			return err
		}
		if p.Kind != Host {
			return fault.New(fault.Denied, "The agents of pool %s are pods that the server makes.", p.Name)
		}
		var has string
		err = tx.QueryRow(ctx, `SELECT pool FROM pipeline_agent WHERE name = ?`, in.Name).Scan(&has)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("reading agent %s: %w", in.Name, err)
		}
		if bound != "" && err == nil && has != bound {
			return fault.New(fault.Conflict, "There is an agent %s in another pool.", in.Name).WithNext("give this one a name of its own: --name NAME")
		}
		_, err = tx.Exec(ctx, `INSERT INTO pipeline_agent (name, os, arch, version, slots, seen, pool, capabilities) VALUES (?,?,?,?,?,?,?,?)
			ON CONFLICT (name) DO UPDATE SET os = excluded.os, arch = excluded.arch, version = excluded.version, slots = excluded.slots, seen = excluded.seen,
				pool = excluded.pool, capabilities = excluded.capabilities`,
			in.Name, in.OS, in.Arch, in.Version, in.Slots, s.Clock.Now().UnixMilli(), want, text(reported.With(nil)))
		if err != nil {
			return fmt.Errorf("registering agent %s: %w", in.Name, err)
		}
		return nil
	})
}

// Claimant is what an agent may claim.
type Claimant struct {
	Pool         string // folded
	Enabled      bool
	Capabilities Capabilities
}

// Claimant returns what the agent of a name may claim. One that never registered is an agent
// of Default that can do nothing special, unless it bears the token of a pool.
func (s *Service) Claimant(ctx context.Context, bound, name string) (Claimant, error) {
	list, err := s.agents(ctx, s.DB, `a.name = ?`, name)
	if err != nil {
		return Claimant{}, err
	}
	if len(list) == 0 {
		if bound != "" {
			return Claimant{}, fault.New(fault.Denied, "Agent %.100s is not registered in the pool of its token.", name)
		}
		return Claimant{Pool: Fold(Default), Enabled: true}, nil
	}
	a := list[0]
	c := Claimant{Pool: Fold(a.Pool), Enabled: a.Enabled, Capabilities: a.Capabilities}
	if bound != "" && c.Pool != bound {
		return Claimant{}, fault.New(fault.Denied, "Agent %.100s belongs to another pool than its token.", name)
	}
	if s.Clock.Now().Sub(a.Seen) < s.Absence/6 {
		return c, nil
	}
	return c, s.DB.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE pipeline_agent SET seen = ? WHERE name = ?`, s.Clock.Now().UnixMilli(), name); err != nil {
			return fmt.Errorf("noting that agent %s is there: %w", name, err)
		}
		return nil
	})
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
