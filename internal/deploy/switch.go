package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// drainTime is how long connections that a Service has led to the router, or to a canary,
// are given after the Service leads elsewhere: kube-proxy follows within about a second.
const drainTime = 3 * time.Second

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
	// Somebody else may have turned it while this waited. Turning it on again would begin with
	// an empty table, and take away what sessions have put into it since.
	now, err := environment(ctx, s.DB, env.Project, env.Name)
	if err != nil || (now.Routing == On) == on {
		return err
	}
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
	live, objects, err := h.liveObjects(name)
	if err != nil || live == nil {
		return err
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
	live, objects, err := h.liveObjects(name)
	if err != nil || live == nil {
		return err
	}
	between, last, names, err := unswapRounds(objects)
	if err != nil || len(names) == 0 {
		return err
	}
	say(fmt.Sprintf("Routing: release %s: %s lead to their pods again.", name, strings.Join(names, ", ")))
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
	// Helm keeps what plain manifests brought, and would keep these too.
	for _, service := range names {
		err := at.admin.CoreV1().Services(at.env.Namespace).Delete(ctx, trackService(service, route.Stable), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("taking Service %s away: %w", trackService(service, route.Stable), err)
		}
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

// unswapRounds returns the two rounds in which a swapped release is taken from behind the
// router, and the names of its routed Services: between, these lead to their pods again while
// the Services of the stable track, which the router still asks, stay; last is the release as
// its chart made it.
func unswapRounds(objects []map[string]any) (between, last []map[string]any, names []string, err error) {
	if last, err = copyObjects(objects); err != nil {
		return nil, nil, nil, err
	}
	if between, err = copyObjects(objects); err != nil {
		return nil, nil, nil, err
	}
	last = unswap(last)
	plain := byKind(last)
	for i, o := range between {
		switch {
		case kindOf(o) != "Service" || mapOf(mapOf(o, "metadata"), "labels")[route.Label] == route.Stable:
		case mapOf(mapOf(o, "spec"), "selector")[routerApp] == routerName:
			names = append(names, nameOf(o))
			fallthrough
		default:
			between[i] = plain[object{"Service", nameOf(o)}]
		}
	}
	slices.Sort(names)
	return between, last, names, nil
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

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return errors.Join(ctx.Err(), context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
