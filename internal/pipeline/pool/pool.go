package pool

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Kind is what the agents of a pool are.
type Kind string

// The kinds of pools.
const (
	Host       Kind = "host"       // agents on hosts, which register themselves
	Kubernetes Kind = "kubernetes" // a pod for each job
)

// The pools that are always there.
const (
	Default    = "Default"
	Containers = "Kubernetes"
)

// TokenPrefix is how the token of a pool's agents begins.
const TokenPrefix = "twp_"

// Pool is a set of agents.
type Pool struct {
	Name     string    `json:"name"`
	Kind     Kind      `json:"kind"`
	Settings Settings  `json:"settings"`
	Creator  string    `json:"creator,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Agents   int       `json:"agents" doc:"that are known"`
	Online   int       `json:"online" doc:"that were heard of lately and are enabled; pods that are ready"`
	Running  int       `json:"running" doc:"jobs that its agents have"`
	Queued   int       `json:"queued" doc:"jobs that wait for an agent"`
}

// Service is the pools of an installation. It is safe for concurrent use.
type Service struct{ Parts }

// Parts are what the service is made of.
type Parts struct {
	DB    *store.DB
	Log   *event.Log
	Auth  Authorizer
	Clock clock.Clock
	// Absence is after how long without a word an agent counts as offline.
	Absence time.Duration
}

// Authorizer decides who may change pools. identity.Service is one.
type Authorizer interface {
	// RequireAdmin returns nil for an administrator of the installation.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// New returns the service.
func New(p Parts) *Service { return &Service{p} }

// poolName is what a pool may be called.
var poolName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?$`)

// maxPools bounds how many pools there are.
const maxPools = 200

// Fold is the form in which names of pools compare, and in which rows keep them.
func Fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// signedIn lets everybody in who is known.
func signedIn(a identity.Actor) error {
	if !a.Known() {
		return fault.New(fault.Unauthentic, "You are not signed in.").WithNext("run `towpath login`")
	}
	return nil
}

// Pools lists the pools by name.
func (s *Service) Pools(ctx context.Context, a identity.Actor) ([]Pool, error) {
	if err := signedIn(a); err != nil {
		return nil, err
	}
	list, err := s.pools(ctx, s.DB, `1 = 1`)
	if err != nil {
		return nil, err
	}
	return list, s.count(ctx, list)
}

// Pool returns one pool.
func (s *Service) Pool(ctx context.Context, a identity.Actor, name string) (Pool, error) {
	if err := signedIn(a); err != nil {
		return Pool{}, err
	}
	p, err := s.find(ctx, s.DB, name)
	if err != nil {
		return Pool{}, err
	}
	list := []Pool{p}
	err = s.count(ctx, list)
	return list[0], err
}

// Find returns a pool without asking who wants to know, for the scheduler.
func (s *Service) Find(ctx context.Context, h store.Handle, name string) (Pool, error) {
	return s.find(ctx, h, name)
}

// OfKind lists the pools of a kind, for those who make their agents.
func (s *Service) OfKind(ctx context.Context, k Kind) ([]Pool, error) {
	return s.pools(ctx, s.DB, `kind = ?`, string(k))
}

func (s *Service) find(ctx context.Context, h store.Handle, name string) (Pool, error) {
	list, err := s.pools(ctx, h, `folded = ?`, Fold(name))
	if err == nil && len(list) == 0 {
		return Pool{}, fault.New(fault.NotFound, "There is no agent pool %.100q.", name).
			WithNext("list them: towpath pool list; make one: towpath pool create NAME")
	}
	if err != nil {
		return Pool{}, err
	}
	return list[0], nil
}

