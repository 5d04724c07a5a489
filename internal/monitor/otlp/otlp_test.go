package otlp_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/otlp"
	"towpath.dev/towpath/internal/monitor/otlp/stack"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// store is the lake and the metric store in memory, behind the real ingest.
type store struct {
	mu      sync.Mutex
	batches []*table.Batch
	seen    map[[16]byte]bool
	fail    error
	metrics []pmetric.Metrics
	from    []place.Place
}

func (m *store) Append(_ context.Context, batches []*table.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, b := range batches {
		if !m.seen[b.ID] {
			m.seen[b.ID] = true
			m.batches = append(m.batches, b)
		}
	}
	return nil
}

func (m *store) AppendOTLP(_ context.Context, from place.Place, md pmetric.Metrics) (ingest.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return ingest.Outcome{}, m.fail
	}
	m.metrics, m.from = append(m.metrics, md), append(m.from, from)
	return ingest.Outcome{Taken: md.DataPointCount()}, nil
}

// rows returns the rows of a table as maps of the columns that are set.
func (m *store) rows(name string) []map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []map[string]any
	for _, b := range m.batches {
		if b.Table != name {
			continue
		}
		for row := range b.Rows() {
			r := map[string]any{}
			for i, c := range b.Columns {
				switch v := b.Vectors[i]; {
				case v.IsNull(row):
				case v.Text != nil:
					if v.Text[row] != "" {
						r[c.Name] = v.Text[row]
					}
				case v.Int != nil:
					r[c.Name] = v.Int[row]
				default:
					r[c.Name] = v.Real[row]
				}
			}
			out = append(out, r)
		}
	}
	return out
}

// known are places in a list.
type known []place.Place

func (k known) find(is func(place.Place) bool) (place.Place, bool) {
	if i := slices.IndexFunc(k, is); i >= 0 {
		return k[i], true
	}
	return place.Place{}, false
}

func (k known) ByUID(uid string) (place.Place, bool) {
	return k.find(func(p place.Place) bool { return p.UID == uid })
}

func (k known) ByName(ns, pod string) (place.Place, bool) {
	return k.find(func(p place.Place) bool { return p.Namespace == ns && p.Pod == pod })
}

func (k known) ByAddress(a netip.Addr) (place.Place, bool) {
	return k.find(func(p place.Place) bool { return p.Address == a })
}

// people is an Authority: the token of a user is "user:project" for the role write there.
type people struct{}

func (people) Authenticate(_ context.Context, c identity.Credentials) (identity.Actor, error) {
	if c.Bearer == "wrong" {
		return identity.Actor{}, fault.New(fault.Unauthentic, "The token is wrong.")
	}
	return identity.Actor{Kind: identity.KindUser, Name: c.Bearer, Cap: identity.Write}, nil
}

func (people) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	switch {
	case a.Name == "reader:"+project:
		return fault.New(fault.Denied, "This needs the role %q.", r)
	case a.Name != "user:"+project:
		return fault.New(fault.NotFound, "There is no project %q.", project)
	}
	return nil
}

func shop() place.Place {
	return place.Place{
		Project: "shop", Environment: "production", Release: "shop/production/48", Cluster: "embedded", Node: "node-1", Namespace: "shop", Pod: "cart-1", UID: "uid-cart",
		Address: netip.MustParseAddr("10.88.0.5"), Workload: "Deployment/cart", Containers: []place.Container{{Name: "cart", Digest: "sha256:aa"}},
	}
}

func blog() place.Place {
	return place.Place{Project: "blog", Environment: "test", Namespace: "blog", Pod: "api-1", UID: "uid-api", Address: netip.MustParseAddr("10.88.0.6")}
}

// world is a receiver with listeners for both protocols.
type world struct {
	*store
	ingest *ingest.Service
	http   string // base URL
	grpc   string // address
}

func build(t testing.TB, change func(*otlp.Parts)) *world {
	t.Helper()
	w := &world{store: &store{seen: map[[16]byte]bool{}}}
	places := known{shop(), blog()}
	c := clock.System()
	w.ingest = ingest.New(ingest.Parts{Sink: w.store, Metrics: w.store, Places: places, Clock: c, Installation: "i", Cluster: "embedded",
		Quota: func(project string) ingest.Quota {
			if project == "small" {
				return ingest.Quota{Rows: 1}
			}
			return ingest.Quota{Rows: 1e9, Bytes: 1e12}
		}})
	p := otlp.Parts{
		Rows: w.ingest, Clock: c, Resolver: &otlp.Gate{Agent: func(token string) bool { return token == "agent" }, Authority: people{}, Places: places},
		Problem: func(e stack.Exception) string { return fmt.Sprintf("%s/%d", e.Type, len(e.Frames)) },
	}
	if change != nil {
		change(&p)
	}
	r, err := otlp.New(p)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r.HTTP())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.ServeGRPC(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("serving gRPC: %v", err)
		}
	})
	w.http, w.grpc = s.URL, l.Addr().String()
	return w
}

// pod are the headers that an agent adds for a pod.
func pod(p place.Place) map[string]string {
	return map[string]string{"authorization": "Bearer agent", "x-towpath-peer": p.Address.String()}
}

// user are the headers of somebody outside.
func user(token, project string) map[string]string {
	h := map[string]string{"authorization": "Bearer " + token}
	if project != "" {
		h["x-towpath-project"] = project
	}
	return h
}

func header(h map[string]string) http.Header {
	out := http.Header{}
	for k, v := range h {
		out.Set(k, v)
	}
	return out
}

// soon bounds an export.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// nothing keeps nothing, but looks at what it is given as the lake does.
type nothing struct{}

func (nothing) Append(_ context.Context, batches []*table.Batch) error {
	for _, b := range batches {
		if err := b.Check(); err != nil {
			return err
		}
	}
	return nil
}
