package deploy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// AgentImages gives the image that the router and session pods run.
type AgentImages interface {
	// AgentImage returns the image of towpath-agent by digest, "localhost:7080/towpath/agent@sha256:…",
	// after it made sure that the registry has it. fault.Unavailable when the program is
	// not there.
	AgentImage(ctx context.Context) (string, error)
}

// Routing is what the router of an environment is to know and whether it does.
type Routing struct {
	On       bool            `json:"on"`
	Table    route.Table     `json:"table"` // keys of sessions are left out
	Routers  []Router        `json:"routers"`
	Unrouted []Unrouted      `json:"unrouted,omitempty"` // services that pass no router, and why
	Weights  []canary.Weight `json:"weights,omitempty"`
}

// Router is one pod of the router.
type Router struct {
	Pod     string `json:"pod"`
	Ready   bool   `json:"ready"`
	Version int64  `json:"version"` // of the table that it has; 0 when it cannot be asked
	Why     string `json:"why,omitempty"`
}

// Unrouted is a Service that requests reach without the router.
type Unrouted struct {
	Service string `json:"service"`
	Why     string `json:"why"`
	Release string `json:"release,omitempty"` // Helm's name of the release that has it
}

// table is the stored table of an environment: what Services, Sessions and weights make.
type table struct {
	route.Table
	Unrouted []Unrouted        `json:"unrouted,omitempty"`
	Owners   map[string]string `json:"owners,omitempty"` // by service: the Helm release that it belongs to
	Edges    map[string]edges  `json:"edges,omitempty"`  // by Helm release
}

// SetSession puts a session into the table of an environment, or renews the one of its id.
// It asks for no rights: who may have a session is decided by its owner. fault.Conflict when
// the environment is not routed, fault.Denied when it allows no sessions, fault.NotFound when
// the service is not routed there.
func (s *Service) SetSession(ctx context.Context, project, environmentName string, session route.Session) error {
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil {
		return err
	}
	if env.Production() {
		return fault.New(fault.Denied, "Environment %s of project %s allows no sessions.", env.Name, project)
	}
	if env.Routing != On {
		return notRouted(env)
	}
	return s.changeTable(ctx, env, func(t *table) error {
		if !slices.ContainsFunc(t.Services, func(v route.Service) bool { return v.Name == session.Service }) {
			return unroutedService(*t, session.Service)
		}
		i := slices.IndexFunc(t.Sessions, func(v route.Session) bool { return v.ID == session.ID })
		if i < 0 {
			t.Sessions = append(t.Sessions, session)
			return nil
		}
		t.Sessions[i] = session
		return nil
	})
}

// DropSession takes a session out of the table of an environment; one that is not there is
// no error. It asks for no rights.
func (s *Service) DropSession(ctx context.Context, project, environmentName, id string) error {
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil {
		return err
	}
	return s.changeTable(ctx, env, func(t *table) error {
		t.Sessions = slices.DeleteFunc(t.Sessions, func(v route.Session) bool { return v.ID == id })
		return nil
	})
}

// SetPreviewKey tells the router of an environment by which key preview links are checked.
// It asks for no rights.
func (s *Service) SetPreviewKey(ctx context.Context, project, environmentName string, key []byte) error {
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil {
		return err
	}
	return s.changeTable(ctx, env, func(t *table) error {
		t.PreviewKey = key
		return nil
	})
}

// EnsureRouting turns routing on for an environment when it is off, as Edit does; say hears
// what happens. The actor needs the role maintain then, write when it is on already.
func (s *Service) EnsureRouting(ctx context.Context, a identity.Actor, project, environmentName string, say Say) error {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return err
	}
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil || env.Routing == On {
		return err
	}
	if err := s.Auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return err
	}
	return s.switchRouting(ctx, a, env, true, say)
}

func notRouted(env Environment) error {
	return fault.New(fault.Conflict, "Environment %s of project %s is not routed.", env.Name, env.Project).
		WithNext("turn it on with `towpath env edit %s --routing on --project %s`", env.Name, env.Project)
}

func unroutedService(t table, name string) error {
	for _, u := range t.Unrouted {
		if u.Service == name {
			return fault.New(fault.NotFound, "Service %s is not routed: %s.", name, u.Why).
				WithNext("say that its ports speak HTTP: `appProtocol: http` on each port of the Service")
		}
	}
	return fault.New(fault.NotFound, "There is no routed service %s.", name)
}

// Routing returns what the router of an environment knows, and whether each of its pods
// does.
func (s *Service) Routing(ctx context.Context, a identity.Actor, project, environmentName string) (Routing, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Routing{}, err
	}
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil {
		return Routing{}, err
	}
	t, err := readTable(ctx, s.DB, env)
	if err != nil {
		return Routing{}, err
	}
	out := Routing{On: env.Routing == On, Table: t.Table, Unrouted: t.Unrouted}
	// The key of a session is what lets requests reach somebody's program.
	out.Table.PreviewKey = nil
	for i := range out.Table.Sessions {
		out.Table.Sessions[i].Key = ""
	}
	for _, v := range t.Services {
		out.Weights = append(out.Weights, weightOf(v))
	}
	if !out.On {
		return out, nil
	}
	if client, err := s.adminClient(ctx); err == nil {
		out.Routers = routers(ctx, client, env.Namespace)
		if p, _, err := s.readPoliced(ctx, client, env); err == nil {
			_, closed := p.derive()
			out.Unrouted = append(out.Unrouted, closed...)
		}
	}
	return out, nil
}

