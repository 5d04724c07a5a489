package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Values of the settings of an environment.
const (
	Off = "off" // routing, drift
	On  = "on"  // routing

	Allowed   = "allowed"   // sessions
	Forbidden = "forbidden" // sessions

	Warn    = "warn"    // drift: tell of it
	Enforce = "enforce" // drift: put it back
)

// Settings say how an environment is deployed to and who may reach into it.
type Settings struct {
	Routing  string           `json:"routing" doc:"off, or on: requests pass the router of the namespace"`
	Sessions string           `json:"sessions" doc:"allowed or forbidden: developers' sessions"`
	Strategy *canary.Strategy `json:"strategy,omitempty" doc:"how new releases are tried; none deploys all at once"`
	Drift    string           `json:"drift" doc:"off, warn or enforce"`
	// ReviewApps lets the step reviewApp of a pull request's run make review apps of it.
	ReviewApps string `json:"review_apps" doc:"off, or on: runs of pull requests may make review apps of it"`
}

// Production reports whether the environment is marked as production: nobody's session may
// reach into it.
func (s Settings) Production() bool { return s.Sessions == Forbidden }

// Decides is the role that it takes to promote, reject or redeploy a release there.
func (s Settings) Decides() identity.Role {
	if s.Production() {
		return identity.Maintain
	}
	return identity.Write
}

// Change is what to change of an environment's settings; nil leaves a setting as it is.
type Change struct {
	Routing  *string          `json:"routing,omitempty" enum:"off,on"`
	Sessions *string          `json:"sessions,omitempty" enum:"allowed,forbidden"`
	Strategy *canary.Strategy `json:"strategy,omitempty" doc:"without steps: all at once"`
	Drift    *string          `json:"drift,omitempty" enum:"off,warn,enforce"`

	ReviewApps *string `json:"review_apps,omitempty" enum:"off,on" doc:"off takes those that are there away"`
}

// productionNames are environments that are marked as production when nobody says.
var productionNames = []string{"production", "prod"}

func defaultSessions(environment string) string {
	if slices.Contains(productionNames, environment) {
		return Forbidden
	}
	return Allowed
}

// Edit changes the settings of an environment; the actor needs the role maintain. Routing
// that is turned on or off is carried out before Edit returns, so that no request of a live
// release fails meanwhile; when that is impossible the setting stays as it was.
func (s *Service) Edit(ctx context.Context, a identity.Actor, project, name string, c Change) (Environment, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return Environment{}, err
	}
	env, err := environment(ctx, s.DB, project, name)
	if err != nil {
		return env, err
	}
	changes, err := c.against(env.Settings)
	if err != nil {
		return env, err
	}
	if changes["review_apps"] == On {
		if err := mayHaveReviewApps(env); err != nil {
			return env, err
		}
	}
	if to, ok := changes["routing"]; ok {
		if err := s.switchRouting(ctx, a, env, to == On, func(string) {}); err != nil {
			return env, err
		}
		delete(changes, "routing")
	}
	for _, field := range []string{"sessions", "strategy", "drift", "review_apps"} {
		value, ok := changes[field]
		if !ok {
			continue
		}
		if err := s.set(ctx, a, env, field, value); err != nil {
			return env, err
		}
	}
	if changes["review_apps"] == Off {
		s.SweepReviewApps()
	}
	if changes["drift"] == Off {
		if err := s.keepDrifts(ctx, env, nil); err != nil {
			return env, err
		}
	} else if changes["drift"] != "" {
		s.drift.touch(env.Namespace)
	}
	if _, ok := changes["sessions"]; ok && env.Routing == On {
		// The router names no session in the answers of a production environment.
		if err := s.changeTable(ctx, env, func(*table) error { return nil }); err != nil {
			return env, err
		}
	}
	return s.Environment(ctx, a, project, name)
}

// against returns the fields that change, as they are stored.
func (c Change) against(now Settings) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range []struct {
		name    string
		to      *string
		now     string
		allowed []string
	}{
		{"routing", c.Routing, now.Routing, []string{Off, On}},
		{"sessions", c.Sessions, now.Sessions, []string{Allowed, Forbidden}},
		{"drift", c.Drift, now.Drift, []string{Off, Warn, Enforce}},
		{"review_apps", c.ReviewApps, now.ReviewApps, []string{Off, On}},
	} {
		if f.to == nil || *f.to == f.now {
			continue
		}
		if !slices.Contains(f.allowed, *f.to) {
			return nil, fault.New(fault.Invalid, "%s cannot be %q.", f.name, *f.to).WithNext("use one of %v", f.allowed)
		}
		out[f.name] = *f.to
	}
	if c.Strategy == nil {
		return out, nil
	}
	if len(c.Strategy.Steps) == 0 {
		if now.Strategy != nil {
			out["strategy"] = ""
		}
		return out, nil
	}
	if err := c.Strategy.Check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(c.Strategy)
	if err != nil {
		return nil, fmt.Errorf("encoding a strategy: %w", err)
	}
	out["strategy"] = string(b)
	return out, nil
}

// settingColumns are the columns that set may write.
var settingColumns = map[string]string{
	"routing":  `UPDATE environment SET routing = ? WHERE project = ? AND name = ?`,
	"sessions": `UPDATE environment SET sessions = ? WHERE project = ? AND name = ?`,
	"strategy": `UPDATE environment SET strategy = ? WHERE project = ? AND name = ?`,
	"drift":    `UPDATE environment SET drift = ? WHERE project = ? AND name = ?`,

	"review_apps": `UPDATE environment SET review_apps = ? WHERE project = ? AND name = ?`,
}

// set stores one setting and says so.
func (s *Service) set(ctx context.Context, a identity.Actor, env Environment, field, value string) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, settingColumns[field], value, env.Project, env.Name); err != nil {
			return fmt.Errorf("storing %s of environment %s: %w", field, env.Name, err)
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeEnvironmentChanged, Subject: event.Of(event.KindProject, env.Project), Project: env.Project, Actor: a.String(),
			Payload: event.EnvironmentChanged{V: 1, Environment: env.Name, Field: field, Value: value},
		})
	})
}

// rawSettings are settings as they are stored.
type rawSettings struct{ routing, sessions, strategy, drift, reviewApps string }

func (r rawSettings) of(environment string) (Settings, error) {
	out := Settings{Routing: r.routing, Sessions: r.sessions, Drift: r.drift, ReviewApps: r.reviewApps}
	if out.Sessions == "" {
		out.Sessions = defaultSessions(environment)
	}
	if r.strategy == "" {
		return out, nil
	}
	out.Strategy = new(canary.Strategy)
	if err := json.Unmarshal([]byte(r.strategy), out.Strategy); err != nil {
		return out, fmt.Errorf("decoding the strategy of environment %s: %w", environment, err)
	}
	return out, nil
}
