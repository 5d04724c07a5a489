package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// reconcile starts a feed for each kind that the set matches and the cluster serves, and
// ends the others.
func (s *session) reconcile(ctx context.Context, all *sync.WaitGroup, why cause) error {
	found, err := s.discover()
	if err != nil {
		return err
	}
	want := s.set.Load().Kinds()
	var fresh []*feed
	for _, gk := range want {
		r, ok := found[gk]
		if !ok || s.feeds[gk] != nil {
			continue
		}
		f := &feed{
			session: s, kind: gk, resource: r.GroupVersionResource, spaced: r.spaced, because: why,
			relist: make(chan struct{}, 1), listed: make(chan struct{}), ended: make(chan struct{}),
		}
		s.feeds[gk] = f
		s.note(gk, "")
		fresh = append(fresh, f)
	}
	// Pods come last: by then what made them is known, and need not be asked for one by one.
	for _, f := range fresh {
		if f.kind == podKind {
			for _, other := range fresh {
				if other != f {
					f.after = append(f.after, other.listed)
				}
			}
		}
	}
	for _, f := range fresh {
		follow, stop := context.WithCancel(ctx)
		f.stop = stop
		all.Go(func() {
			defer close(f.ended)
			f.run(follow)
		})
	}
	if err := s.forget(ctx, want); err != nil {
		return err
	}
	var names []string
	for gk := range s.feeds {
		names = append(names, gk.String())
	}
	slices.Sort(names)
	s.publish(func(p *Progress) { p.Kinds = names })
	if len(s.feeds) == 0 {
		s.checkSynced(s.set.Load())
	}
	return nil
}

// forget ends the feeds of kinds that no rule matches any more, and removes what is stored
// of them.
func (s *session) forget(ctx context.Context, want []schema.GroupKind) error {
	for gk, f := range s.feeds {
		if !slices.Contains(want, gk) {
			f.stop()
			<-f.ended
			delete(s.feeds, gk)
			s.noting.Lock()
			delete(s.caught, gk)
			s.noting.Unlock()
		}
	}
	known, err := s.kindsOf(ctx)
	if err != nil {
		return err
	}
	for _, gk := range known {
		if s.feeds[gk] != nil {
			continue
		}
		uids, err := s.objectsOf(ctx, gk)
		if err != nil {
			return err
		}
		for _, uid := range append(uids, s.index.of(gk)...) {
			s.index.remove(uid)
			if err := s.pass(ctx, task{kind: gk, gone: uid}); err != nil {
				return err
			}
		}
	}
	return nil
}

// served is how the cluster serves a kind.
type served struct {
	schema.GroupVersionResource
	spaced bool
}

// discover returns the preferred resource of each kind that can be listed and watched.
func (s *session) discover() (map[schema.GroupKind]served, error) {
	lists, err := s.to.discovery.ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	out := map[schema.GroupKind]served{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("parsing the group %q: %w", l.GroupVersion, err)
		}
		for _, r := range l.APIResources {
			if !strings.Contains(r.Name, "/") && slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch") {
				out[schema.GroupKind{Group: gv.Group, Kind: r.Kind}] = served{gv.WithResource(r.Name), r.Namespaced}
			}
		}
	}
	return out, nil
}