func (s *Service) pools(ctx context.Context, h store.Handle, where string, args ...any) ([]Pool, error) {
	rows, err := h.Query(ctx, `SELECT name, kind, settings, creator, created FROM agent_pool WHERE `+where+` ORDER BY folded`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the agent pools: %w", err)
	}
	defer rows.Close()
	out := []Pool{}
	for rows.Next() {
		var p Pool
		var settings string
		var created int64
		if err := rows.Scan(&p.Name, &p.Kind, &settings, &p.Creator, &created); err != nil {
			return nil, fmt.Errorf("reading the agent pools: %w", err)
		}
		if err := json.Unmarshal([]byte(settings), &p.Settings); err != nil {
			return nil, fmt.Errorf("reading the settings of pool %s: %w", p.Name, err)
		}
		if created > 0 {
			p.Created = time.UnixMilli(created).UTC()
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// count adds how many agents and jobs the pools have.
func (s *Service) count(ctx context.Context, list []Pool) error {
	alive := s.Clock.Now().Add(-s.Absence).UnixMilli()
	for i := range list {
		p := &list[i]
		folded := Fold(p.Name)
		there, args := `SELECT COUNT(*), COALESCE(SUM(CASE WHEN enabled = 1 AND seen >= ? THEN 1 ELSE 0 END), 0) FROM pipeline_agent WHERE pool = ?`, []any{alive, folded}
		if p.Kind == Kubernetes {
			there, args = `SELECT COUNT(*), COALESCE(SUM(CASE WHEN ready = 1 THEN 1 ELSE 0 END), 0) FROM agent_pod WHERE pool = ?`, []any{folded}
		}
		err := s.DB.QueryRow(ctx, there, args...).Scan(&p.Agents, &p.Online)
		if err == nil {
			err = s.DB.QueryRow(ctx, `SELECT COALESCE(SUM(CASE WHEN status <> 'Queued' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN status = 'Queued' THEN 1 ELSE 0 END), 0)
				FROM pipeline_job WHERE pool = ? AND machine = '' AND (status IN ('Queued', 'Running') OR id IN (SELECT job FROM pipeline_stay WHERE ended = 0))`, folded).Scan(&p.Running, &p.Queued)
		}
		if err != nil {
			return fmt.Errorf("counting the agents of pool %s: %w", p.Name, err)
		}
	}
	return nil
}

// Create makes a pool. It needs the administrator.
func (s *Service) Create(ctx context.Context, a identity.Actor, name string, kind Kind, settings Settings) (Pool, error) {
	if err := s.Auth.RequireAdmin(ctx, a); err != nil {
		return Pool{}, err
	}
	name = strings.TrimSpace(name)
	if !poolName.MatchString(name) || hosted(name) || Fold(name) == "server" {
		return Pool{}, fault.New(fault.Invalid, "%.100q cannot be the name of a pool.", name).
			WithNext("use letters, digits, blanks and . _ -, at most 63; server and the names of hosted pools mean something else in a pipeline")
	}
	if kind != Host && kind != Kubernetes {
		return Pool{}, fault.New(fault.Invalid, "There is no pool of kind %.40q.", string(kind)).WithNext("use host or kubernetes")
	}
	p := Pool{Name: name, Kind: kind, Settings: settings, Creator: a.String(), Created: s.Clock.Now()}
	if err := p.Settings.check(kind); err != nil {
		return p, err
	}
	return p, s.DB.Tx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM agent_pool`).Scan(&n); err != nil {
			return fmt.Errorf("counting the agent pools: %w", err)
		}
		if n >= maxPools {
			return fault.New(fault.Conflict, "There are %d agent pools already, which is the most.", n)
		}
		_, err := tx.Exec(ctx, `INSERT INTO agent_pool (folded, name, kind, settings, token, creator, created) VALUES (?,?,?,?,'',?,?)`,
			Fold(name), name, kind, text(p.Settings), p.Creator, p.Created.UnixMilli())
		if store.Unique(err) {
			return fault.New(fault.Conflict, "There is an agent pool %s already.", name).WithNext("change it: towpath pool edit %q", name)
		}
		if err != nil {
			return fmt.Errorf("storing pool %s: %w", name, err)
		}
		return s.changed(ctx, tx, a, p.Name, "", "created", string(kind))
	})
}

// Edit replaces the settings of a pool by what change makes of them. It needs the
// administrator.
func (s *Service) Edit(ctx context.Context, a identity.Actor, name string, change func(*Settings)) (Pool, error) {
	if err := s.Auth.RequireAdmin(ctx, a); err != nil {
		return Pool{}, err
	}
	var p Pool
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		var err error
		if p, err = s.find(ctx, tx, name); err != nil {
			return err
		}
		change(&p.Settings)
		if err := p.Settings.check(p.Kind); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE agent_pool SET settings = ? WHERE folded = ?`, text(p.Settings), Fold(name)); err != nil {
			return fmt.Errorf("storing the settings of pool %s: %w", p.Name, err)
		}
		return s.changed(ctx, tx, a, p.Name, "", "settings", text(p.Settings))
	})
	return p, err
}

