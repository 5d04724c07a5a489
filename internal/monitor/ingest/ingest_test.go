package ingest_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// memory is a Sink that keeps batches, each ID once.
type memory struct {
	mu      sync.Mutex
	batches []*table.Batch
	seen    map[[16]byte]bool
	fail    error
	hold    chan struct{} // when set, Append waits for it
}

func (m *memory) Append(ctx context.Context, batches []*table.Batch) error {
	if m.hold != nil {
		select {
		case <-m.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.seen == nil {
		m.seen = map[[16]byte]bool{}
	}
	for _, b := range batches {
		if !m.seen[b.ID] {
			m.seen[b.ID] = true
			m.batches = append(m.batches, b)
		}
	}
	return nil
}

// texts returns a text column of everything that was kept.
func (m *memory) texts(column string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, b := range m.batches {
		out = append(out, b.Vectors[b.Index(column)].Text...)
	}
	return out
}

func (m *memory) ints(column string) []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []int64
	for _, b := range m.batches {
		out = append(out, b.Vectors[b.Index(column)].Int...)
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

func (k known) ByName(namespace, pod string) (place.Place, bool) {
	return k.find(func(p place.Place) bool { return p.Namespace == namespace && p.Pod == pod })
}

func (k known) ByAddress(a netip.Addr) (place.Place, bool) {
	return k.find(func(p place.Place) bool { return p.Address == a })
}

func (k known) NamespaceOwner(namespace string) (string, string) {
	p, _ := k.find(func(p place.Place) bool { return p.Namespace == namespace })
	return p.Project, p.Environment
}

// ReleaseOf remembers two pods that are gone, one of which is somebody else's.
func (known) ReleaseOf(_ context.Context, _, uid string) string {
	return map[string]string{"uid-gone": "shop/production/47", "uid-odd": "blog/test/3"}[uid]
}

func (known) Listed() bool { return true }

// starting are the owners of a server whose cluster has not been listed yet.
type starting struct{ known }

func (starting) Listed() bool { return false }

// now is the time of the tests.
func now() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }

func newClock() *clocktest.Clock { return clocktest.At(now()) }

func shop() place.Place {
	return place.Place{
		Project: "shop", Environment: "production", Release: "shop/production/48", Cluster: "embedded", Node: "node-1", Namespace: "shop", Pod: "web-1", UID: "uid-web",
		Address: netip.MustParseAddr("10.88.0.5"), Workload: "Deployment/web", Labels: map[string]string{"app": "web"},
		Containers: []place.Container{{Name: "web", ID: "c1", Image: "localhost:7080/shop/web:1.2@sha256:aa", Digest: "sha256:aa"}},
	}
}

func blog() place.Place {
	return place.Place{Project: "blog", Environment: "test", Namespace: "blog", Pod: "api-1", UID: "uid-api", Address: netip.MustParseAddr("10.88.0.6")}
}

type world struct {
	*ingest.Service
	sink  *memory
	clock *clocktest.Clock
}

func build(change func(*ingest.Parts)) *world {
	w := &world{sink: &memory{}, clock: newClock()}
	places := known{shop(), blog()}
	p := ingest.Parts{Sink: w.sink, Places: places, Owners: places, Clock: w.clock, Installation: "11111111-2222-3333-4444-555555555555", Cluster: "embedded"}
	if change != nil {
		change(&p)
	}
	w.Service = ingest.New(p)
	return w
}

// traces makes rows of AppTraces at these times.
func traces(message string, times ...time.Time) *table.Batch {
	b := table.NewBuilder(table.ByName(table.AppTraces))
	for _, t := range times {
		b.Next()
		b.Time(b.Place(table.TimeGenerated), t)
		b.Text(b.Place("Message"), message)
	}
	return b.Batch([16]byte{})
}

func put(w *world, p place.Place, batches ...*table.Batch) error {
	return w.Put(context.Background(), ingest.Delivery{Place: p, Signal: "logs", Batches: batches})
}

func TestRowsCarryTheirPlace(t *testing.T) {
	w := build(nil)
	in := traces("hello", now())
	// What the sender says of project and size is not believed.
	in.Put(table.Column{Name: table.Project, Kind: table.String}, table.Texts(table.String, "blog", 1))
	in.Put(table.Column{Name: "_IsBillable", Kind: table.String}, table.Texts(table.String, "false", 1))
	if err := put(w, shop(), in); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		table.Project: "shop", table.Environment: "production", table.Release: "shop/production/48", table.ImageDigest: "sha256:aa", "Type": "AppTraces", "_IsBillable": "true",
		"TenantId": "11111111-2222-3333-4444-555555555555", "_SubscriptionId": "11111111-2222-3333-4444-555555555555", "SourceSystem": "Azure",
		"_ResourceId": "/subscriptions/11111111-2222-3333-4444-555555555555/resourcegroups/shop/providers/microsoft.containerservice/managedclusters/embedded",
	}
	got := map[string]string{}
	for column := range want {
		got[column] = w.sink.texts(column)[0]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := w.sink.ints("_TimeReceived"); got[0] != table.TicksOf(now()) {
		t.Errorf("_TimeReceived = %d", got[0])
	}
	b := w.sink.batches[0]
	// "hello" and the time.
	if got := b.Vectors[b.Index("_BilledSize")].Real[0]; got != 13 {
		t.Errorf("_BilledSize = %v, want 13", got)
	}
}

func TestTimesThatJumpAreReplaced(t *testing.T) {
	w := build(nil)
	times := []time.Time{
		now(), now().Add(-47 * time.Hour), now().Add(-49 * time.Hour), now().Add(23 * time.Hour), now().Add(25 * time.Hour), {}, time.Unix(0, 0),
	}
	if err := put(w, shop(), traces("x", times...)); err != nil {
		t.Fatal(err)
	}
	n := table.TicksOf(now())
	want := []int64{n, table.TicksOf(times[1]), n, table.TicksOf(times[3]), n, n, n}
	if diff := cmp.Diff(want, w.sink.ints(table.TimeGenerated)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want2 := []ingest.Count{
		{Project: "shop", Signal: "logs", What: "accepted", Rows: 7, Bytes: 7*1 + 6*8},
		{Project: "shop", Signal: "logs", What: "clock", Rows: 4},
	}
	if diff := cmp.Diff(want2, w.Stats().Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestBytesThatAreNoTextAreReplaced(t *testing.T) {
	w := build(nil)
	in := traces("caf\xe9", now())
	if err := put(w, shop(), in); err != nil {
		t.Fatal(err)
	}
	if got := w.sink.texts("Message")[0]; got != "caf\uFFFD" {
		t.Errorf("message %q", got)
	}
	if got := in.Vectors[in.Index("Message")].Text[0]; got != "caf\xe9" {
		t.Errorf("the sender's batch was changed: %q", got)
	}
}

func TestRowsOfThePlatformKeepTheirOwner(t *testing.T) {
	w := build(nil)
	b := table.NewBuilder(table.ByName(table.KubePodInventory))
	for _, project := range []string{"shop", ""} {
		b.Next()
		b.Time(b.Place(table.TimeGenerated), now())
		b.Text(b.Place(table.Project), project)
	}
	if err := w.Append(context.Background(), []*table.Batch{b.Batch([16]byte{1})}); err != nil {
		t.Fatal(err)
	}
	if got := w.sink.texts(table.Project); !slices.Equal(got, []string{"shop", ""}) {
		t.Errorf("projects %q", got)
	}
	if got := w.sink.batches[0].ID; got != [16]byte{1} {
		t.Errorf("id %v", got)
	}
}

func TestWhatNoTableHasIsRefused(t *testing.T) {
	good := func() *table.Batch { return traces("x", now()) }
	tests := map[string]func() *table.Batch{
		"no such table": func() *table.Batch { b := good(); b.Table = "Nothing"; return b },
		"a virtual table": func() *table.Batch {
			b := table.NewBuilder(table.ByName(table.Perf))
			b.Next()
			return b.Batch([16]byte{})
		},
		"no such column": func() *table.Batch {
			b := good()
			b.Put(table.Column{Name: "Mine", Kind: table.String}, table.Texts(table.String, "x", 1))
			return b
		},
		"another type": func() *table.Batch {
			b := good()
			b.Put(table.Column{Name: "Message", Kind: table.Long}, table.Vector{Int: []int64{1}})
			return b
		},
		"rows of different lengths": func() *table.Batch { b := good(); b.Vectors[b.Index("Message")].Text = nil; return b },
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			w := build(nil)
			if err := put(w, shop(), good(), bad()); !fault.Is(err, fault.Invalid) {
				t.Fatalf("error = %v, want an invalid one", err)
			}
			if len(w.sink.batches) != 0 {
				t.Error("a part of the delivery was stored")
			}
		})
	}
}

func TestAQuotaRefusesUntilItIsFilledAgain(t *testing.T) {
	w := build(func(p *ingest.Parts) {
		p.Quota = func(project string) ingest.Quota {
			if project == "shop" {
				return ingest.Quota{Rows: 10}
			}
			return ingest.Quota{}
		}
	})
	many := make([]time.Time, 25)
	if err := put(w, shop(), traces("first", many...)); err != nil {
		t.Fatalf("the first delivery may overdraw: %v", err)
	}
	err := put(w, shop(), traces("second", now()))
	var over *ingest.OverQuota
	after, _ := fault.RetryAfter(err)
	if !errors.As(err, &over) || !fault.Is(err, fault.Throttled) || after != 1500*time.Millisecond {
		t.Fatalf("error = %v after %s, want OverQuota for 1.5 s", err, after)
	}
	if err := put(w, blog(), traces("other", now())); err != nil {
		t.Errorf("another project is refused too: %v", err)
	}
	w.clock.Add(after + time.Millisecond)
	if err := put(w, shop(), traces("second", now())); err != nil {
		t.Errorf("refused after the pause that was told: %v", err)
	}
}

func TestTheMarkPushesBack(t *testing.T) {
	w := build(func(p *ingest.Parts) { p.Mark = 100 })
	w.sink.hold = make(chan struct{})
	first := make(chan error)
	go func() { first <- put(w, shop(), traces("a message of some length", make([]time.Time, 10)...)) }()
	for w.Stats().InFlight == 0 {
		time.Sleep(time.Millisecond)
	}
	err := put(w, blog(), traces("x", now()))
	if after, ok := fault.RetryAfter(err); !ok || after <= 0 || !fault.Is(err, fault.Unavailable) {
		t.Errorf("error = %v, want one that ends", err)
	}
	close(w.sink.hold)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if got := w.Stats().InFlight; got != 0 {
		t.Errorf("%d bytes stay in flight", got)
	}
	if err := put(w, blog(), traces("x", now())); err != nil {
		t.Errorf("refused although nothing is under way: %v", err)
	}
}

func TestALakeThatIsAwayIsTriedAgain(t *testing.T) {
	w := build(nil)
	w.sink.fail = fault.New(fault.Unavailable, "away").WithAfter(7 * time.Second)
	b := traces("x", now())
	err := put(w, shop(), b)
	if after, ok := fault.RetryAfter(err); !ok || after != 7*time.Second {
		t.Fatalf("error = %v, to be tried again after %s, want the pause that the lake names", err, after)
	}
	w.sink.fail = nil
	// The answer is lost, so that the sender sends it twice.
	for range 2 {
		if err := put(w, shop(), b); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.sink.texts("Message"); len(got) != 1 {
		t.Errorf("%d rows were stored of one", len(got))
	}
	// The same words of another pod are other rows.
	if err := put(w, blog(), b); err != nil {
		t.Fatal(err)
	}
	if got := w.sink.texts("Message"); len(got) != 2 {
		t.Errorf("%d rows were stored of two", len(got))
	}
}

func TestCountersAreMetrics(t *testing.T) {
	w := build(nil)
	if err := put(w, shop(), traces("x", now(), now().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	w.Drop("blog", "traces", "denied", 3)
	want := `
# HELP towpath_ingest_rows_total Rows and samples that came in, by what became of them.
# TYPE towpath_ingest_rows_total counter
towpath_ingest_rows_total{outcome="accepted",project="shop",reason="",signal="logs"} 2
towpath_ingest_rows_total{outcome="dropped",project="blog",reason="denied",signal="traces"} 3
`
	if err := testutil.CollectAndCompare(w.Collector(), strings.NewReader(want), "towpath_ingest_rows_total"); err != nil {
		t.Error(err)
	}
}

func TestSettledWaitsForWhatIsUnderWay(t *testing.T) {
	w := build(nil)
	w.sink.hold = make(chan struct{})
	done := make(chan error)
	go func() { done <- put(w, shop(), traces("x", now())) }()
	for w.Stats().InFlight == 0 {
		time.Sleep(time.Millisecond)
	}
	w.clock.Add(time.Minute)
	if got := w.Settled(); !got.Equal(now()) {
		t.Errorf("settled until %v while rows of %v are under way", got, now())
	}
	close(w.sink.hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := w.Settled(); !got.Equal(now().Add(time.Minute)) {
		t.Errorf("settled until %v", got)
	}
}

func TestAWatchSeesItsProjectOnlyAndIsToldWhatItMissed(t *testing.T) {
	w := build(nil)
	ctx := context.Background()
	watch, err := w.Watch(ingest.Filter{Project: "shop", Tables: []string{table.AppTraces}, Match: func(b *table.Batch, row int) bool {
		return b.Vectors[b.Index("Message")].Text[row] != "quiet"
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	for _, m := range []string{"quiet", "loud"} {
		for _, p := range []place.Place{blog(), shop()} {
			if err := put(w, p, traces(m, now())); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen, err := watch.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := seen.Batch
	if got := b.Vectors[b.Index("Message")].Text; !slices.Equal(got, []string{"loud"}) || b.Vectors[b.Index(table.Project)].Text[0] != "shop" {
		t.Errorf("saw %q", got)
	}
	// More than may wait.
	for i := range 200 {
		if err := put(w, shop(), traces("loud", now().Add(time.Duration(i+1)*time.Second))); err != nil {
			t.Fatal(err)
		}
	}
	rows, dropped := 0, int64(0)
	for int64(rows)+dropped < 200 {
		seen, err := watch.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		dropped += seen.Dropped
		if seen.Batch != nil {
			rows += seen.Batch.Rows()
		}
	}
	if dropped == 0 || dropped != w.Stats().Missed {
		t.Errorf("%d rows seen, %d told as dropped, %d counted", rows, dropped, w.Stats().Missed)
	}
}
