package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// drainTime is how long connections that a Service has led to the router, or to a canary,
// are given after the Service leads elsewhere: kube-proxy follows within about a second.
const drainTime = 3 * time.Second

// site is an environment that is being worked on: it is locked, and its Lease is held.
type site struct {
	env   Environment
	admin kubernetes.Interface
	free  func()
}

// occupy locks an environment for work that no job does. The context returned ends when
// the server stops.
func (s *Service) occupy(ctx context.Context, env Environment, holder string, say Say) (context.Context, *site, error) {
	ctx, done, err := s.shift.enter(ctx)
	if err != nil {
		return ctx, nil, err
	}
	free := done
	fail := func(err error) (context.Context, *site, error) { free(); return ctx, nil, err }
	unlock, err := s.locks.take(ctx, env.Project+"/"+env.Name)
	if err != nil {
		return fail(err)
	}
	free = func() { unlock(); done() }
	if err := s.await(ctx); err != nil {
		return fail(err)
	}
	admin, err := s.adminClient(ctx)
	if err != nil {
		return fail(err)
	}
	installation, err := s.Installation(ctx)
	if err != nil {
		return fail(err)
	}
	if err := prepare(ctx, admin, env, installation); err != nil {
		return fail(err)
	}
	giveBack, err := lease(ctx, admin, env.Namespace, holder, say, s.Logger)
	if err != nil {
		return fail(err)
	}
	return ctx, &site{env: env, admin: admin, free: func() { giveBack(); unlock(); done() }}, nil
}