// Remove takes a pool away that no job and no agent is in. It needs the administrator.
func (s *Service) Remove(ctx context.Context, a identity.Actor, name string) error {
	if err := s.Auth.RequireAdmin(ctx, a); err != nil {
		return err
	}
	if f := Fold(name); f == Fold(Default) || f == Fold(Containers) {
		return fault.New(fault.Invalid, "The pool %s is always there.", name).WithNext("to keep jobs out of it, disable its agents: towpath agent disable NAME")
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		p, err := s.find(ctx, tx, name)
		if err != nil {
			return err
		}
		var jobs int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_job WHERE status IN ('Queued', 'Waiting', 'Running') AND pool = ?`, Fold(name)).Scan(&jobs); err != nil {
			return fmt.Errorf("counting the jobs of pool %s: %w", p.Name, err)
		}
		if jobs > 0 {
			return fault.New(fault.Conflict, "Pool %s has %d jobs that are not over.", p.Name, jobs).WithNext("wait for them, or cancel their runs")
		}
		for _, q := range []string{`DELETE FROM pipeline_agent WHERE pool = ?`, `DELETE FROM agent_pool WHERE folded = ?`} {
			if _, err := tx.Exec(ctx, q, Fold(name)); err != nil {
				return fmt.Errorf("removing pool %s: %w", p.Name, err)
			}
		}
		return s.changed(ctx, tx, a, p.Name, "", "removed", "")
	})
}

// Token makes a new token for the agents of a pool of kind host; the one before ends at once.
// It is told once. It needs the administrator.
func (s *Service) Token(ctx context.Context, a identity.Actor, name string) (string, error) {
	if err := s.Auth.RequireAdmin(ctx, a); err != nil {
		return "", err
	}
	token := TokenPrefix + rand.Text() + rand.Text()
	return token, s.DB.Tx(ctx, func(tx *store.Tx) error {
		p, err := s.find(ctx, tx, name)
		if err != nil {
			return err
		}
		if p.Kind != Host {
			return fault.New(fault.Invalid, "The agents of pool %s are pods, which get tokens of their own.", p.Name)
		}
		if _, err := tx.Exec(ctx, `UPDATE agent_pool SET token = ? WHERE folded = ?`, hash(token), Fold(name)); err != nil {
			return fmt.Errorf("storing the token of pool %s: %w", p.Name, err)
		}
		return s.changed(ctx, tx, a, p.Name, "", "token", "replaced")
	})
}

// Bearer returns the folded name of the pool whose agents bear a token, and
// fault.Unauthentic when it is that of none. Tokens are random and found by their hash, so
// that no comparison tells anything of them.
func (s *Service) Bearer(ctx context.Context, token string) (string, error) {
	var folded string
	err := s.DB.QueryRow(ctx, `SELECT folded FROM agent_pool WHERE token = ?`, hash(token)).Scan(&folded)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fault.New(fault.Unauthentic, "The token is not that of any agent pool; it may have been replaced.").WithNext("make one: towpath pool token POOL")
	}
	if err != nil {
		return "", fmt.Errorf("reading the pool of a token: %w", err)
	}
	return folded, nil
}

// changed writes a change into the logbook.
func (s *Service) changed(ctx context.Context, tx *store.Tx, a identity.Actor, pool, agent, field, value string) error {
	return s.Log.Append(ctx, tx, event.Fact{
		Type: event.TypePoolChanged, Subject: event.Of(event.KindPool, Fold(pool)), Actor: a.String(),
		Payload: event.PoolChanged{V: 1, Pool: pool, Agent: agent, Field: field, Value: value},
	})
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// text encodes a value that cannot fail to encode.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(b)
}
