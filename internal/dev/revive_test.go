package dev_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store/storetest"
)

func (p *pods) Fields(context.Context, dev.Session) (map[string]string, error) {
	return map[string]string{"status.hostIP": "10.0.0.1"}, nil
}

func (p *pods) Revive(_ context.Context, s dev.Session) (string, error) {
	if p.made[s.ID] == "" {
		p.made[s.ID] = "anew"
	}
	if p.meanwhile != nil {
		p.meanwhile()
	}
	return p.host(), nil
}

func (p *pods) Hosts(context.Context) (map[string]string, error) {
	out := map[string]string{}
	for id := range p.made {
		out[id] = p.host()
	}
	return out, nil
}

// host is where the pods are.
func (p *pods) host() string {
	if p.address == "" {
		return "10.9.8.7"
	}
	return p.address
}

// TestEnvironmentOfThePod fills in what only the session's pod knows.
func TestEnvironmentOfThePod(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	w.pods.env = []dev.Value{{Name: "HOST_IP", Value: dev.Mark("status.hostIP")}, {Name: "OTLP", Value: "http://" + dev.Mark("status.hostIP") + ":4318/" + dev.Mark("metadata.uid")}}
	want := []dev.Value{{Name: "LEVEL", Value: "debug"}, {Name: "HOST_IP", Value: "10.0.0.1"}, {Name: "OTLP", Value: "http://10.0.0.1:4318/"}}
	if diff := cmp.Diff(want, w.start(t, ada, "cart").Env); diff != "" {
		t.Error(diff)
	}
}

// TestPodThatMoves has the routers follow a session's pod.
func TestPodThatMoves(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	id := w.start(t, ada, "cart").ID
	sets := w.routes.sets
	if err := w.Follow(t.Context()); err != nil || w.routes.sets != sets {
		t.Errorf("a pod that stays is told of: %v", err)
	}
	w.pods.address = "10.9.8.8"
	if err := w.Follow(t.Context()); err != nil || w.routes.table[id].Host != "10.9.8.8" {
		t.Errorf("the route is %+v, %v", w.routes.table[id], err)
	}
	sets = w.routes.sets
	if err := w.Follow(t.Context()); err != nil || w.routes.sets != sets {
		t.Errorf("a pod that has moved is told of twice: %v", err)
	}
	// Its pod is gone, as after a restart of the node: who joins the tunnel has it made anew.
	delete(w.pods.made, id)
	w.pods.address = "10.9.8.9"
	way, err := w.Tunnel(t.Context(), ada, id)
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	if w.pods.made[id] == "" || w.routes.table[id].Host != "10.9.8.9" {
		t.Errorf("made %v, routed %+v", w.pods.made, w.routes.table[id])
	}
}

// TestPodOfASessionThatEnds leaves no pod of a session that ended while its pod was revived.
func TestPodOfASessionThatEnds(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	id := w.start(t, ada, "cart").ID
	delete(w.pods.made, id)
	w.pods.meanwhile = func() {
		if err := w.Stop(t.Context(), ada, id); err != nil {
			t.Error(err)
		}
		w.pods.made[id] = "made after its session was cleared away"
	}
	if _, err := w.Tunnel(t.Context(), ada, id); !fault.Is(err, fault.Conflict) {
		t.Errorf("the tunnel of a session that ended: %v", err)
	}
	if len(w.pods.made) != 0 {
		t.Errorf("left %v", w.pods.made)
	}
}

// TestRoutersThatCannotBeTold has a renewal fail while the cluster is away: the next one
// tells the routers.
func TestRoutersThatCannotBeTold(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	id := w.start(t, ada, "cart").ID
	w.clock.Add(2 * dev.RenewEvery)
	w.routes.deaf = fault.New(fault.Unavailable, "The cluster is starting.")
	if _, err := w.Renew(t.Context(), ada, id); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a renewal without a cluster: %v", err)
	}
	w.routes.deaf = nil
	w.clock.Add(dev.RenewEvery)
	if v, err := w.Renew(t.Context(), ada, id); err != nil || w.routes.table[id].Expires != v.Expires {
		t.Errorf("the routers know %v, the lease ends %v (%v)", w.routes.table[id].Expires, v.Expires, err)
	}
}