// deployer returns a Helm client with the rights of an environment's deployers, and those
// only: for what outlives the job that began it. run says on whose behalf, 0 for none.
func (s *Service) deployer(ctx context.Context, env Environment, run int64) (*helm, *rest.Config, error) {
	admin, err := s.Clusters.Admin(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg := rest.CopyConfig(admin)
	name := "towpath:deploy"
	if run != 0 {
		name = "towpath:run:" + strconv.FormatInt(run, 10)
	}
	cfg.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated", Group(env.Project, env.Name)}}
	acc, err := newAccess(cfg, env.Namespace)
	if err != nil {
		return nil, nil, err
	}
	h, err := newHelm(acc)
	return h, cfg, err
}

// switchRouting turns routing of an environment on or off. Every live release is applied
// again in two rounds, so that at each moment the Services lead to pods that serve.
func (s *Service) switchRouting(ctx context.Context, a identity.Actor, env Environment, on bool, say Say) error {
	if !on {
		open, err := s.openCanary(ctx, env)
		if err != nil {
			return err
		}
		if open != nil {
			return fault.New(fault.Conflict, "Release %s is being tried in environment %s.", open.View.Release, env.Name).
				WithNext("promote or reject it first: `towpath canary reject %s`", open.View.Release)
		}
	}
	ctx, at, err := s.occupy(ctx, env, a.String(), say)
	if err != nil {
		return err
	}
	defer at.free()
	if err := s.turn(ctx, at, on, say); err != nil {
		return err
	}
	value := Off
	if on {
		value = On
	}
	return s.set(ctx, a, env, "routing", value)
}

func (s *Service) turn(ctx context.Context, at *site, on bool, say Say) error {
	h, _, err := s.deployer(ctx, at.env, 0)
	if err != nil {
		return err
	}
	names, err := h.names()
	if err != nil {
		return err
	}
	if on {
		version, err := s.clearRoutes(ctx, at.env)
		if err != nil {
			return err
		}
		say("Routing: starting the router of namespace " + at.env.Namespace + ".")
		if err := s.startRouter(ctx, at.admin, at.env, version); err != nil {
			return err
		}
		for _, name := range names {
			if err := s.swapLive(ctx, at, h, name, say); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range names {
		if err := s.unswapLive(ctx, at, h, name, say); err != nil {
			return err
		}
	}
	if err := sleep(ctx, drainTime); err != nil {
		return err
	}
	say("Routing: taking the router away.")
	return stopRouter(ctx, at.admin, at.env)
}

// swapLive puts a live release behind the router: first its pods and the Services of the
// stable track get their labels, then, when the router knows them, the Services turn.
func (s *Service) swapLive(ctx context.Context, at *site, h *helm, name string, say Say) error {
	live, err := h.deployed(name)
	if err != nil || live == nil {
		return err
	}
	objects, err := decode(strings.NewReader(live.Manifest))
	if err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", name, err)
	}
	first, err := copyObjects(unswap(objects))
	if err != nil {
		return err
	}
	step := s.swapperOf(ctx, at.env)
	step.prepare = true
	if first, err = step.run(first); err != nil {
		return err
	}
	if len(step.services) == 0 {
		return s.keepRoutes(ctx, at.env, name, step, true)
	}
	say(fmt.Sprintf("Routing: release %s: the pods of %s get their track.", name, serviceNames(step.services)))
	if _, err := h.reapply(ctx, live, first, "routing: tracks"); err != nil {
		return fmt.Errorf("labelling the pods of %s: %w", name, err)
	}
	second, err := copyObjects(unswap(objects))
	if err != nil {
		return err
	}
	step = s.swapperOf(ctx, at.env)
	if second, err = step.run(second); err != nil {
		return err
	}
	if err := s.keepRoutes(ctx, at.env, name, step, true); err != nil {
		return err
	}
	if err := s.awaitTable(ctx, at); err != nil {
		return err
	}
	say(fmt.Sprintf("Routing: release %s: %s pass the router.", name, serviceNames(step.services)))
	got, err := h.reapply(ctx, live, second, "routing: on")
	if err != nil {
		return fmt.Errorf("turning the Services of %s to the router: %w", name, err)
	}
	return s.moveRevision(ctx, at.env, name, live.Version, got.Version)
}

// unswapLive takes a live release from behind the router, in the opposite order.
func (s *Service) unswapLive(ctx context.Context, at *site, h *helm, name string, say Say) error {
	live, err := h.deployed(name)
	if err != nil || live == nil {
		return err
	}
	objects, err := decode(strings.NewReader(live.Manifest))
	if err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", name, err)
	}
	last, err := copyObjects(unswap(objects))
	if err != nil {
		return err
	}
	between, err := copyObjects(last)
	if err != nil {
		return err
	}
	step := s.swapperOf(ctx, at.env)
	step.prepare = true
	if between, err = step.run(between); err != nil || len(step.services) == 0 {
		return err
	}
	say(fmt.Sprintf("Routing: release %s: %s lead to their pods again.", name, serviceNames(step.services)))
	if _, err := h.reapply(ctx, live, between, "routing: tracks"); err != nil {
		return fmt.Errorf("turning the Services of %s to their pods: %w", name, err)
	}
	if err := sleep(ctx, drainTime); err != nil {
		return err
	}
	got, err := h.reapply(ctx, live, last, "routing: off")
	if err != nil {
		return fmt.Errorf("taking the tracks of %s away: %w", name, err)
	}
	return s.moveRevision(ctx, at.env, name, live.Version, got.Version)
}

// moveRevision notes that a release lives in another revision of Helm's now.
func (s *Service) moveRevision(ctx context.Context, env Environment, name string, from, to int) error {
	_, err := s.DB.Exec(ctx, `UPDATE release SET revision = ? WHERE project = ? AND environment = ? AND name = ? AND revision = ? AND result = ?`,
		to, env.Project, env.Name, name, from, Deployed)
	if err != nil {
		return fmt.Errorf("noting revision %d of %s: %w", to, name, err)
	}
	return nil
}

// unswap gives back the objects of a swapped release as its chart made them.
func unswap(objects []map[string]any) []map[string]any {
	stable := map[string]map[string]any{}
	for _, o := range objects {
		if kindOf(o) == "Service" && mapOf(mapOf(o, "metadata"), "labels")[route.Label] == route.Stable {
			stable[strings.TrimSuffix(nameOf(o), "-"+route.Stable)] = o
		}
	}
	var out []map[string]any
	for _, o := range objects {
		switch kindOf(o) {
		case "Service":
			if mapOf(mapOf(o, "metadata"), "labels")[route.Label] == route.Stable {
				continue
			}
			spec := mapOf(o, "spec")
			if s := stable[nameOf(o)]; s != nil && mapOf(spec, "selector")[routerApp] == routerName {
				spec["selector"] = maps.Clone(mapOf(mapOf(s, "spec"), "selector"))
				for i, p := range listOf(mapOf(s, "spec"), "ports") {
					port, target := listOf(spec, "ports")[i].(map[string]any), p.(map[string]any)["targetPort"]
					if delete(port, "targetPort"); target != nil {
						port["targetPort"] = target
					}
				}
			}
			delete(mapOf(spec, "selector"), route.Label)
		case "Deployment":
			delete(mapOf(mapOf(mapOf(mapOf(o, "spec"), "template"), "metadata"), "labels"), route.Label)
		}
		out = append(out, o)
	}
	return out
}

// swapped reports whether a manifest has a routed Service.
func swapped(objects []map[string]any) bool {
	return slices.ContainsFunc(objects, func(o map[string]any) bool {
		return kindOf(o) == "Service" && mapOf(mapOf(o, "spec"), "selector")[routerApp] == routerName
	})
}

// copyObjects copies objects deeply.
func copyObjects(objects []map[string]any) ([]map[string]any, error) {
	text, err := encode(objects)
	if err != nil {
		return nil, err
	}
	return decode(text)
}

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
		t.Services, t.Unrouted, t.Owners, version = []route.Service{}, nil, nil, t.Version+1
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
	live, err := own.deployed(name)
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
	if live != nil {
		objects, err := decode(strings.NewReader(live.Manifest))
		if err != nil {
			return nil, fmt.Errorf("reading the manifest of %s: %w", name, err)
		}
		if !swapped(objects) {
			if err := s.swapLive(ctx, at, own, name, say); err != nil {
				return nil, err
			}
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

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return errors.Join(ctx.Err(), context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
