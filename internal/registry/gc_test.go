package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// leaping is a clock that tests move forward.
type leaping struct {
	clock.Clock
	ahead atomic.Int64
}

func (l *leaping) Now() time.Time { return l.Clock.Now().Add(time.Duration(l.ahead.Load())) }

// TestCollectKeepsWhatIsNeeded interleaves pushes, mounts, retags, deletions and rounds of
// the collector at random, with a clock that leaps over the ages at which things may go,
// and checks all the while that every tagged manifest pulls fully, with its referrers.
func TestCollectKeepsWhatIsNeeded(t *testing.T) {
	steps := 400
	if testing.Short() {
		steps = 80
	}
	c := &leaping{Clock: clock.System()}
	// The files of uploads have the machine's time, so that they must not age by the leaps.
	s := registrytest.StartAt(t, c, registry.Options{Grace: time.Hour, Untagged: 2 * time.Hour, Uploads: 1_000_000 * time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	var workers, collector sync.WaitGroup
	collector.Go(func() {
		for ctx.Err() == nil {
			c.ahead.Add(int64(20 * time.Minute))
			if _, err := s.Collect(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("Collect: %v", err)
				return
			}
		}
	})
	for i := range 3 {
		workers.Go(func() {
			w := &worker{t: t, s: s, rnd: rand.New(rand.NewPCG(42, uint64(i))), repository: fmt.Sprintf("shop/w%d", i), tags: map[string]*node{}}
			for range steps {
				w.step()
			}
			w.check()
		})
	}
	workers.Wait()
	stop()
	collector.Wait()
}

// node is a manifest that a worker pushed.
type node struct {
	digest    string
	body      []byte
	blobs     map[string][]byte
	children  []*node
	referrers []*node
}

// worker pushes into one repository and remembers what must be there.
type worker struct {
	t          *testing.T
	s          *registrytest.Server
	rnd        *rand.Rand
	repository string
	tags       map[string]*node
}

func (w *worker) step() {
	tag := fmt.Sprintf("t%d", w.rnd.IntN(4))
	switch w.rnd.IntN(10) {
	case 0, 1, 2:
		if n := w.image(nil, tag); n != nil {
			w.tags[tag] = n
		}
	case 3:
		a, b := w.image(nil, ""), w.image(nil, "")
		if a == nil || b == nil {
			return
		}
		body := index(a, b)
		if d, ok := w.put(tag, registry.TypeIndex, body); ok {
			w.tags[tag] = &node{digest: d, body: body, children: []*node{a, b}}
		}
	case 4, 5:
		if n := w.tags[tag]; n != nil {
			if r := w.image(n, ""); r != nil {
				n.referrers = append(n.referrers, r)
			}
		}
	case 6:
		from := w.tags[fmt.Sprintf("t%d", w.rnd.IntN(4))]
		if from == nil {
			return
		}
		kind := registry.TypeImage
		if from.children != nil {
			kind = registry.TypeIndex
		}
		if _, ok := w.put(tag, kind, from.body); ok {
			w.tags[tag] = from
		}
	case 7:
		if err := w.s.Delete(w.t.Context(), w.s.Admin, w.repository, tag); err != nil && !fault.Is(err, fault.NotFound) {
			w.t.Errorf("deleting tag: %v", err)
		}
		delete(w.tags, tag)
	case 8:
		n := w.tags[tag]
		if n == nil {
			return
		}
		err := w.s.Delete(w.t.Context(), w.s.Admin, w.repository, n.digest)
		if registry.CodeOf(err) == registry.CodeInUse {
			return
		}
		if err != nil {
			w.t.Errorf("deleting manifest: %v", err)
		}
		for k, v := range w.tags {
			if v.digest == n.digest {
				delete(w.tags, k)
			}
		}
	case 9:
		w.check()
	}
}

// image pushes an image of blobs that all workers share, or a referrer of subject. It
// returns nil when the clock leapt over the grace in the middle, which a client sees as a
// blob or a child that is gone.
func (w *worker) image(subject *node, tag string) *node {
	n := &node{blobs: map[string][]byte{}}
	var ds []registry.Descriptor
	for range 2 {
		b := fmt.Appendf(nil, "blob %d", w.rnd.IntN(12))
		d := digest(b)
		ok, err := w.s.MountBlob(w.t.Context(), w.s.Admin, w.repository, d, "")
		if err != nil {
			w.t.Errorf("mounting: %v", err)
			return nil
		}
		if !ok {
			if _, err := w.s.PutBlob(w.t.Context(), w.s.Admin, w.repository, d, bytes.NewReader(b)); err != nil {
				if !fault.Is(err, fault.Unavailable) {
					w.t.Errorf("pushing a blob: %v", err)
				}
				return nil
			}
		}
		n.blobs[d] = b
		ds = append(ds, registry.Descriptor{MediaType: registry.TypeImageConfig, Digest: d, Size: int64(len(b))})
	}
	m := map[string]any{"schemaVersion": 2, "mediaType": registry.TypeImage, "config": ds[0], "layers": ds[1:], "annotations": map[string]string{"n": fmt.Sprint(w.rnd.IntN(6))}}
	if subject != nil {
		m["subject"] = registry.Descriptor{MediaType: registry.TypeImage, Digest: subject.digest, Size: int64(len(subject.body))}
	}
	n.body, _ = json.Marshal(m)
	n.digest = digest(n.body)
	ref := tag
	if ref == "" {
		ref = n.digest
	}
	if _, ok := w.put(ref, registry.TypeImage, n.body); !ok {
		return nil
	}
	return n
}

func (w *worker) put(ref, kind string, body []byte) (string, bool) {
	p, err := w.s.PutManifest(w.t.Context(), w.s.Admin, w.repository, ref, kind, body)
	if registry.CodeOf(err) == registry.CodeManifestBlobUnknown || fault.Is(err, fault.Unavailable) {
		return "", false
	}
	if err != nil {
		w.t.Errorf("pushing a manifest: %v", err)
		return "", false
	}
	return p.Digest, true
}

func index(children ...*node) []byte {
	var ds []registry.Descriptor
	for _, c := range children {
		ds = append(ds, registry.Descriptor{MediaType: registry.TypeImage, Digest: c.digest, Size: int64(len(c.body))})
	}
	b, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": registry.TypeIndex, "manifests": ds})
	return b
}

func (w *worker) check() {
	for tag, n := range w.tags {
		m, err := w.s.ManifestRecord(w.t.Context(), w.s.Admin, w.repository, tag)
		if err != nil || m.Digest != n.digest {
			w.t.Errorf("tag %s is %s (%v), want %s", tag, m.Digest, err, n.digest)
			continue
		}
		w.whole(n)
		list, _, err := w.s.Referrers(w.t.Context(), w.s.Admin, w.repository, n.digest, "", "")
		if err != nil {
			w.t.Errorf("referrers: %v", err)
		}
		have := map[string]bool{}
		for _, d := range list {
			have[d.Digest] = true
		}
		for _, r := range n.referrers {
			if !have[r.digest] {
				w.t.Errorf("tag %s lost its referrer %s", tag, r.digest)
				continue
			}
			w.whole(r)
		}
	}
	// A manifest that lost its tag may lose its referrers; what is left of them is no
	// longer known when it comes back.
	for _, n := range w.tags {
		if len(n.referrers) > 20 {
			n.referrers = n.referrers[:0]
		}
	}
}

func (w *worker) whole(n *node) {
	_, body, err := w.s.ManifestBytes(w.t.Context(), w.s.Admin, w.repository, n.digest)
	if err != nil || !bytes.Equal(body, n.body) {
		w.t.Errorf("manifest %s does not pull: %v", n.digest, err)
	}
	for d, want := range n.blobs {
		r, err := w.s.OpenBlob(w.t.Context(), w.s.Admin, w.repository, d, 0)
		if err != nil {
			w.t.Errorf("blob %s of %s does not pull: %v", d, n.digest, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			w.t.Errorf("blob %s has %q, want %q (%v)", d, got, want, err)
		}
		_ = r.Close()
	}
	for _, c := range n.children {
		w.whole(c)
	}
}

// TestCollect checks what goes, and when.
func TestCollect(t *testing.T) {
	c := &leaping{Clock: clock.System()}
	s := registrytest.StartAt(t, c, registry.Options{Grace: time.Hour, Uploads: time.Hour})
	w := &worker{t: t, s: s, rnd: rand.New(rand.NewPCG(1, 1)), repository: "shop/web", tags: map[string]*node{}}
	n := w.image(nil, "latest")
	ref := w.image(n, "")
	loose := []byte("loose")
	if _, err := s.PutBlob(t.Context(), s.Admin, "shop/web", digest(loose), bytes.NewReader(loose)); err != nil {
		t.Fatal(err)
	}
	id, err := s.StartUpload(t.Context(), s.Admin, "shop/web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AppendUpload(t.Context(), s.Admin, "shop/web", id, registry.AtEnd, strings.NewReader("begun")); err != nil {
		t.Fatal(err)
	}
	expect := func(when string, want registry.Collected) {
		t.Helper()
		got, err := s.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got.Bytes = 0
		if got != want {
			t.Errorf("%s: collected %+v, want %+v", when, got, want)
		}
	}
	expect("at once", registry.Collected{})
	c.ahead.Add(int64(61 * time.Minute))
	if _, err := s.BlobSize(t.Context(), s.Admin, "shop/web", digest(loose)); err != nil {
		t.Fatal(err)
	}
	expect("after a client was told that the blob is there", registry.Collected{Uploads: 1})
	c.ahead.Add(int64(61 * time.Minute))
	expect("after the grace", registry.Collected{Links: 1, Blobs: 1})
	if err := s.Delete(t.Context(), s.Admin, "shop/web", "latest"); err != nil {
		t.Fatal(err)
	}
	c.ahead.Add(int64(1000 * time.Hour))
	expect("an untagged image stays", registry.Collected{})
	if err := s.Delete(t.Context(), s.Admin, "shop/web", n.digest); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ManifestRecord(t.Context(), s.Admin, "shop/web", ref.digest); err != nil {
		t.Errorf("the referrer went with its subject at once: %v", err)
	}
	c.ahead.Add(int64(61 * time.Minute))
	got, err := s.Collect(t.Context())
	if err != nil || got.Manifests != 1 || got.Blobs < 3 {
		t.Errorf("after its subject was deleted: %+v, %v", got, err)
	}
	if left, err := s.Blobs.Stat(t.Context(), n.digest); !fault.Is(err, fault.NotFound) {
		t.Errorf("the manifest's %d bytes are still there: %v", left, err)
	}
}
