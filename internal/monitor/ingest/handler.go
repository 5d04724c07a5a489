package ingest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/tail"
)

// Bounds of what an agent posts.
const (
	maxParcel   = 16 << 20 // compressed
	maxUnpacked = 64 << 20
	maxParcels  = 8 // that are read at a time; the others wait
)

// Signals of rows that do not come by OTLP.
const (
	SignalContainers = "containers" // lines of containers
	SignalInventory  = "inventory"  // what lives in the cluster
	SignalEvents     = "events"     // of the Kubernetes API
)

// Tail is what the tailer of a node said of itself last.
type Tail struct {
	Node  string          `json:"node"`
	Seen  time.Time       `json:"seen"`
	Stats json.RawMessage `json:"stats"` // tail.Stats
}

// maxTails and maxStats bound what is remembered of tailers.
const (
	maxTails = 10_000
	maxStats = 8 << 10
)

// handler takes parcels of agents.
type handler struct {
	service      *Service
	authenticate func(r *http.Request) error
	unpack       *zstd.Decoder
	slots        chan struct{}
}

// Handler serves POST of tail.Path. authenticate says whether a request carries the token
// of an agent; its error is answered.
//
// A parcel is one batch of ContainerLogV2 in the encoding of package table, compressed with
// zstd, under the ID of the header tail.HeaderBatch. Its rows name their pods; the agent
// writes KubernetesMetadata as {"podUid":"…"}. The answer is 204 when the rows are durable,
// 429 and 503 with Retry-After when the same parcel is to be sent again, any other 4xx when
// it never will be taken. Refusals are JSON: kind, message, next, and the namespaces that
// were over their quota.
func (s *Service) Handler(authenticate func(r *http.Request) error) (http.Handler, error) {
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	h := &handler{service: s, authenticate: authenticate, unpack: unpack, slots: make(chan struct{}, maxParcels)}
	mux := http.NewServeMux()
	mux.Handle("POST "+tail.Path, h)
	return mux, nil
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.serve(w, r); err != nil {
		h.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) error {
	if err := h.authenticate(r); err != nil {
		return err
	}
	node := r.Header.Get(tail.HeaderNode)
	h.service.tails.note(node, r.Header.Get(tail.HeaderTail), h.service.Clock.Now())
	var id [16]byte
	text := r.Header.Get(tail.HeaderBatch)
	if n, err := hex.Decode(id[:], []byte(text[:min(len(text), 32)])); err != nil || n != len(id) || len(text) != 32 {
		return fault.New(fault.Invalid, "The header %s is not 32 hexadecimal digits.", tail.HeaderBatch)
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	b, err := h.read(w, r)
	if err != nil {
		h.service.Drop("", SignalContainers, "malformed", 1)
		return err
	}
	b.ID = id
	return h.service.PutLines(r.Context(), node, b)
}

// read unpacks the body within its bounds.
func (h *handler) read(w http.ResponseWriter, r *http.Request) (*table.Batch, error) {
	if enc := r.Header.Get("Content-Encoding"); enc != "zstd" {
		return nil, fault.New(fault.Invalid, "A parcel is compressed with zstd.")
	}
	packed, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxParcel))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, fault.New(fault.TooLarge, "A parcel has at most %d MiB.", maxParcel>>20)
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "The parcel ended before its end.")
	}
	plain, err := h.unpack.DecodeAll(packed, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, fault.New(fault.TooLarge, "A parcel has at most %d MiB when it is unpacked.", maxUnpacked>>20)
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "The parcel is not what zstd writes.")
	}
	b, err := table.Decode(plain, table.Limits{Bytes: maxUnpacked * 4})
	switch {
	case errors.Is(err, table.ErrTooLarge):
		return nil, fault.Wrap(fault.TooLarge, err, "The parcel holds more rows than it may.")
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "The parcel holds no batch.")
	}
	return b, nil
}

// refuse answers with an error.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	kind := fault.KindOf(err)
	if kind == fault.Internal && r.Context().Err() == nil {
		h.service.Logger.Error("taking lines of a node", "error", err)
	}
	message, next := fault.Public(err)
	body := struct {
		Kind       string   `json:"kind"`
		Message    string   `json:"message"`
		Next       string   `json:"next,omitempty"`
		Namespaces []string `json:"namespaces,omitempty"`
	}{Kind: string(kind), Message: message, Next: next}
	var over *OverQuota
	if errors.As(err, &over) {
		body.Namespaces = over.Namespaces
	}
	if after, ok := fault.RetryAfter(err); ok {
		w.Header().Set("Retry-After", fault.Seconds(after))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(kind.Status())
	// That the agent is gone is its own trouble.
	_ = json.NewEncoder(w).Encode(body)
}

// PutLines stores lines of ContainerLogV2 that an agent read on a node. Rows name their
// pods, of which the platform knows the rest.
func (s *Service) PutLines(ctx context.Context, node string, b *table.Batch) error {
	if b.Table != table.ContainerLogV2 {
		s.Drop("", SignalContainers, "invalid", b.Rows())
		return fault.New(fault.Invalid, "An agent sends rows of %s only.", table.ContainerLogV2)
	}
	if _, err := s.check(b); err != nil {
		s.Drop("", SignalContainers, "invalid", b.Rows())
		return err
	}
	p, err := newPods(ctx, s, b, s.Clock.Now())
	if err != nil {
		return err
	}
	whole, err := p.complete(b)
	if err != nil {
		return err
	}
	if node != "" {
		whole.Put(table.Column{Name: "Computer", Kind: table.String}, table.Texts(table.String, node, b.Rows()))
	}
	// The pods are found by what the agent wrote, so that the metadata is put in last.
	for row := range b.Rows() {
		p.find(b, row)
	}
	if err := p.hold(); err != nil {
		s.counts.add("", SignalContainers, "refused", "unknown pod", b.Rows(), 0)
		return err
	}
	return s.put(ctx, SignalContainers, []*table.Batch{whole}, lines{pods: p, raw: b})
}

// lines is a source that finds the pods of rows by their batch as the agent sent it.
type lines struct {
	*pods
	raw *table.Batch
}

func (l lines) find(_ *table.Batch, row int) (p *place.Place, container, resource string) {
	return l.pods.find(l.raw, row)
}

// tails remembers what tailers say of themselves.
type tails struct {
	mu   sync.Mutex
	last map[string]Tail
}

func (t *tails) note(node, stats string, at time.Time) {
	if node == "" || len(node) > 253 || len(stats) > maxStats || !json.Valid([]byte(stats)) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]Tail{}
	}
	if _, ok := t.last[node]; !ok && len(t.last) >= maxTails {
		return
	}
	t.last[node] = Tail{Node: node, Seen: at, Stats: json.RawMessage(stats)}
}

// Tails returns what the tailers said of themselves last, in no order.
func (s *Service) Tails() []Tail {
	s.tails.mu.Lock()
	defer s.tails.mu.Unlock()
	out := make([]Tail, 0, len(s.tails.last))
	for _, t := range s.tails.last {
		out = append(out, t)
	}
	return out
}
