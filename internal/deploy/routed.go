package deploy

import (
	"context"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/store"
)

// swapperOf returns the step of the post-renderer for an environment.
func (s *Service) swapperOf(ctx context.Context, env Environment) *swapper {
	return &swapper{listen: func(service string, port int) (listen int, err error) {
		err = s.DB.Tx(ctx, func(tx *store.Tx) error {
			listen, err = listenOf(ctx, tx, env, service, port)
			return err
		})
		return listen, err
	}}
}

// clearRoutes forgets the services of a table that belongs to no live router, and returns
// its version.
func (s *Service) clearRoutes(ctx context.Context, env Environment) (int64, error) {
	version := int64(0)
	err := s.changeTable(ctx, env, func(t *table) error {
		t.Services, t.Unrouted, t.Owners, t.Edges, version = []route.Service{}, nil, nil, nil, t.Version+1
		return nil
	})
	return version, err
}

// keepRoutes puts the services of a Helm release into the table. With prune those that the
// release has no more leave it; they stay while Services may still lead to the router.
func (s *Service) keepRoutes(ctx context.Context, env Environment, release string, step *swapper, prune bool) error {
	return s.changeTable(ctx, env, func(t *table) error {
		if t.Owners == nil {
			t.Owners = map[string]string{}
		}
		for _, v := range step.services {
			i := slices.IndexFunc(t.Services, func(o route.Service) bool { return o.Name == v.Name })
			if i < 0 {
				t.Services = append(t.Services, v)
			} else {
				t.Services[i].Ports = v.Ports // who tries something keeps its weights
			}
			t.Owners[v.Name] = release
		}
		if prune {
			t.Services = slices.DeleteFunc(t.Services, func(o route.Service) bool {
				gone := t.Owners[o.Name] == release && !slices.ContainsFunc(step.services, func(v route.Service) bool { return v.Name == o.Name })
				if gone {
					delete(t.Owners, o.Name)
				}
				return gone
			})
		}
		t.Unrouted = slices.DeleteFunc(t.Unrouted, func(u Unrouted) bool { return u.Release == release })
		for _, u := range step.unrouted {
			u.Release = release
			t.Unrouted = append(t.Unrouted, u)
		}
		sortServices(t.Services)
		t.keepEdges(release, step.edges, !prune)
		return nil
	})
}

// awaitTable waits until the router of a site has the newest table.
func (s *Service) awaitTable(ctx context.Context, at *site) error {
	t, err := readTable(ctx, s.DB, at.env)
	if err != nil {
		return err
	}
	return awaitRouter(ctx, at.admin, at.env.Namespace, t.Version)
}

// routed prepares a release to an environment that is routed: what lives is swapped
// already, the router is there, and what will be applied is swapped by the post-renderer.
func (s *Service) routed(ctx context.Context, at *site, name string, post *pinner, say Say) (*swapper, error) {
	own, _, err := s.deployer(ctx, at.env, 0)
	if err != nil {
		return nil, err
	}
	live, objects, err := own.liveObjects(name)
	if err != nil {
		return nil, err
	}
	t, err := readTable(ctx, s.DB, at.env)
	if err != nil {
		return nil, err
	}
	// The table is written again: somebody may have deleted the ConfigMap.
	if err := s.changeTable(ctx, at.env, func(*table) error { return nil }); err != nil {
		return nil, err
	}
	if err := s.startRouter(ctx, at.admin, at.env, t.Version+1); err != nil {
		return nil, err
	}
	if live != nil && !swapped(objects) {
		if err := s.swapLive(ctx, at, own, name, say); err != nil {
			return nil, err
		}
	}
	step := s.swapperOf(ctx, at.env)
	post.then = func(objects []map[string]any) ([]map[string]any, error) {
		out, err := step.run(objects)
		if err != nil {
			return nil, err
		}
		// The router must listen before a Service leads to it.
		if err := s.keepRoutes(ctx, at.env, name, step, false); err != nil {
			return nil, err
		}
		return out, s.awaitTable(ctx, at)
	}
	return step, nil
}

func serviceNames(list []route.Service) string {
	var out []string
	for _, v := range list {
		out = append(out, v.Name)
	}
	return strings.Join(out, ", ")
}
