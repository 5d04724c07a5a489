package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// caller is the agent that a request comes from: one of the server's own, or the agent on
// a machine of an environment, which gets the jobs of this machine and nothing else.
// An agent of a pool bears the token of the server, or that of its pool.
type caller struct {
	machine *Machine
	pool    string  // folded name of the pool whose token it bears; "" for the server's own
	pod     *podRow // the pod that the agent is in, whose one job it may have
}

// id is the machine whose jobs the caller may have, "" for the server's own agents.
func (c caller) id() string {
	if c.machine == nil {
		return ""
	}
	return c.machine.ID
}

// name is what a job says of the agent that has it.
func (c caller) name(agent string) string {
	if c.machine == nil {
		return agent
	}
	return c.machine.Environment + "/" + c.machine.Name
}

// caller finds out who bears a token. Tokens of machines are random and found by their
// hash, so that no comparison tells anything of them.
func (s *Service) caller(ctx context.Context, r *http.Request) (caller, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case ok && s.isAgent(token):
		return caller{}, nil
	case ok && strings.HasPrefix(token, podToken):
		return s.podOf(ctx, token)
	case ok && strings.HasPrefix(token, pool.TokenPrefix):
		bound, err := s.pools.Bearer(ctx, token)
		return caller{pool: bound}, err
	case !ok || !strings.HasPrefix(token, machineToken):
		return caller{}, fault.New(fault.Unauthentic, "The agent token is wrong.").WithNext("give the agent the token file of this server with --token-file")
	}
	m, err := s.scanMachine(s.db.QueryRow(ctx, `SELECT `+machineColumns+` FROM environment_machine WHERE token = ?`, hash(token)))
	if errors.Is(err, sql.ErrNoRows) {
		return caller{}, fault.New(fault.Unauthentic, "The token is not that of a target of any environment; the target may have been removed.").
			WithNext("make one: towpath env target add ENVIRONMENT NAME")
	}
	if err != nil {
		return caller{}, fmt.Errorf("reading the target of a token: %w", err)
	}
	return caller{machine: &m}, nil
}

// mine refuses a request about a job that is not for the machine of the caller, whatever
// lease it shows.
func (s *Service) mine(ctx context.Context, c caller, job string) error {
	var machine, in string
	err := s.db.QueryRow(ctx, `SELECT machine, pool FROM pipeline_job WHERE id = ?`, job).Scan(&machine, &in)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (machine != c.id() || c.pool != "" && in != c.pool || c.pod != nil && job != c.pod.job) {
		return fault.New(fault.NotFound, "There is no such job, or its lease is not yours.")
	}
	if err != nil {
		return fmt.Errorf("reading the target of a job: %w", err)
	}
	return nil
}

// mustBe refuses an agent that calls itself otherwise than its token does.
func (c caller) mustBe(environment, name string) error {
	switch {
	case c.machine == nil && environment != "":
		return fault.New(fault.Denied, "The token is that of the server's own agents, not of a target of %s.", environment).
			WithNext("make a target and use its token: towpath env target add ENVIRONMENT NAME")
	case c.machine == nil:
		return nil
	case environment != c.machine.Project+"/"+c.machine.Environment || name != c.machine.Name:
		return fault.New(fault.Denied, "The token is not that of the target %s of %s.", name, environment).
			WithNext("start the agent with the --environment and --name that the token was made for")
	}
	return nil
}

// register notes what a machine's agent says of itself. Its tags count as long as nobody
// set some here. It returns the tags that count.
func (s *Service) register(ctx context.Context, m *Machine, in protocol.Register) ([]string, error) {
	tags, err := cleanTags(in.Tags)
	if err != nil {
		return nil, err
	}
	now := millis(s.clock.Now())
	err = s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE environment_machine SET os = ?, arch = ?, version = ?, slots = ?, seen = ?,
			registered = CASE WHEN registered = 0 THEN CAST(? AS BIGINT) ELSE registered END, tags = CASE WHEN tagged = 0 THEN CAST(? AS TEXT) ELSE tags END WHERE id = ?`,
			in.OS, in.Arch, in.Version, in.Slots, now, now, text(tags), m.ID)
		if err != nil {
			return fmt.Errorf("registering target %s: %w", m.Name, err)
		}
		again, err := s.machine(ctx, tx, m.Project, m.Environment, m.Name)
		tags = again.Tags
		return err
	})
	return tags, err
}

// touch notes that a caller is there, not more often than its absence needs.
func (s *Service) touch(ctx context.Context, c caller) error {
	now := s.clock.Now()
	if c.machine == nil || c.machine.Registered.IsZero() || now.Sub(c.machine.Seen) < s.opts.Absence/6 {
		return nil
	}
	err := s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE environment_machine SET seen = ? WHERE id = ?`, millis(now), c.machine.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("noting that target %s is there: %w", c.machine.Name, err)
	}
	c.machine.Seen = now
	return nil
}