func weightOf(v route.Service) canary.Weight {
	w := canary.Weight{Service: v.Name}
	for _, t := range v.Tracks {
		switch t.Name {
		case route.Stable:
			w.Stable = t.Weight
		case route.Baseline:
			w.Baseline = t.Weight
		case route.Canary:
			w.Canary = t.Weight
		}
	}
	return w
}

// readTable returns the stored table; an environment that was never routed has an empty one.
func readTable(ctx context.Context, h store.Handle, env Environment) (table, error) {
	t := table{}
	var document string
	err := h.QueryRow(ctx, `SELECT document FROM route_table WHERE project = ? AND environment = ?`, env.Project, env.Name).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		t.Project, t.Environment, t.Services = env.Project, env.Name, []route.Service{}
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("reading the routes of %s/%s: %w", env.Project, env.Name, err)
	}
	if err := json.Unmarshal([]byte(document), &t); err != nil {
		return t, fmt.Errorf("decoding the routes of %s/%s: %w", env.Project, env.Name, err)
	}
	return t, nil
}

// changeTable changes the table of an environment and brings it to the cluster. What is
// stored counts: when the cluster is away, the table follows later.
func (s *Service) changeTable(ctx context.Context, env Environment, change func(*table) error) error {
	unlock, err := s.locks.take(ctx, "table/"+env.Project+"/"+env.Name)
	if err != nil {
		return err
	}
	defer unlock()
	var t table
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		var err error
		if t, err = readTable(ctx, tx, env); err != nil {
			return err
		}
		if err := change(&t); err != nil {
			return err
		}
		now := s.Clock.Now()
		t.Sessions = slices.DeleteFunc(t.Sessions, func(v route.Session) bool { return !v.Expires.After(now) })
		t.Version++
		fresh, err := environment(ctx, tx, env.Project, env.Name)
		if err != nil {
			return err
		}
		t.Production = fresh.Production()
		document, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encoding routes: %w", err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO route_table (project, environment, version, document) VALUES (?,?,?,?)
			ON CONFLICT (project, environment) DO UPDATE SET version = excluded.version, document = excluded.document`,
			env.Project, env.Name, t.Version, string(document))
		if err != nil {
			return fmt.Errorf("storing the routes of %s/%s: %w", env.Project, env.Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	client, err := s.adminClient(ctx)
	if err != nil {
		return err
	}
	return writeTable(ctx, client, env.Namespace, t.Table)
}

// setWeights gives the tracks of services their shares; canary weight 0 sends everything to
// stable. It returns the version of the table that says so.
func (s *Service) setWeights(ctx context.Context, env Environment, services []string, weight int, sticky string) (int64, error) {
	version := int64(0)
	err := s.changeTable(ctx, env, func(t *table) error {
		for i := range t.Services {
			v := &t.Services[i]
			if !slices.Contains(services, v.Name) {
				continue
			}
			v.Tracks, v.Sticky = tracks(v.Name, weight), ""
			if weight > 0 {
				v.Sticky = sticky
			}
		}
		version = t.Version + 1
		return nil
	})
	return version, err
}

// tracks are the tracks of a service whose canary has weight percent.
func tracks(service string, weight int) []route.Track {
	stable, baseline, try := canary.Shares(weight)
	out := []route.Track{{Name: route.Stable, Host: trackService(service, route.Stable), Weight: stable}}
	if weight == 0 {
		out[0].Weight = 100
		return out
	}
	if baseline > 0 {
		out = append(out, route.Track{Name: route.Baseline, Host: trackService(service, route.Baseline), Weight: baseline})
	}
	return append(out, route.Track{Name: route.Canary, Host: trackService(service, route.Canary), Weight: try})
}

// trackService names the Service of a track.
func trackService(service, track string) string { return service + "-" + track }

// maxServiceName leaves room for the suffix of a track in a DNS label.
const maxServiceName = 63 - len("-"+route.Baseline)

// firstListen is the first port of the router that a routed port may get; each routed port
// of a namespace has its own.
const (
	firstListen = 20000
	maxListen   = 29999
)

// listenOf returns the router's port for a port of a service, always the same one.
func listenOf(ctx context.Context, tx *store.Tx, env Environment, service string, port int) (int, error) {
	var listen int
	err := tx.QueryRow(ctx, `SELECT listen FROM route_port WHERE project = ? AND environment = ? AND service = ? AND port = ?`,
		env.Project, env.Name, service, port).Scan(&listen)
	if err == nil {
		return listen, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading the router's port of %s:%d: %w", service, port, err)
	}
	err = tx.QueryRow(ctx, `SELECT COALESCE(MAX(listen), ?) + 1 FROM route_port WHERE project = ? AND environment = ?`,
		firstListen-1, env.Project, env.Name).Scan(&listen)
	if err != nil {
		return 0, fmt.Errorf("choosing a port of the router for %s:%d: %w", service, port, err)
	}
	if listen > maxListen {
		return 0, fault.New(fault.TooLarge, "Environment %s has more than %d routed ports.", env.Name, maxListen-firstListen+1)
	}
	_, err = tx.Exec(ctx, `INSERT INTO route_port (project, environment, service, port, listen) VALUES (?,?,?,?,?)`, env.Project, env.Name, service, port, listen)
	if err != nil {
		return 0, fmt.Errorf("keeping a port of the router for %s:%d: %w", service, port, err)
	}
	return listen, nil
}

// sortServices puts services in the order of their names, so that tables can be compared.
func sortServices(list []route.Service) {
	slices.SortFunc(list, func(a, b route.Service) int { return strings.Compare(a.Name, b.Name) })
}
